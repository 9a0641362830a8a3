"""A nodule as readers marked it."""

from __future__ import annotations

import math
from dataclasses import dataclass

UNDECIDED_MALIGNANCY = 3.0  # the middle of the ratings 1..5


@dataclass(frozen=True)
class Nodule:
    """One lesion in the patient's millimetres.

    center_mm     (x, y, z) in LPS
    diameter_mm   diameter of the sphere of equal volume, unless the source says otherwise
    readers       how many readers marked it
    malignancy    mean of the readers' ratings 1..5; NaN when nobody rated it
    texture       mean of the readers' ratings 1 (ground glass) .. 5 (solid); NaN when nobody rated it
    """

    center_mm: tuple[float, float, float]
    diameter_mm: float
    readers: int = 1
    malignancy: float = math.nan
    texture: float = math.nan

    @property
    def malignant(self) -> bool | None:
        """Whether the readers lean towards malignant; None where they are undecided or nobody rated it."""
        if math.isnan(self.malignancy) or self.malignancy == UNDECIDED_MALIGNANCY:
            return None
        return self.malignancy > UNDECIDED_MALIGNANCY
