"""Hounsfield units: what a voxel may hold, the same for every file format."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedlung.errors import SeriesError

HU_FLOOR = -1024
"""Air. Outside their round field of view scanners write anything down to -3024 HU."""

HU_LIMITS = np.iinfo(np.int16)


def refuse_implausible(low: float, high: float) -> None:
    """Raises SeriesError IMPLAUSIBLE_HU where the lowest or the highest HU is beyond any scanner's, or is no number."""
    if not (low >= HU_LIMITS.min and high <= HU_LIMITS.max):
        sentence = f"HU from {low:.0f} to {high:.0f}, expected {HU_LIMITS.min} to {HU_LIMITS.max} at the very most."
        raise SeriesError("IMPLAUSIBLE_HU", sentence, remedy="Export again: the rescale or the pixels' sign is wrong.")


def write_hu(out_HW: npt.NDArray, stored_HW: npt.NDArray, slope: float, intercept: float) -> float:
    """Fill ``out_HW`` (int16 or float32) with ``slope * stored + intercept``, at least air; gives the lowest HU met.

    Whole numbers stay whole. Raises SeriesError IMPLAUSIBLE_HU.
    """
    ends = [float(stored_HW.min()) * slope + intercept, float(stored_HW.max()) * slope + intercept]
    low, high = sorted(ends)
    refuse_implausible(low, high)
    floor = np.int16(HU_FLOOR)  # typed, so that unsigned pixels are widened to meet it
    if (slope, intercept) == (1, 0):
        np.maximum(stored_HW, floor, out=out_HW, casting="unsafe")
    elif out_HW.dtype == np.int16:
        np.maximum(stored_HW.astype(np.int64) * int(slope) + int(intercept), floor, out=out_HW, casting="unsafe")
    else:
        np.maximum(stored_HW * slope + intercept, floor, out=out_HW, casting="same_kind")
    return low
