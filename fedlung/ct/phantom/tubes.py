"""Tubes: pieces of vessels and bronchi, and how they are drawn into a volume.

Shapes: N tubes; M voxels of all tubes' boxes together; 3 is zyx in mm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fedlung.ct.phantom.field import Float32Array, Float64Array, Grid

Int64Array = npt.NDArray[np.int64]

CHUNK_VOXELS = 200_000
LONGEST_MM = 7.0


@dataclass(frozen=True)
class Tubes:
    """Straight round pieces: ends (N, 3) in mm and the radius (N,) in mm at either end."""

    start_N3: Float64Array
    end_N3: Float64Array
    radius_start_N: Float64Array
    radius_end_N: Float64Array

    def __len__(self) -> int:
        return len(self.start_N3)

    def __getitem__(self, keep: npt.NDArray[np.bool_] | slice) -> Tubes:
        return Tubes(*(part[keep] for part in self._parts()))

    def _parts(self) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
        return self.start_N3, self.end_N3, self.radius_start_N, self.radius_end_N

    @classmethod
    def joined(cls, several: list[Tubes]) -> Tubes:
        """All pieces in one."""
        if not several:
            return cls(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0), np.zeros(0))
        return cls(*(np.concatenate(parts) for parts in zip(*(tubes._parts() for tubes in several), strict=True)))

    def cut(self) -> Tubes:
        """The same tubes in pieces of at most ``LONGEST_MM``: the boxes around them are tighter."""
        length_N = np.linalg.norm(self.end_N3 - self.start_N3, axis=1)
        pieces_N = np.maximum(np.ceil(length_N / LONGEST_MM), 1).astype(int)
        which = np.repeat(np.arange(len(self)), pieces_N)
        nth = np.arange(len(which)) - np.repeat(np.cumsum(pieces_N) - pieces_N, pieces_N)
        low, high = nth / pieces_N[which], (nth + 1) / pieces_N[which]
        step_N3, taper_N = (self.end_N3 - self.start_N3)[which], (self.radius_end_N - self.radius_start_N)[which]
        start_N3, radius_N = self.start_N3[which], self.radius_start_N[which]
        return Tubes(
            start_N3 + low[:, None] * step_N3,
            start_N3 + high[:, None] * step_N3,
            radius_N + low * taper_N,
            radius_N + high * taper_N,
        )


def draw_tubes(tubes: Tubes, grid: Grid) -> Float32Array:
    """(D, H, W) fraction of each voxel that a tube fills.

    The edge is a ramp as wide as the grid's step w; a tube's section then has the area pi (r² + w²/12), so the height
    is scaled by r² / (r² + w²/12) and thin vessels are neither too bright nor lost.
    """
    filled_DHW = np.zeros(grid.shape_DHW, dtype=np.float32)
    flat = filled_DHW.reshape(-1)
    for piece in _chunks(tubes.cut(), grid):
        size_N, index_M, offset_3M = _voxels(piece, grid)
        np.maximum.at(flat, index_M, _coverage(piece, size_N, offset_3M, np.float32(grid.ramp_mm)))
    return filled_DHW


def _boxes(tubes: Tubes, grid: Grid) -> tuple[Int64Array, Int64Array]:
    """First voxel (N, 3) and shape (N, 3) of each tube's box, cut to the grid."""
    reach_N1 = (np.maximum(tubes.radius_start_N, tubes.radius_end_N) + 0.5 * grid.ramp_mm)[:, None]
    low = np.ceil(grid.index_of(np.minimum(tubes.start_N3, tubes.end_N3) - reach_N1)).astype(np.int64)
    high = np.floor(grid.index_of(np.maximum(tubes.start_N3, tubes.end_N3) + reach_N1)).astype(np.int64) + 1
    low = np.maximum(low, 0)
    return low, np.maximum(np.minimum(high, grid.shape_DHW) - low, 0)


def _chunks(tubes: Tubes, grid: Grid) -> Iterator[Tubes]:
    """Runs of tubes whose boxes have about ``CHUNK_VOXELS`` together, so that the work stays in the cache."""
    size_N = _boxes(tubes, grid)[1].prod(axis=1)
    tubes, size_N = tubes[size_N > 0], size_N[size_N > 0]
    chunk_N = np.cumsum(size_N) // CHUNK_VOXELS
    edges = np.flatnonzero(np.diff(chunk_N, prepend=-1, append=chunk_N[-1:] + 1))
    for first, last in pairwise(edges):
        yield tubes[first:last]


def _voxels(tubes: Tubes, grid: Grid) -> tuple[Int64Array, Int64Array, list[Float32Array]]:
    """Every voxel of every box: how many a tube has (N,), their flat index (M,), their offset from its start in mm."""
    low_N3, shape_N3 = _boxes(tubes, grid)
    size_N = shape_N3.prod(axis=1)
    first_N = np.cumsum(size_N) - size_N
    nth_M = np.arange(size_N.sum(), dtype=np.int32) - np.repeat(first_N.astype(np.int32), size_N)
    row_M, x_M = np.divmod(nth_M, np.repeat(shape_N3[:, 2].astype(np.int32), size_N))
    z_M, y_M = np.divmod(row_M, np.repeat(shape_N3[:, 1].astype(np.int32), size_N))
    steps = (grid.shape_DHW[1] * grid.shape_DHW[2], grid.shape_DHW[2], 1)
    index_M = np.repeat(low_N3 @ np.asarray(steps), size_N)
    offset_3M = []
    base_N3 = (low_N3 * np.asarray(grid.spacing_mm) + np.asarray(grid.origin_mm) - tubes.start_N3).astype(np.float32)
    for axis, nth in enumerate((z_M, y_M, x_M)):
        index_M += nth * np.int64(steps[axis])
        step_mm = np.float32(grid.spacing_mm[axis])
        offset_3M.append(np.repeat(base_N3[:, axis], size_N) + nth.astype(np.float32) * step_mm)
    return size_N, index_M, offset_3M


def _coverage(tubes: Tubes, size_N: Int64Array, offset_3M: list[Float32Array], ramp_mm: np.float32) -> Float32Array:
    """(M,) filled fraction, from d² = |o|² - 2 t (o·a) + t² |a|² with o from the start, a along the tube, t in 0..1."""
    axis_N3 = tubes.end_N3 - tubes.start_N3
    squared_N = np.maximum((axis_N3**2).sum(axis=1), 1e-6)
    dot_M, distance_M = (np.zeros(len(offset_3M[0]), dtype=np.float32) for _ in range(2))
    for axis, offset_M in enumerate(offset_3M):
        dot_M += offset_M * _each(axis_N3[:, axis], size_N)
        distance_M += offset_M * offset_M
    squared_M = _each(squared_N, size_N)
    along_M = np.clip(dot_M / squared_M, 0.0, 1.0)
    distance_M += along_M * (along_M * squared_M - 2 * dot_M)
    radius_M = _each(tubes.radius_start_N, size_N)
    radius_M += along_M * _each(tubes.radius_end_N - tubes.radius_start_N, size_N)
    filled_M = np.clip(0.5 + (radius_M - np.sqrt(np.maximum(distance_M, 0.0))) / ramp_mm, 0.0, 1.0)
    return filled_M / (1 + ramp_mm**2 / 12 / radius_M**2)


def _each(value_N: Float64Array, size_N: Int64Array) -> Float32Array:
    """Every tube's value for every voxel of its box."""
    return np.repeat(value_N.astype(np.float32), size_N)
