"""A small chest for the patches' tests: two lungs' worth of air, bright beads for vessels, and nodules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fedlung.ct.geometry import Geometry
from fedlung.ct.nodule import Nodule
from fedlung.patches.archive import PatchArchive
from fedlung.preprocess.case import Case

SPACING_MM = (1.25, 1.25, 1.25)
MakeCase = Callable[..., Case]


@pytest.fixture
def make_case() -> MakeCase:
    def make(*nodules: Nodule, name: str = "a", patient: str | None = None, edge: int = 48) -> Case:
        rng = np.random.default_rng(sum(name.encode()))
        image_DHW = rng.integers(-900, -800, size=(edge,) * 3).astype(np.int16)
        for z, y, x in rng.integers(4, edge - 4, size=(60, 3)):
            image_DHW[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2] = 0
        lung_DHW = np.zeros(image_DHW.shape, dtype=bool)
        lung_DHW[3:-3, 3:-3, 3:-3] = True
        geometry = Geometry(shape_DHW=image_DHW.shape, spacing_mm=SPACING_MM, origin_mm=(-10.0, 20.0, 30.0))
        return Case(name, patient or f"patient-{name}", image_DHW, lung_DHW, geometry, tuple(nodules))

    return make


@pytest.fixture
def nodule_at() -> Callable[..., Nodule]:
    """A nodule whose centre is at a zyx index of ``make_case``'s grid."""
    geometry = Geometry(shape_DHW=(48, 48, 48), spacing_mm=SPACING_MM, origin_mm=(-10.0, 20.0, 30.0))

    def make(index_3: tuple[float, float, float], diameter_mm: float = 8.0, **ratings: float) -> Nodule:
        center_mm = tuple(geometry.index_to_world([index_3])[0])
        return Nodule(center_mm, diameter_mm, readers=int(ratings.pop("readers", 4)), **ratings)

    return make


@pytest.fixture(scope="session")
def make_archive() -> Callable[..., PatchArchive]:
    def make(num: int, *, edge: int = 8, **fields: object) -> PatchArchive:
        rng = np.random.default_rng(num)
        content: dict[str, object] = {
            "cubes_NDHW": rng.integers(0, 256, size=(num, edge, edge, edge), dtype=np.uint8),
            "site_N": np.array([f"site-{index % 2}" for index in range(num)]),
            "patient_N": np.array([f"p{index}" for index in range(num)]),
            "label_N": np.arange(num) // 2 % 2,
            "malignancy_N": np.full(num, 4.0, dtype=np.float32),
            "readers_N": np.full(num, 4),
            "diameter_mm_N": rng.uniform(3, 30, num).astype(np.float32),
            "split_N": np.full(num, ""),
            "texture_N": np.full(num, np.nan, dtype=np.float32),
            "thickness_mm_N": np.full(num, 1.0, dtype=np.float32),
            "kernel_N": np.full(num, "smooth"),
            "spacing_mm": 1.5,
            "source": "drawn at random",
            "synthetic": True,
        }
        return PatchArchive(**(content | fields))  # type: ignore[arg-type]

    return make
