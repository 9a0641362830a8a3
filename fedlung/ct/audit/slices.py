"""The headers of one series, with what the checks need of their geometry.

Shapes: N slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fedlung.ct.dicom.headers import Header
from fedlung.ct.geometry import Float64Array


@dataclass(frozen=True)
class Slices:
    """The headers of one series; geometry is asked for only after the checks of positions and orientations."""

    headers: tuple[Header, ...]

    @cached_property
    def normal(self) -> Float64Array:
        """(3,) unit vector along which slices are stacked: row direction x column direction."""
        normal = np.cross(self.headers[0].orientation[:3], self.headers[0].orientation[3:])
        return normal / np.linalg.norm(normal)

    @cached_property
    def position_N3(self) -> Float64Array:
        """World position of every file's first voxel."""
        return np.array([header.position_mm for header in self.headers], dtype=np.float64)

    @cached_property
    def along_N(self) -> Float64Array:
        """Position of every file along the normal, in mm."""
        return self.position_N3 @ self.normal

    @cached_property
    def _order_N(self) -> list[int]:
        return np.argsort(self.along_N, kind="stable").tolist()

    @cached_property
    def ascending(self) -> tuple[Header, ...]:
        """The headers by their position along the normal."""
        return tuple(self.headers[i] for i in self._order_N)

    @cached_property
    def ascending_mm(self) -> Float64Array:
        """(N,) sorted positions along the normal."""
        return self.along_N[self._order_N]

    @property
    def step_mm(self) -> float:
        """Mean step. Once the grid is known to be regular it errs less than the median: rounding does not add up."""
        return float((self.ascending_mm[-1] - self.ascending_mm[0]) / (len(self.headers) - 1))

    @cached_property
    def level_N(self) -> np.ndarray:
        """(N,) number of each ascending slice on a regular grid: missing slices leave numbers out."""
        step_mm = np.diff(self.ascending_mm)
        num_steps = np.maximum(np.rint(step_mm / np.median(step_mm)), 1)
        return np.concatenate([[0], np.cumsum(num_steps)]).astype(np.int64)

    @property
    def grid_step_mm(self) -> float:
        """Step of the regular grid that ``level_N`` counts on; the mean step where no slice is missing."""
        return float((self.ascending_mm[-1] - self.ascending_mm[0]) / self.level_N[-1])

    @cached_property
    def shift_N2(self) -> Float64Array:
        """(N, 2) in mm along column and row direction: ascending slices' first voxels against the first slice's."""
        row, column = np.reshape(self.headers[0].orientation, (2, 3))
        offset_N3 = (self.position_N3 - self.position_N3[self._order_N[0]])[self._order_N]
        return offset_N3 @ np.array([column, row]).T

    @cached_property
    def shear_2(self) -> Float64Array:
        """(2,) in-plane shift in mm per mm along the normal that fits all slices best: 0 without gantry tilt."""
        along_N = self.ascending_mm - self.ascending_mm.mean()
        return along_N @ (self.shift_N2 - self.shift_N2.mean(axis=0)) / (along_N @ along_N)
