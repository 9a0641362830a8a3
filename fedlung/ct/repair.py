"""Slices that lie off a regular grid, resampled onto one along their true positions; only where the site asked for it.

Missing slices and uneven steps are linear between the two true neighbours; gantry tilt and in-plane jitter are shifts
of whole slices, linear between pixels. A linear field of HU comes out exact. The grid is widened to hold every
slice where shifts move them; where no slice has a pixel there is air.

Shapes: N slices that were read, D slices of the grid, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedlung.ct.audit import Slices
from fedlung.ct.geometry import Float64Array, Geometry
from fedlung.ct.series import Repair

OUTSIDE_HU = -1024
# A slice this near to a place of the grid is taken as it is: interpolation would only blur it.
SAME_PLACE_STEPS = 1e-3
SENTENCES: dict[Repair, str] = {
    "missing-slices": "REPAIRED: missing slices were interpolated between their neighbours.",
    "uneven-steps": "REPAIRED: slices at uneven steps were interpolated to even ones.",
    "tilt": "REPAIRED: the gantry's tilt was taken out by shifting the slices.",
    "in-plane-jitter": "REPAIRED: slices that lay aside were shifted into place.",
}


def repair_warnings(repairs: tuple[Repair, ...]) -> tuple[str, ...]:
    """A sentence on each repair, for the volume's warnings."""
    return tuple(SENTENCES[repair] for repair in repairs)


def repair_volume(
    voxels_NHW: npt.NDArray[np.int16] | npt.NDArray[np.float32], slices: Slices, geometry: Geometry
) -> tuple[npt.NDArray[np.int16] | npt.NDArray[np.float32], Geometry]:
    """The volume on a regular grid, of the same type, and the grid.

    voxels_NHW  HU of the ascending slices, as they were read
    geometry    with their pixel spacing and direction; its shape, step and origin are replaced
    """
    grid = _Grid.of(slices, geometry)
    out_DHW = np.empty(grid.geometry.shape_DHW, voxels_NHW.dtype)
    for out_HW, place in zip(out_DHW, grid.places(slices), strict=True):
        lower = int(np.clip(np.floor(place), 0, len(voxels_NHW) - 1))
        weight = place - lower
        hu_HW = _shifted(voxels_NHW[lower], grid.corner_N2[lower], grid.canvas_HW)
        if weight > SAME_PLACE_STEPS:
            upper_HW = _shifted(voxels_NHW[lower + 1], grid.corner_N2[lower + 1], grid.canvas_HW)
            hu_HW += np.float32(weight) * (upper_HW - hu_HW)
        hu_HW[np.isnan(hu_HW)] = OUTSIDE_HU
        out_HW[...] = np.rint(hu_HW) if out_DHW.dtype.kind == "i" else hu_HW
    return out_DHW, grid.geometry


@dataclass(frozen=True)
class _Grid:
    """Where the volume will be.

    corner_N2  (row, column) on the grid, fractional and never negative, of each slice's first pixel
    """

    geometry: Geometry
    corner_N2: Float64Array

    @classmethod
    def of(cls, slices: Slices, geometry: Geometry) -> _Grid:
        shift_N2 = slices.shift_N2 / np.array(geometry.spacing_mm[1:])
        # Whole slices that do not move stay on their pixels: the grid's corner is one of theirs.
        corner_N2 = shift_N2 - shift_N2.min(axis=0)
        corner_N2[corner_N2 < SAME_PLACE_STEPS] = 0
        extra_HW = np.ceil(corner_N2.max(axis=0) - SAME_PLACE_STEPS).astype(int)
        shape_DHW = (int(slices.level_N[-1]) + 1, *(np.array(geometry.shape_DHW[1:]) + extra_HW).tolist())
        direction_33 = np.array(geometry.direction)
        row, column = direction_33[:, 0], direction_33[:, 1]
        first_mm = np.array(slices.ascending[0].position_mm)
        offset_2 = slices.shift_N2.min(axis=0)
        origin_mm = first_mm + offset_2[0] * column + offset_2[1] * row
        spacing_mm = (slices.grid_step_mm, *geometry.spacing_mm[1:])
        return cls(Geometry(shape_DHW, spacing_mm, tuple(origin_mm.tolist()), geometry.direction), corner_N2)

    @property
    def canvas_HW(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self.geometry.shape_DHW[1], self.geometry.shape_DHW[2]

    def places(self, slices: Slices) -> Float64Array:
        """(D,) for each slice of the grid the number of the slice that was read there, fractional between two."""
        grid_D = slices.ascending_mm[0] + slices.grid_step_mm * np.arange(self.geometry.shape_DHW[0])
        place_D = np.interp(grid_D, slices.ascending_mm, np.arange(len(slices.ascending_mm), dtype=np.float64))
        near_D = np.rint(place_D)
        return np.where(np.abs(place_D - near_D) < SAME_PLACE_STEPS, near_D, place_D)


def _shifted(hu_HW: npt.NDArray, corner_2: Float64Array, canvas_HW: tuple[int, int]) -> npt.NDArray[np.float32]:
    """(canvas) a slice with its first pixel at a fractional place; NaN where it has no pixels on both sides."""
    moved = hu_HW.astype(np.float32)
    for axis in (0, 1):
        moved = _moved_along(moved, float(corner_2[axis]), canvas_HW[axis], axis)
    return moved


def _moved_along(hu_HW: npt.NDArray[np.float32], corner: float, length: int, axis: int) -> npt.NDArray[np.float32]:
    shape = list(hu_HW.shape)
    shape[axis] = length
    out = np.full(shape, np.nan, np.float32)
    source, target = np.moveaxis(hu_HW, axis, 0), np.moveaxis(out, axis, 0)
    whole = int(np.ceil(corner - SAME_PLACE_STEPS))
    # Pixel ``whole`` of the grid lies this far past the slice's first pixel.
    past = np.float32(max(whole - corner, 0.0))
    if past <= SAME_PLACE_STEPS:
        target[whole : whole + len(source)] = source
    else:
        target[whole : whole + len(source) - 1] = source[:-1] + past * (source[1:] - source[:-1])
    return out
