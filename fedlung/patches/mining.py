"""Hard negatives: where a model saw nodules in training cases that have none there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def hard_negatives(
    index_N3: FloatArray,
    logits_N: FloatArray,
    *,
    nodule_index_M3: FloatArray,
    nodule_diameter_mm_M: FloatArray,
    shape_DHW: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    exclusion_mm: float,
    most: int,
) -> IntArray:
    """(<= most, 3) zyx voxels of the candidates with the highest scores that are no nodules: what ``patch_centers``
    takes as ``candidates_N3``.

    index_N3 and nodule_index_M3 are fractional zyx indices of candidates and of all nodules of the case, those of few
    readers included; spacing_mm is of z, y, x. A candidate within ``exclusion_mm`` of a nodule's surface, taken as a
    ball, is left out: a patch there shows a part of a nodule. Candidates of equal score keep their order.
    """
    offset_mm_NM3 = (index_N3[:, None] - nodule_index_M3) * np.asarray(spacing_mm)
    surface_mm_NM = np.linalg.norm(offset_mm_NM3, axis=-1) - nodule_diameter_mm_M / 2
    away_N = np.flatnonzero((surface_mm_NM > exclusion_mm).all(axis=1))
    hardest_N = away_N[np.argsort(-logits_N[away_N], kind="stable")][:most]
    # Half a voxel goes down: the middle of an even patch lies half a voxel after the voxel that it is cut around.
    voxel_N3 = np.ceil(index_N3[hardest_N] - 0.5).astype(np.int64)
    return voxel_N3.clip(0, np.asarray(shape_DHW) - 1)
