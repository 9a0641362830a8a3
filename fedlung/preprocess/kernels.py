"""What weight each voxel of one grid has in each voxel of another, along each axis on its own."""

from __future__ import annotations

import math

import numpy as np

from fedlung.config import Interpolation
from fedlung.ct.geometry import Float64Array, Geometry

_RADIUS: dict[Interpolation, int] = {"linear": 1, "catmull-rom": 2}


def axis_weights(
    source: Geometry, target: Geometry, *, interpolation: Interpolation, antialias: bool
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """The three matrices (target voxels, source voxels) along z, y, x."""
    if not np.allclose(source.direction, target.direction, atol=1e-9):
        raise ValueError("the grids are rotated against each other; resampling along the axes needs equal directions")
    first = source.world_to_index([target.origin_mm])[0]
    matrices = []
    for axis in range(3):
        ratio = target.spacing_mm[axis] / source.spacing_mm[axis]
        positions = first[axis] + ratio * np.arange(target.shape_DHW[axis])
        widening = max(1.0, ratio) if antialias else 1.0
        matrices.append(_weights(positions, source.shape_DHW[axis], interpolation, widening))
    return matrices[0], matrices[1], matrices[2]


def _weights(positions_N: Float64Array, num_source: int, interpolation: Interpolation, widening: float) -> Float64Array:
    """Dense (N, num_source) weights of a kernel widened by ``widening``; taps beyond the edge fall on the edge."""
    reach = _RADIUS[interpolation] * widening
    taps_NT = np.floor(positions_N - reach)[:, None] + 1 + np.arange(math.ceil(2 * reach) + 1)
    away_NT = (taps_NT - positions_N[:, None]) / widening
    weights_NT = _kernel(away_NT, interpolation)
    if widening > 1.0:
        weights_NT = _with_exact_moments(weights_NT, away_NT, np.clip(1 - np.abs(away_NT) * widening / reach, 0, None))
    dense = np.zeros((len(positions_N), num_source))
    columns_NT = np.clip(taps_NT, 0, num_source - 1).astype(np.int64)
    np.add.at(dense, (np.arange(len(positions_N))[:, None], columns_NT), weights_NT)
    return dense


def _kernel(away: Float64Array, interpolation: Interpolation) -> Float64Array:
    """The hat, or Keys' cubic convolution at a = -1/2 (IEEE Trans. ASSP 29(6), 1981, eq. 15): Catmull-Rom."""
    t = np.abs(away)
    if interpolation == "linear":
        return np.clip(1 - t, 0, None)
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


def _with_exact_moments(weights_NT: Float64Array, away_NT: Float64Array, window_NT: Float64Array) -> Float64Array:
    """The weights with sum 1 and mean 0, changed by a line times ``window``.

    A widened kernel at whole taps no longer sums to one, and its centre of mass moves with its phase: without this a
    prepared nodule would lie some hundredths of a voxel beside its own coordinates.
    """
    weights_NT = weights_NT / weights_NT.sum(axis=1, keepdims=True)
    powers_N2T = np.stack([np.ones_like(away_NT), away_NT], axis=1)
    gram_N22 = np.einsum("nit,nt,njt->nij", powers_N2T, window_NT, powers_N2T)
    lacking_N2 = np.array([1.0, 0.0]) - np.einsum("nit,nt->ni", powers_N2T, weights_NT)
    line_N2 = np.linalg.solve(gram_N22, lacking_N2[..., None])[..., 0]
    return weights_NT + window_NT * np.einsum("ni,nit->nt", line_N2, powers_N2T)
