"""Thin sheets in the lung: the fissures between lobes, and bands of plate-like atelectasis.

A sheet is y(z, x), so that each of its columns crosses it once. Shapes: D slices, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedlung.ct.phantom.field import Float32Array, Grid


@dataclass(frozen=True)
class Sheet:
    """y = offset + slope_z z + slope_x x + bend sin(x / 25 + phase) in mm, within ranges of x and z."""

    offset_mm: float
    slope_z: float
    slope_x: float
    bend_mm: float
    phase: float
    thickness_mm: float
    hu: float
    x_mm: tuple[float, float]
    z_mm: tuple[float, float]


def draw_sheet_set(rng: np.random.Generator) -> tuple[Sheet, ...]:
    """An oblique fissure in each lung, and now and then a band."""
    everywhere = (-np.inf, np.inf)
    sheets = []
    for x_mm in ((-np.inf, -20.0), (20.0, np.inf)):
        offset, slope, bend = rng.uniform(-8, 14), rng.uniform(0.9, 1.3), rng.uniform(2, 5)
        sheets.append(Sheet(offset, slope, 0.0, bend, rng.uniform(0, 6), 0.8, -300.0, x_mm, everywhere))
    for _ in range(rng.integers(0, 4)):
        x, z, width = rng.choice([-1, 1]) * rng.uniform(50, 95), rng.uniform(-60, 60), rng.uniform(8, 22)
        slope = rng.uniform(-0.5, 0.5)
        offset = rng.uniform(-50, 50) - slope * x
        window = (z - rng.uniform(3, 9), z + rng.uniform(3, 9))
        sheets.append(
            Sheet(
                offset,
                rng.uniform(-0.6, 0.6),
                slope,
                2.0,
                0.0,
                rng.uniform(1, 3),
                -20.0,
                (x - width, x + width),
                window,
            )
        )
    return tuple(sheets)


def draw_sheets(hu_DHW: Float32Array, lung_DHW: Float32Array, grid: Grid, sheets: Sequence[Sheet]) -> None:
    """Draw the sheets into the lung in place, as densely as a sheet of that thickness fills a voxel."""
    for sheet in sheets:
        index_z, index_x, y_C = _columns(sheet, grid)
        tilt = np.hypot(1.0, np.hypot(sheet.slope_z, sheet.slope_x))
        half_mm = 0.5 * (sheet.thickness_mm + grid.ramp_mm) * tilt
        first_C = np.floor((y_C - half_mm - grid.origin_mm[1]) / grid.spacing_mm[1]).astype(int)
        for step in range(int(np.ceil(2 * half_mm / grid.spacing_mm[1])) + 2):
            row_C = first_C + step
            keep = (row_C >= 0) & (row_C < grid.shape_DHW[1])
            at = index_z[keep], row_C[keep], index_x[keep]
            away_C = np.abs(grid.origin_mm[1] + grid.spacing_mm[1] * row_C[keep] - y_C[keep]) / tilt
            filled_C = _filled(away_C, sheet.thickness_mm, grid.ramp_mm) * lung_DHW[at]
            hu_DHW[at] += (filled_C * np.maximum(sheet.hu - hu_DHW[at], 0)).astype(np.float32)


def _columns(sheet: Sheet, grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slice and column index (C,) of the sheet's columns, and its y there."""
    z, x = grid.axis_mm(0), grid.axis_mm(2)
    kept_z = np.flatnonzero((z >= sheet.z_mm[0]) & (z <= sheet.z_mm[1]))
    kept_x = np.flatnonzero((x >= sheet.x_mm[0]) & (x <= sheet.x_mm[1]))
    index_z, index_x = (part.ravel() for part in np.meshgrid(kept_z, kept_x, indexing="ij"))
    wave = sheet.bend_mm * np.sin(x[index_x] / 25 + sheet.phase)
    return index_z, index_x, sheet.offset_mm + sheet.slope_z * z[index_z] + sheet.slope_x * x[index_x] + wave


def _filled(away: np.ndarray, thickness_mm: float, ramp_mm: float) -> np.ndarray:
    """A trapezoid of area ``thickness_mm``, with flanks as wide as the ramp."""
    height = 4 * ramp_mm * thickness_mm / (ramp_mm + thickness_mm) ** 2 if thickness_mm < ramp_mm else 1.0
    return height * np.clip(0.5 + (0.5 * thickness_mm - away) / ramp_mm, 0.0, 1.0)
