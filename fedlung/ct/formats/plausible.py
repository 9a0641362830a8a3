"""Whether the values of a MetaImage or NIfTI file can be a CT's in Hounsfield units: these formats name no unit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedlung.ct.audit.content import beyond_hounsfield
from fedlung.ct.audit.seam import seam_after, seam_sentence
from fedlung.ct.audit.stray import rms_steps
from fedlung.ct.hounsfield import HU_FLOOR
from fedlung.errors import SeriesError

SAMPLE_STEP = 16
# Two rows of pixels that are all exactly 0, where 0 is no air: a copy that was broken off, and filled with zeros.
MIN_ZERO_ROWS = 2
AIR_HU = -900.0


@dataclass
class Seen:
    """What is remembered of each stored slice, in the order of the file."""

    slope: float
    intercept: float
    lowest: float = float("inf")
    begins_with_zeros: bool = False
    ends_with_zeros: bool = False
    samples: list[npt.NDArray] = field(default_factory=list)

    def add(self, stored_HW: npt.NDArray, lowest_hu: float) -> None:
        """Remember a slice."""
        if not self.samples:
            self.begins_with_zeros = not stored_HW[:MIN_ZERO_ROWS].any()
        self.ends_with_zeros = not stored_HW[-MIN_ZERO_ROWS:].any()
        self.lowest = min(self.lowest, lowest_hu)
        step = tuple(slice(None, None, max(1, min(SAMPLE_STEP, size // SAMPLE_STEP))) for size in stored_HW.shape)
        self.samples.append((stored_HW[step] * np.float64(self.slope) + self.intercept).ravel())

    def check(self) -> None:
        """Raises SeriesError NOT_HOUNSFIELD, IMPLAUSIBLE_HU or TRAILING_ZERO_ROWS."""
        if self.lowest >= 0:
            sentence = f"no voxel below water: the lowest value is {self.lowest:g}, and air would be -1000 HU."
            remedy = "Leave it out if it is a mask or a picture; else convert it again, in Hounsfield units."
            raise SeriesError("NOT_HOUNSFIELD", sentence, remedy=remedy)
        finding = beyond_hounsfield(np.stack(self.samples))
        if finding is not None:
            raise finding.error
        if self.ends_with_zeros and not self.begins_with_zeros and self.intercept > AIR_HU:
            sentence = "the file ends in rows of zeros, which are no air: it was not copied to its end."
            raise SeriesError("TRAILING_ZERO_ROWS", sentence, remedy="Copy it again.")

    def seam(self) -> str:
        """A sentence where the image changes at once from one stored slice to the next; empty where it does not."""
        number = seam_after(rms_steps(np.maximum(np.stack(self.samples), HU_FLOOR).astype(np.float32), 1))
        return "" if number is None else seam_sentence(number, len(self.samples), "in the file's order")
