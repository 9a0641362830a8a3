"""The affine map that a file writes -> our geometry. Axes are swapped and flipped; nothing is interpolated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from fedlung.ct.geometry import Float64Array, Geometry
from fedlung.errors import SeriesError

# The finest CT of a chest has pixels of 0.2 mm, the coarsest steps of 20 mm: beyond these the unit is another one.
SPACING_LIMITS_MM = (0.05, 25.0)
# Cosines are printed with six decimals; 1e-3 moves the far edge of a 500 mm field by half a millimetre.
COSINE_TOLERANCE = 1e-3
# No scanner reaches them; they bound what a few bytes of header can make a reader ask memory for.
MAX_ORIGIN_MM = 1e5
MAX_SIDE = 4096
MAX_VOXELS = 1024**3


@dataclass(frozen=True)
class Affine:
    """Where the voxels of a file lie: world xyz (LPS, mm) = ``origin_mm + steps_33 @ index_zyx``.

    shape      voxels along the file's axes, the one that runs slowest first
    steps_33   its columns are the steps in mm along these axes, in the same order
    """

    shape: tuple[int, int, int]
    steps_33: Float64Array
    origin_mm: Float64Array

    @property
    def spacing_mm(self) -> Float64Array:
        """(3,) length of each step."""
        return np.linalg.norm(self.steps_33, axis=0)

    @property
    def cosines_33(self) -> Float64Array:
        """The steps as unit vectors."""
        return self.steps_33 / self.spacing_mm

    def corners_mm(self) -> Float64Array:
        """(8, 3) world positions of the outermost voxels' centres."""
        corners_83 = np.indices((2, 2, 2)).reshape(3, 8).T * (np.asarray(self.shape) - 1)
        return corners_83 @ self.steps_33.T + self.origin_mm


@dataclass(frozen=True)
class Turn:
    """How a file's axes become ours: ``order`` names the file's axis for each of z, y, x; then some are flipped."""

    order: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)

    def as_stored(self, voxels_DHW: npt.NDArray) -> npt.NDArray:
        """A view of our array with the file's axes: what is written into it in the file's order lies right in ours."""
        flipped = voxels_DHW[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        return flipped.transpose(np.argsort(self.order))

    def geometry(self, affine: Affine) -> Geometry:
        """The grid after the turn."""
        turned = affine.steps_33[:, list(self.order)]
        shape = np.asarray(affine.shape)[list(self.order)]
        origin = affine.origin_mm + turned @ np.where(self.flips, shape - 1, 0)
        spacing = np.linalg.norm(turned, axis=0)
        direction = (turned * np.where(self.flips, -1.0, 1.0) / spacing)[:, ::-1]
        return Geometry(
            tuple(shape.tolist()),
            tuple(spacing.tolist()),
            tuple(origin.tolist()),
            tuple(map(tuple, direction.tolist())),
        )


def right_handed(affine: Affine) -> Turn:
    """The file's axes as they are, the slices reversed where the grid is mirrored: they ascend along the normal."""
    # The columns run z, y, x: their determinant is positive where x, y, z is left-handed.
    return Turn(flips=(bool(np.linalg.det(affine.cosines_33) > 0), False, False))


def nearest_to_patient(affine: Affine) -> Turn:
    """Slices towards the head, rows to the back, columns to the left, as nearly as swaps and flips reach.

    The result is right-handed: some rotation of the cube lies within 63 degrees of any rotation, which makes the sum
    of the three cosines 1.9 or more, and no mirrored grid has a sum above 1.
    """
    towards_33 = affine.cosines_33[::-1]  # rows z, y, x
    order = max(permutations(range(3)), key=lambda order: sum(abs(towards_33[axis, order[axis]]) for axis in range(3)))
    flips = (bool(towards_33[axis, order[axis]] < 0) for axis in range(3))
    return Turn(order, tuple(flips))  # type: ignore[arg-type]


def check_affine(affine: Affine) -> None:
    """Raises SeriesError where the grid is too large, or its steps are no plausible, perpendicular millimetres."""
    if max(affine.shape) > MAX_SIDE or np.prod(affine.shape, dtype=np.float64) > MAX_VOXELS:
        sentence = f"{_times(affine.shape)} voxels, expected at most {MAX_SIDE} a side and {MAX_VOXELS} together."
        raise SeriesError("IMPLAUSIBLE_SIZE", sentence, remedy="Export again: the header is wrong.")
    if not np.abs(affine.origin_mm).max() <= MAX_ORIGIN_MM:
        sentence = f"the position is not in numbers up to {MAX_ORIGIN_MM:g} mm."
        raise SeriesError("NO_POSITION", sentence, remedy="Export again: positions cannot be guessed.")
    with np.errstate(all="ignore"):  # what is not finite is refused
        check_spacing(affine.spacing_mm.tolist())
    if not np.allclose(affine.cosines_33.T @ affine.cosines_33, np.eye(3), atol=COSINE_TOLERANCE):
        sentence = "the axes are not perpendicular to one another."
        raise SeriesError("BAD_ORIENTATION", sentence, remedy="Have it resampled without shear.")


def check_spacing(spacing_mm: Sequence[float]) -> None:
    """Raises SeriesError BAD_PIXEL_SPACING unless every spacing is one that a CT can have."""
    low, high = SPACING_LIMITS_MM
    if not all(low <= one <= high for one in spacing_mm):
        found = " x ".join(f"{one:.4g}" for one in spacing_mm)
        sentence = f"voxels of {found} mm, expected {low:g} to {high:g} mm."
        raise SeriesError("BAD_PIXEL_SPACING", sentence, remedy="Export again: spacing cannot be guessed.")


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
