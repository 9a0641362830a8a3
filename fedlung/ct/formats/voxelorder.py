"""Whether the voxels of a MetaImage or NIfTI file run as its sizes say.

A program that writes its array in another order than it tells makes as many voxels of another image, sheared and torn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedlung.ct.audit.findings import Finding
from fedlung.ct.audit.matrix import MIN_SHEAR, misfit
from fedlung.ct.formats.affine import Affine

TRIED = 8
# Voxels that many along a row must lie farther apart than rows do, or they might be more alike where all is in order.
FAR_IN_ROWS = 4.0


@dataclass
class VoxelOrder:
    """What some of the stored slices say, in the order of the file. The whole scan's number of slices is tried as well.

    On five real scans in all six orders of the axes, whole, cut and thinned, no slice was in doubt. With the sizes
    in reverse or the first two exchanged nearly all were, unless the two sizes in a slice are the same: such an image
    is a turned one, and no pixel tells.
    """

    affine: Affine
    slope: float
    intercept: float
    found: list[Finding | None] = field(default_factory=list)

    def look_at(self, number: int, stored_HW: npt.NDArray) -> None:
        """The slice of that number, from 0."""
        if number % max(1, self.affine.shape[0] // TRIED) == 0:
            self.found.append(misfit(stored_HW, self._hu, self._other_columns))

    def finding(self) -> Finding | None:
        """What half of the slices or more agree upon."""
        found = [one for one in self.found if one is not None]
        return found[0] if found and 2 * len(found) >= len(self.found) else None

    def _hu(self, stored: npt.NDArray) -> npt.NDArray[np.int64]:
        return np.rint(stored * np.float64(self.slope) + self.intercept).astype(np.int64)

    @property
    def _other_columns(self) -> Sequence[int]:
        (num_slices, height, width), (_, row_mm, column_mm) = self.affine.shape, self.affine.spacing_mm
        is_other = min(abs(num_slices - height), abs(num_slices - width)) >= MIN_SHEAR
        return [num_slices] if is_other and num_slices * column_mm > FAR_IN_ROWS * row_mm else []
