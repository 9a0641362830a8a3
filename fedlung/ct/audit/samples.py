"""What is remembered of every slice while a series is read: a coarse sample of its stored values.

Shapes: N slices, S samples of a slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from fedlung.ct.audit.geometry import is_aside
from fedlung.ct.audit.signs import padding_range
from fedlung.ct.audit.slices import Slices
from fedlung.ct.audit.stray import Stray, rms_steps, stray_slice
from fedlung.ct.audit.torn import TornTail
from fedlung.ct.dicom.headers import Header
from fedlung.ct.geometry import Float64Array

SAMPLES = (128, 8)
AIR_HU = -1024.0
# Of the median one.
MAX_STEP = 1.5


@lru_cache(maxsize=8)
def sample_grid(shape_HW: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns that are sampled: many rows, since damage in a file runs along them."""
    steps = [max(1, length // number) for length, number in zip(shape_HW, SAMPLES, strict=True)]
    return slice(steps[0] // 2, None, steps[0]), slice(steps[1] // 2, None, steps[1])


@dataclass(frozen=True)
class Sampled:
    """What is remembered of a slice."""

    stored_S: npt.NDArray
    tail: TornTail | None


@dataclass(frozen=True)
class Samples:
    """All that was remembered of a series, with the volume that was read."""

    headers: tuple[Header, ...]
    sampled: tuple[Sampled, ...]
    voxels_DHW: npt.NDArray

    @cached_property
    def stored_NS(self) -> npt.NDArray:
        """(N, S) stored values, as they came."""
        return np.stack([sampled.stored_S for sampled in self.sampled])

    @cached_property
    def hu_NS(self) -> npt.NDArray[np.float32]:
        """(N, S) HU of the samples; padding and all below air is air."""
        return np.fmax(self.rescaled_NS, np.float32(AIR_HU))

    @cached_property
    def rescaled_NS(self) -> npt.NDArray[np.float32]:
        """(N, S) slope * stored + intercept; bits above BitsStored are taken off, and padding is NaN."""
        facts = [(h.bits_stored, h.signed, h.slope, h.intercept) for h in self.headers]
        bits_N1, signed_N1, slope_N1, intercept_N1 = (np.array(fact)[:, None] for fact in zip(*facts, strict=True))
        value_NS = self.stored_NS.astype(np.int32) & ((1 << bits_N1) - 1).astype(np.int32)
        top_N1 = np.where(signed_N1, 1 << (bits_N1 - 1), 0).astype(np.int32)
        value_NS = (value_NS ^ top_N1) - top_N1
        hu_NS: npt.NDArray[np.float32] = (value_NS * slope_N1 + intercept_N1).astype(np.float32)
        if all(header.padding is None for header in self.headers):
            return hu_NS
        ranges = [padding_range(header) or (1, 0) for header in self.headers]
        low_N1, high_N1 = (np.array(end, dtype=np.int32)[:, None] for end in zip(*ranges, strict=True))
        # Padding may need the bits above BitsStored, which were taken off: LIDC has -2000 as 63536.
        for found_NS in (self.stored_NS, value_NS):
            hu_NS[(found_NS >= low_N1) & (found_NS <= high_N1)] = np.nan
        return hu_NS

    @property
    def grid_hw(self) -> tuple[range, range]:
        """Rows and columns of a slice that the samples are from."""
        shape_HW = self.voxels_DHW.shape[1:]
        rows, columns = (range(n)[part] for n, part in zip(shape_HW, sample_grid(shape_HW), strict=True))
        return rows, columns

    @cached_property
    def is_aside(self) -> bool:
        """Whether slices will be shifted into place: until then they do not follow one another pixel by pixel."""
        return is_aside(Slices(self.headers))

    @cached_property
    def has_gaps(self) -> bool:
        """Whether slices are missing or lie unevenly, and will be mended."""
        step_mm = np.diff(Slices(self.headers).ascending_mm)
        return bool(len(step_mm)) and bool(step_mm.max() > MAX_STEP * np.median(step_mm))

    @cached_property
    def stray(self) -> Stray | None:
        """The slice that does not fit between those beside it, if there is one."""
        return None if self.is_aside else stray_slice(self.hu_NS, self.step_N)

    @cached_property
    def step_N(self) -> Float64Array:
        """(N - 1,) root mean square difference in HU of each slice and the next."""
        return rms_steps(self.hu_NS, 1)

    @cached_property
    def mean_N(self) -> Float64Array:
        """(N,) mean HU of each slice's samples."""
        return np.asarray(self.hu_NS.mean(axis=1), dtype=np.float64)

    @cached_property
    def is_constant_N(self) -> npt.NDArray[np.bool_]:
        """(N,) whether a slice has one value only."""
        constant_N = (self.stored_NS == self.stored_NS[:, :1]).all(axis=1)
        for index in np.flatnonzero(constant_N):
            constant_N[index] = np.ptp(self.voxels_DHW[index]) == 0
        return constant_N
