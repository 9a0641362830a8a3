"""From one grid to another at true physical positions: three one-dimensional passes of banded matrices.

Along each axis an output voxel is a weighted sum of a few input voxels, so one pass is a product with a banded matrix.
The band is cut into blocks that fill a matrix product well; nothing larger than the result of a pass is ever held.

Shapes: D slice, H row, W column of the source; d, h, w of the target.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from fedlung.config import Interpolation
from fedlung.ct.geometry import Float64Array, Geometry

Box = tuple[slice, slice, slice]

_RADIUS: dict[Interpolation, int] = {"linear": 1, "catmull-rom": 2}
_BLOCK = 32  # output voxels in a block of the band: the widest of 16, 32, 64 that does not waste the product
_CHUNK_BYTES = {
    "cpu": 1 << 22,
    "cuda": 1 << 28,
}  # slices of the source held as float32: the CPU's cache, a GPU's memory


@dataclass(frozen=True)
class Band:
    """Rows ``out`` of a resampling matrix, which are zero outside of columns ``taken``."""

    out: slice
    taken: slice
    weights: torch.Tensor


def resample(
    voxels_DHW: torch.Tensor,
    source: Geometry,
    target: Geometry,
    *,
    interpolation: Interpolation,
    antialias: bool,
    device: torch.device,
) -> torch.Tensor:
    """The values at the target's voxel centres, float32 (d, h, w) on ``device``.

    Outside of the source its nearest voxel holds. With ``antialias`` the kernel is widened along axes that get coarser.
    Fields linear in the position are kept exactly, except within a kernel's radius of the source's edge.
    Raises ValueError when the two grids are rotated against each other or the array is not the source's.
    """
    if tuple(voxels_DHW.shape) != tuple(source.shape_DHW):
        raise ValueError(f"the array has shape {tuple(voxels_DHW.shape)}, its geometry says {source.shape_DHW}")
    bands_z, bands_y, bands_x = (
        _bands(weights, device)
        for weights in axis_weights(source, target, interpolation=interpolation, antialias=antialias)
    )
    (D, H, W), (d, h, w) = source.shape_DHW, target.shape_DHW
    with _full_float32():
        if d * H * W < D * h * w:  # ORDER: the pass that leaves less to the other one goes first.
            return _along_plane(_along_z(voxels_DHW, bands_z, d, device), bands_y, bands_x, (h, w), device)
        return _along_z(_along_plane(voxels_DHW, bands_y, bands_x, (h, w), device), bands_z, d, device)


def isotropic_target(source: Geometry, spacing_mm: float) -> Geometry:
    """Cubic voxels over the source's extent, with the same middle; the ends are off by half a voxel at most."""
    d, h, w = (max(1, round(extent / spacing_mm)) for extent in _extent_mm(source))
    return _about_the_same_middle(source, (d, h, w), (spacing_mm, spacing_mm, spacing_mm))


def cube_target(source: Geometry, edge: int) -> Geometry:
    """The grid of ``edge`` voxels along each axis over exactly the source's extent."""
    z, y, x = (extent / edge for extent in _extent_mm(source))
    return _about_the_same_middle(source, (edge, edge, edge), (z, y, x))


def crop(geometry: Geometry, box: Box) -> Geometry:
    """The part of a grid that ``box`` (slices along z, y, x with start and stop) cuts out."""
    origin = geometry.index_to_world([[part.start for part in box]])[0]
    shape = tuple(part.stop - part.start for part in box)
    return Geometry(shape, geometry.spacing_mm, tuple(origin.tolist()), geometry.direction)  # type: ignore[arg-type]


def _extent_mm(geometry: Geometry) -> tuple[float, ...]:
    return tuple(num * step for num, step in zip(geometry.shape_DHW, geometry.spacing_mm, strict=True))


def _about_the_same_middle(
    source: Geometry, shape_dhw: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> Geometry:
    there = source.index_to_world([[(num - 1) / 2 for num in source.shape_DHW]])[0]
    at_zero = Geometry(shape_dhw, spacing_mm, (0.0, 0.0, 0.0), source.direction)
    x, y, z = (there - at_zero.index_to_world([[(num - 1) / 2 for num in shape_dhw]])[0]).tolist()
    return Geometry(shape_dhw, spacing_mm, (x, y, z), source.direction)


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


def _bands(weights: npt.NDArray[np.float64], device: torch.device) -> list[Band]:
    """The dense matrix cut into blocks of rows, each with the columns that it needs."""
    bands = []
    for start in range(0, len(weights), _BLOCK):
        rows = weights[start : start + _BLOCK]
        columns = np.flatnonzero(rows.any(axis=0))
        taken = slice(int(columns[0]), int(columns[-1]) + 1)
        block = torch.from_numpy(np.ascontiguousarray(rows[:, taken])).to(device, torch.float32)
        bands.append(Band(slice(start, start + len(rows)), taken, block))
    return bands


def _along_z(voxels_DHW: torch.Tensor, bands: list[Band], d: int, device: torch.device) -> torch.Tensor:
    """(d, H, W) from (D, H, W)."""
    _, H, W = voxels_DHW.shape
    out_dHW = torch.empty(d, H, W, device=device)
    for band in bands:
        taken = voxels_DHW[band.taken].to(device, torch.float32)
        torch.mm(band.weights, taken.reshape(len(taken), H * W), out=out_dHW[band.out].view(-1, H * W))
    return out_dHW


def _along_plane(
    voxels_DHW: torch.Tensor, bands_y: list[Band], bands_x: list[Band], shape_hw: tuple[int, int], device: torch.device
) -> torch.Tensor:
    """(D, h, w) from (D, H, W), some slices at a time."""
    D, H, W = voxels_DHW.shape
    h, w = shape_hw
    num_slices = max(1, _CHUNK_BYTES.get(device.type, 1 << 22) // (4 * H * W))
    out_Dhw = torch.empty(D, h, w, device=device)
    rows_hW = torch.empty(min(D, num_slices), h, W, device=device)
    for start in range(0, D, num_slices):
        chunk = voxels_DHW[start : start + num_slices].to(device, torch.float32)
        rows, out = rows_hW[: len(chunk)], out_Dhw[start : start + num_slices]
        for band in bands_y:
            rows[:, band.out] = band.weights @ chunk[:, band.taken]
        for band in bands_x:
            out[:, :, band.out] = rows[:, :, band.taken] @ band.weights.T
    return out_Dhw


@contextmanager
def _full_float32() -> Iterator[None]:
    """Products in full float32 whatever the process trains with: TF32 would move bone by a Hounsfield unit."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
