"""Regular grids of the phantom, and coarse fields that are brought to them by linear interpolation.

Shapes: D slices, H rows, W columns; positions are zyx in mm in the scene's own space (origin mid-chest, z to the head,
y to the back, x to the patient's left). Gathers and sums only, so that no library's number of threads changes a bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """A regular axis-aligned grid: the position of its first voxel's centre, its spacing and its shape."""

    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    shape_DHW: tuple[int, int, int]

    @classmethod
    def centred(cls, extent_mm: tuple[float, float, float], spacing_mm: tuple[float, float, float]) -> Grid:
        """The grid around the scene's origin that covers ``extent_mm`` along z, y and x."""
        shape = tuple(int(np.ceil(extent / step)) + 1 for extent, step in zip(extent_mm, spacing_mm, strict=True))
        origin = tuple(-0.5 * (n - 1) * step for n, step in zip(shape, spacing_mm, strict=True))
        return cls(origin, spacing_mm, shape)  # type: ignore[arg-type]

    def axis_mm(self, axis: int) -> Float64Array:
        """Positions along one axis."""
        steps = np.arange(self.shape_DHW[axis], dtype=np.float64)
        return self.origin_mm[axis] + self.spacing_mm[axis] * steps

    def open_zyx(self) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Positions as three arrays (D, 1, 1), (1, H, 1) and (1, 1, W) that broadcast."""
        z, y, x = (self.axis_mm(axis).astype(np.float32) for axis in range(3))
        return z[:, None, None], y[None, :, None], x[None, None, :]

    def index_of(self, points_N3: Float64Array) -> npt.NDArray[np.floating]:
        """Fractional indices (N, 3) of positions (N, 3)."""
        return (points_N3 - np.asarray(self.origin_mm)) / np.asarray(self.spacing_mm)

    @property
    def ramp_mm(self) -> float:
        """Width of a soft edge that this grid can hold without aliasing."""
        return max(self.spacing_mm)


@dataclass(frozen=True)
class Field:
    """Values on a coarse grid; beyond it the outermost ones, or the tile again where ``periodic``."""

    grid: Grid
    values_DHW: Float32Array
    periodic: bool = False

    def at(self, points_N3: Float64Array) -> Float64Array:
        """Linearly interpolated values (N,) at positions (N, 3)."""
        mode = "grid-wrap" if self.periodic else "nearest"
        return map_coordinates(self.values_DHW, self.grid.index_of(points_N3).T, order=1, mode=mode, output=np.float64)

    def planes(self, grid: Grid) -> Iterator[Float32Array]:
        """Linearly interpolated values on a finer grid, one slice (H, W) after the other."""
        along_x = _lerp(self.values_DHW, *self._neighbours(grid, 2), axis=2)
        rows = self._neighbours(grid, 1)
        for low, high, weight in zip(*self._neighbours(grid, 0), strict=True):
            yield _lerp(along_x[low] + weight * (along_x[high] - along_x[low]), *rows, axis=0)

    def on(self, grid: Grid) -> Float32Array:
        """(D, H, W) linearly interpolated values on a finer grid."""
        return np.stack(list(self.planes(grid)))

    def _neighbours(self, grid: Grid, axis: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Float32Array]:
        num = self.grid.shape_DHW[axis]
        index = (grid.axis_mm(axis) - self.grid.origin_mm[axis]) / self.grid.spacing_mm[axis]
        if not self.periodic:
            index = np.clip(index, 0, num - 1)
        floor = np.floor(index)
        low = floor.astype(np.intp)
        high = (low + 1) % num if self.periodic else np.minimum(low + 1, num - 1)
        return low % num, high, (index - floor).astype(np.float32)


def _lerp(
    values: Float32Array, low: npt.NDArray[np.intp], high: npt.NDArray[np.intp], weight: Float32Array, *, axis: int
) -> Float32Array:
    below, step = np.take(values, low, axis=axis), np.take(values, high, axis=axis)
    step -= below
    step *= np.expand_dims(weight, tuple(range(1, values.ndim - axis)))
    step += below
    return step


def blend(hu_DHW: Float32Array, filled_DHW: Float32Array, value: float) -> None:
    """Replace the filled fraction of every voxel by ``value`` in place, slice by slice, which stays in the cache."""
    for hu_HW, filled_HW in zip(hu_DHW, filled_DHW, strict=True):
        hu_HW += filled_HW * (np.float32(value) - hu_HW)


def fractal_tile(rng: np.random.Generator, *, edge: int, spacing_mm: float, slope: float) -> Field:
    """A periodic field of mean 0 and deviation 1 whose power falls as frequency to the ``-slope``."""
    white = rng.standard_normal((edge, edge, edge), dtype=np.float32)
    frequency = np.fft.fftfreq(edge).astype(np.float32)
    squared = (
        frequency[:, None, None] ** 2 + frequency[None, :, None] ** 2 + frequency[None, None, : edge // 2 + 1] ** 2
    )
    # Below three cycles a tile the power is held level, else one blob fills the lung.
    amplitude = np.maximum(squared, (3 / edge) ** 2) ** (-slope / 4)
    amplitude[0, 0, 0] = 0.0
    values = np.fft.irfftn(np.fft.rfftn(white) * amplitude, s=white.shape, axes=(0, 1, 2)).astype(np.float32)
    grid = Grid((0.0, 0.0, 0.0), (spacing_mm,) * 3, (edge,) * 3)
    return Field(grid, values / values.std(), periodic=True)
