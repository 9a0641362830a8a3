"""Sets of examples that a network can load by index: patches of cases, whole scans, cubes of an archive.

N examples, B batch, C = 1 channel, D slice, H row, W column. Every set gives float32 in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from fedlung.config import PatchConfig, PrepareConfig, TaskConfig
from fedlung.ct.scanners import kernel_class
from fedlung.patches.archive import PatchArchive
from fedlung.patches.sampling import IntArray, counts, patch_centers, textures_of
from fedlung.preprocess.case import Case
from fedlung.seeding import derive

Float32Array = npt.NDArray[np.float32]
Strings = npt.NDArray[np.str_]


class ExampleSet(Protocol):
    """What the training loop and the judge read.

    labels_N        (N,) int64, 0 or 1
    patients_N      (N,) str, the site's own names of its patients, which stay there
    diameter_mm_N   (N,) float32, NaN where there is no nodule
    texture_N       (N,) float32, mean rating 1 (ground glass) .. 5 (solid), NaN where nobody rated or nothing is
    thickness_mm_N  (N,) float32 of the scan's slices, NaN where it is not known
    kernel_N        (N,) str, one of ``KERNEL_CLASSES``; empty where the source does not tell kernels at all
    voxel_mm        edge of a voxel; NaN where voxels are not cubes of one size
    """

    labels_N: IntArray
    patients_N: Strings
    diameter_mm_N: Float32Array
    texture_N: Float32Array
    thickness_mm_N: Float32Array
    kernel_N: Strings
    voxel_mm: float

    def __len__(self) -> int: ...

    def load(self, indices_B: npt.ArrayLike) -> torch.Tensor:
        """(B, 1, D, H, W) float32 in [0, 1] on the CPU, the caller's own."""
        ...


