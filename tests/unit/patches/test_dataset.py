from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from fedlung.config import PatchConfig, PrepareConfig, TaskConfig
from fedlung.ct.nodule import Nodule
from fedlung.patches.archive import PatchArchive
from fedlung.patches.dataset import ArchiveSet, PatchSet, ScanSet, patch_set
from fedlung.preprocess.case import Case

MakeCase = Callable[..., Case]
NoduleAt = Callable[..., Nodule]
PREPARE = PrepareConfig()


def one_patch(case: Case, center_3: tuple[float, float, float], size: int) -> torch.Tensor:
    labels_N = np.ones(1, dtype=np.int64)
    examples = PatchSet(
        [case], np.zeros(1, dtype=np.int64), np.array([center_3]), labels_N, np.ones(1), size=size, prepare=PREPARE
    )
    return examples.load([0])


def test_a_patch_is_the_box_around_its_centre_scaled_by_the_window(make_case: MakeCase) -> None:
    case = make_case()
    x_BCDHW = one_patch(case, (20.0, 21.0, 22.0), size=9)
    box_DHW = case.image_DHW[16:25, 17:26, 18:27].astype(np.float32)
    np.testing.assert_allclose(x_BCDHW[0, 0], (box_DHW + 1000) / 1400, rtol=1e-6)
    assert x_BCDHW.dtype == torch.float32


@pytest.mark.parametrize(("size", "first"), [(9, 16), (8, 16)])
def test_a_cube_of_even_edge_has_its_middle_within_half_a_voxel_of_the_centre(
    make_case: MakeCase, size: int, first: int
) -> None:
    case = make_case()
    expected_DHW = case.image_DHW[(slice(first, first + size),) * 3]
    x_BCDHW = one_patch(case, (20.0, 20.0, 20.0), size) if size % 2 else one_patch(case, (19.5, 19.5, 19.5), size)
    np.testing.assert_allclose(x_BCDHW[0, 0], (expected_DHW.astype(np.float32) + 1000) / 1400, rtol=1e-6)


@pytest.mark.parametrize("center", [(0.0, 0.0, 0.0), (47.0, 3.0, 24.0), (-30.0, 10.0, 10.0), (80.0, 80.0, 80.0)])
def test_what_lies_outside_the_case_is_air(make_case: MakeCase, center: tuple[float, float, float]) -> None:
    case = make_case()
    x_DHW = one_patch(case, center, size=16)[0, 0].numpy()
    padded_DHW = np.pad(case.image_DHW, 48, constant_values=-1000).astype(np.float32)
    start = [int(np.floor(value - 7.5 + 0.5)) + 48 for value in center]
    box_DHW = padded_DHW[tuple(slice(low, low + 16) for low in start)]
    np.testing.assert_allclose(x_DHW, (box_DHW + 1000) / 1400, rtol=1e-6)


def test_a_loaded_batch_is_not_overwritten_by_the_next(make_case: MakeCase) -> None:
    examples = patch_set([make_case()], TaskConfig(), PatchConfig(), PREPARE, np.random.default_rng(0), training=False)
    first = examples.load([0])
    kept = first.clone()
    examples.load([1])
    assert torch.equal(first, kept)


def test_examples_know_their_patients_and_diameters(make_case: MakeCase, nodule_at: NoduleAt) -> None:
    cases = [
        make_case(nodule_at((20, 20, 20), 7.0), name="a", patient="p"),
        make_case(name="b", patient="q"),
        make_case(nodule_at((20, 20, 20), 9.0), name="c", patient="p"),
    ]
    examples = patch_set(cases, TaskConfig(), PatchConfig(), PREPARE, np.random.default_rng(0), training=True)
    assert len(examples) == 14 and examples.labels_N.sum() == 2
    assert examples.patients_N.tolist() == ["p"] * 5 + ["q"] * 4 + ["p"] * 5
    assert examples.diameter_mm_N[examples.labels_N == 1].tolist() == [7.0, 9.0]


def test_examples_know_texture_thickness_and_kernel(make_case: MakeCase, nodule_at: NoduleAt) -> None:
    case = replace(make_case(nodule_at((20, 20, 20), texture=1.5)), kernel="B31f", slice_thickness_mm=2.0)
    examples = patch_set([case], TaskConfig(), PatchConfig(), PREPARE, np.random.default_rng(0), training=False)
    np.testing.assert_array_equal(examples.texture_N, [1.5] + [np.nan] * (len(examples) - 1))
    assert set(examples.thickness_mm_N) == {2.0} and set(examples.kernel_N) == {"smooth"}


def test_no_case_is_an_empty_set() -> None:
    assert len(patch_set([], TaskConfig(), PatchConfig(), PREPARE, np.random.default_rng(0), training=False)) == 0


def test_a_scan_is_one_example_with_the_tutorials_label(make_case: MakeCase, nodule_at: NoduleAt) -> None:
    cases = [
        make_case(nodule_at((20, 20, 20), 3.0, readers=1), nodule_at((9, 9, 9), 2.0), name="a"),
        make_case(nodule_at((20, 20, 20), 2.9), name="b"),
    ]
    scans = ScanSet(cases, TaskConfig(name="scan"), PrepareConfig(cube=48))
    assert scans.labels_N.tolist() == [1, 0]
    np.testing.assert_array_equal(scans.diameter_mm_N, np.float32([3.0, np.nan]))
    assert scans.load([1, 0]).shape == (2, 1, 48, 48, 48)
    np.testing.assert_allclose(scans.load([1])[0, 0], (cases[1].image_DHW.astype(np.float32) + 1000) / 1400, rtol=1e-6)


@pytest.mark.parametrize("size", [8, 12, 16])
def test_an_archives_cubes_are_cropped_or_padded_about_their_middle(make_archive: object, size: int) -> None:
    archive: PatchArchive = make_archive(3, edge=12)  # type: ignore[operator]
    x_BCDHW = ArchiveSet(archive, size=size).load([2, 0])
    pad = max(0, (size - 12) // 2)
    cut = slice((12 + 2 * pad - size) // 2, (12 + 2 * pad - size) // 2 + size)
    expected_BDHW = np.pad(archive.cubes_NDHW[[2, 0]], ((0, 0), *[(pad, pad)] * 3))[:, cut, cut, cut]
    np.testing.assert_allclose(x_BCDHW[:, 0], expected_BDHW / np.float32(255), rtol=1e-6)