class PatchSet:
    """Cubes of ``size``³ voxels around centres of cases, cut when they are loaded.

    case_N gives the case of each example; centres (N, 3) are fractional zyx indices and are rounded to voxels. What a
    cube covers outside its case has the value ``hu_min``.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        case_N: IntArray,
        centers_N3: npt.NDArray[np.float64],
        labels_N: IntArray,
        diameter_mm_N: npt.NDArray[np.floating],
        texture_N: npt.NDArray[np.floating] | None = None,
        *,
        size: int,
        prepare: PrepareConfig,
    ) -> None:
        self.labels_N = labels_N
        self.patients_N, self.thickness_mm_N, self.kernel_N = _of_scans([cases[index] for index in case_N])
        self.diameter_mm_N = diameter_mm_N.astype(np.float32)
        self.texture_N = np.full(len(labels_N), np.nan, np.float32) if texture_N is None else texture_N
        self.voxel_mm = prepare.spacing_mm
        self._cases, self._case_N, self._size, self._prepare = cases, case_N, size, prepare
        # The cube's middle lies half a voxel after voxel size // 2 - 1 when the edge is even.
        self._start_N3 = np.floor(centers_N3 - (size - 1) / 2 + 0.5).astype(np.int64)

    def __len__(self) -> int:
        return len(self.labels_N)

    def load(self, indices_B: npt.ArrayLike) -> torch.Tensor:
        """(B, 1, size, size, size) float32 in [0, 1]."""
        cuts = (
            (self._cases[self._case_N[index]].image_DHW, self._start_N3[index])
            for index in np.asarray(indices_B, dtype=np.int64)
        )
        return _load(cuts, np.size(indices_B), self._size, low=self._prepare.hu_min, high=self._prepare.hu_max)


class ScanSet:
    """Whole volumes, one example a case; positive with any nodule of 3 mm or more by any reader, as in the tutorial."""

    def __init__(self, cases: Sequence[Case], task: TaskConfig, prepare: PrepareConfig) -> None:
        diameters = [[nodule.diameter_mm for nodule in case.nodules if counts(nodule, task)] for case in cases]
        self.labels_N = np.array([len(own) > 0 for own in diameters], dtype=np.int64)
        self.patients_N, self.thickness_mm_N, self.kernel_N = _of_scans(cases)
        self.diameter_mm_N = np.array([max(own, default=np.nan) for own in diameters], dtype=np.float32)
        self.texture_N = np.full(len(cases), np.nan, dtype=np.float32)
        self.voxel_mm = np.nan
        self._cases, self._prepare = cases, prepare

    def __len__(self) -> int:
        return len(self._cases)

    def load(self, indices_B: npt.ArrayLike) -> torch.Tensor:
        """(B, 1, cube, cube, cube) float32 in [0, 1]."""
        start_3, edge = np.zeros(3, dtype=np.int64), self._prepare.cube
        cuts = ((self._cases[index].image_DHW, start_3) for index in np.asarray(indices_B, dtype=np.int64))
        return _load(cuts, np.size(indices_B), edge, low=self._prepare.hu_min, high=self._prepare.hu_max)


class ArchiveSet:
    """Cubes of an archive, cropped to or padded with 0 to ``size``³ around their middle."""

    def __init__(self, archive: PatchArchive, *, size: int) -> None:
        self.labels_N = archive.label_N
        self.patients_N = archive.patient_N
        self.diameter_mm_N = archive.diameter_mm_N.astype(np.float32)
        self.texture_N, self.thickness_mm_N = archive.texture_N, archive.thickness_mm_N
        self.kernel_N = archive.kernel_N
        self.voxel_mm = archive.spacing_mm
        self._cubes_NDHW, self._size = archive.cubes_NDHW, size

    def __len__(self) -> int:
        return len(self.labels_N)

    def load(self, indices_B: npt.ArrayLike) -> torch.Tensor:
        """(B, 1, size, size, size) float32 in [0, 1]."""
        start_3 = (np.array(self._cubes_NDHW.shape[1:]) - self._size) // 2
        cuts = ((self._cubes_NDHW[index], start_3) for index in np.asarray(indices_B, dtype=np.int64))
        return _load(cuts, np.size(indices_B), self._size, low=0, high=255)


def patch_set(
    cases: Sequence[Case],
    task: TaskConfig,
    cfg: PatchConfig,
    prepare: PrepareConfig,
    rng: np.random.Generator,
    *,
    training: bool,
    candidates: Mapping[str, IntArray] | None = None,
) -> PatchSet:
    """The patches of the cases for the task; ``candidates``: ``hard_candidates`` by case_id, where they are kept.

    A case gives the same patches whatever cases are beside it.
    """
    kept, seed = candidates or {}, int(rng.integers(2**63))
    drawn = [
        patch_centers(
            case,
            task,
            cfg,
            derive(seed, case.case_id),
            training=training,
            candidates_N3=kept.get(case.case_id),
        )
        for case in cases
    ]
    textures = [textures_of(case, task, len(labels_N)) for case, (_, labels_N, _) in zip(cases, drawn, strict=True)]
    case_N = np.repeat(np.arange(len(cases)), [len(labels_N) for _, labels_N, _ in drawn])
    return PatchSet(
        cases,
        case_N,
        np.concatenate([np.zeros((0, 3)), *(centers_N3 for centers_N3, _, _ in drawn)]),
        np.concatenate([np.zeros(0, dtype=np.int64), *(labels_N for _, labels_N, _ in drawn)]),
        np.concatenate([np.zeros(0), *(diameter_N for _, _, diameter_N in drawn)]),
        np.concatenate([np.zeros(0, dtype=np.float32), *textures]),
        size=cfg.size,
        prepare=prepare,
    )


def _load(cuts: Iterable[tuple[npt.NDArray, IntArray]], num: int, edge: int, *, low: int, high: int) -> torch.Tensor:
    """(num, 1, edge, edge, edge) float32: boxes of volumes by their first voxel, [low, high] made [0, 1].

    Each cube is scaled while it is in the processor's cache: twice as fast as one pass over the whole batch.
    """
    x_BDHW = np.empty((num, edge, edge, edge), dtype=np.float32)
    for cube_DHW, (volume_DHW, start_3) in zip(x_BDHW, cuts, strict=True):
        _cut(volume_DHW, start_3, cube_DHW, fill=low)
        cube_DHW -= low
        cube_DHW *= np.float32(1 / (high - low))
    return torch.from_numpy(x_BDHW).unsqueeze(1)


def _cut(volume_DHW: npt.NDArray, start_3: IntArray, out_DHW: Float32Array, *, fill: int) -> None:
    """Copy the box that begins at ``start_3`` (which may lie outside) into ``out_DHW``."""
    low_3 = np.maximum(start_3, 0)
    high_3 = np.minimum(start_3 + out_DHW.shape, volume_DHW.shape)
    if (high_3 - low_3 < out_DHW.shape).any():
        out_DHW.fill(fill)
        if (high_3 <= low_3).any():
            return
    (d0, h0, w0), (d1, h1, w1), (d, h, w) = low_3, high_3, low_3 - start_3
    out_DHW[d : d + d1 - d0, h : h + h1 - h0, w : w + w1 - w0] = volume_DHW[d0:d1, h0:h1, w0:w1]


def _of_scans(cases: Sequence[Case]) -> tuple[Strings, Float32Array, Strings]:
    """Patient, slice thickness in mm and class of kernel of each case."""
    return (
        np.array([case.patient_key for case in cases], dtype=str),
        np.array([case.slice_thickness_mm for case in cases], dtype=np.float32),
        np.array([kernel_class(case.kernel) for case in cases], dtype=str),
    )
