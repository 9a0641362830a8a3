"""Whether slices lie where a volume can be made of them: positions, orientation, spacing, steps.

Tolerances were tried on LIDC's 1018 scans: 1014 have slices within 1e-4 of a step of a regular grid, the other four
are off by more than a whole step (0123, 0267, 0514 and 0672; known to be damaged), and nothing lies between.
SliceThickness and SpacingBetweenSlices never set geometry: 334 of these scans overlap.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fedlung.ct.audit.findings import Finding
from fedlung.ct.audit.slices import Slices
from fedlung.ct.series import Repair

MIN_SLICES = 3
# A slice may lie this part of a step from where a regular grid puts it: positions are printed with one to six decimals.
GRID_TOLERANCE_STEPS = 0.1
# Two slices nearer than this are one: the thinnest step in LIDC is 0.45 mm.
SAME_POSITION_MM = 0.01
# Cosines are printed with six decimals; 1e-3 moves the far edge of a 500 mm field by half a millimetre.
COSINE_TOLERANCE = 1e-3
SPACING_TOLERANCE = 1e-4
# Beyond half a pixel a voxel lies in its neighbour's place.
IN_PLANE_TOLERANCE_PIXELS = 0.5
# Scanners make square pixels: all 1018 series of LIDC have them. Reformats may be a little longer one way, which is
# told in a warning; beyond this, one of the two numbers is wrong.
ODD_PIXEL_RATIO, MAX_PIXEL_RATIO = 1.5, 4.0
# What no scanner of bodies does. LIDC: pixels of 0.46 to 0.98 mm, steps of 0.45 to 5 mm.
PIXEL_SPACING_MM = (0.05, 10.0)
STEP_MM = (0.05, 20.0)
MAX_EXTENT_MM = 2500.0
MAX_POSITION_MM = 20_000.0

# What resampling may mend. Between two slices 10 mm apart a nodule of 6 mm can hide, and no interpolation finds it.
MAX_MISSING_IN_A_ROW = 3
MAX_GAP_MM = 10.0
MAX_MISSING_SHARE = 0.1
MIN_UNEVEN_STEP = 0.2
MAX_TILT_DEGREES = 35.0
MAX_JITTER_MM = 10.0


def _no_position(slices: Slices) -> Finding | None:
    missing = sum(not header.position_mm for header in slices.headers)
    if missing:
        sentence = f"{missing} of {len(slices.headers)} slices have no ImagePositionPatient in numbers."
        return Finding("NO_POSITION", sentence, "Export again: positions cannot be guessed.")
    return None


def _bad_orientation(slices: Slices) -> Finding | None:
    if all(map(_is_orthonormal, {header.orientation for header in slices.headers})):
        return None
    sentence = "ImageOrientationPatient is not two perpendicular unit vectors on every slice."
    return Finding("BAD_ORIENTATION", sentence, "Export again: orientation cannot be guessed.")


def _is_orthonormal(orientation: tuple[float, ...]) -> bool:
    axes_23 = np.array(orientation).reshape(-1, 3)
    return len(axes_23) == 2 and np.allclose(axes_23 @ axes_23.T, np.eye(2), atol=COSINE_TOLERANCE)


def _mixed_orientation(slices: Slices) -> Finding | None:
    orientation_N6 = np.array([header.orientation for header in slices.headers])
    if np.abs(orientation_N6 - orientation_N6[0]).max() > COSINE_TOLERANCE:
        return Finding("MIXED_ORIENTATION", "slices are oriented differently.", "Split it into one series a direction.")
    return None


def _bad_pixel_spacing(slices: Slices) -> Finding | None:
    bad = sum(min(header.pixel_spacing_mm, default=0.0) <= 0 for header in slices.headers)
    if bad:
        sentence = f"{bad} of {len(slices.headers)} slices have no PixelSpacing of two positive numbers."
        return Finding("BAD_PIXEL_SPACING", sentence, "Export again; ImagerPixelSpacing is no substitute.")
    found_mm = np.array([header.pixel_spacing_mm for header in slices.headers])
    if found_mm.min() < PIXEL_SPACING_MM[0] or found_mm.max() > PIXEL_SPACING_MM[1]:
        low_mm, high_mm = PIXEL_SPACING_MM
        sentence = f"PixelSpacing from {found_mm.min():.3g} to {found_mm.max():.3g} mm, expected {low_mm} to {high_mm}."
        return Finding("BAD_PIXEL_SPACING", sentence, "Export again: no scanner of bodies has such pixels.")
    return None


def _oblong_pixels(slices: Slices) -> Finding | None:
    ratio = pixel_ratio(slices)
    if ratio <= MAX_PIXEL_RATIO:
        return None
    sentence = f"pixels are {ratio:.3g} times as long one way as the other, expected at most {MAX_PIXEL_RATIO:g} times."
    remedy = "Compare PixelSpacing with the scanner's; where it is right, have it resampled to square pixels."
    return Finding("OBLONG_PIXELS", sentence, remedy)


def pixel_ratio(slices: Slices) -> float:
    """The longer side of a pixel by the shorter one, at most."""
    spacing_N2 = np.array([header.pixel_spacing_mm for header in slices.headers])
    return float((spacing_N2.max(axis=1) / spacing_N2.min(axis=1)).max())


def _mixed_spacing(slices: Slices) -> Finding | None:
    spacing_N2 = np.array([header.pixel_spacing_mm for header in slices.headers])
    if np.abs(spacing_N2 - spacing_N2[0]).max() > SPACING_TOLERANCE:
        return Finding("MIXED_SPACING", "slices differ in PixelSpacing.", "Split it into one series a reconstruction.")
    return None


def _too_few(slices: Slices) -> Finding | None:
    if len(slices.headers) < MIN_SLICES:
        sentence = f"{len(slices.headers)} slices, expected {MIN_SLICES} or more."
        return Finding("TOO_FEW_SLICES", sentence, "Export the whole series.")
    return None


def _duplicates(slices: Slices) -> Finding | None:
    num_same = int((np.diff(slices.ascending_mm) < SAME_POSITION_MM).sum())
    if num_same:
        sentence = f"{num_same} slices lie where another one lies."
        return Finding("DUPLICATE_POSITION", sentence, "Split phases or reconstructions into series, or remove copies.")
    return None


def _implausible(slices: Slices) -> Finding | None:
    """No body is so large or so far away. A small phantom is none of these."""
    first, step_mm = slices.headers[0], float(np.median(np.diff(slices.ascending_mm)))
    extent_mm = max(np.ptp(slices.ascending_mm), *np.multiply(first.shape_HW, first.pixel_spacing_mm))
    far_mm = float(np.abs(slices.position_N3).max())
    if far_mm > MAX_POSITION_MM or extent_mm > MAX_EXTENT_MM or not STEP_MM[0] <= step_mm <= STEP_MM[1]:
        sentence = f"steps of {step_mm:.3g} mm over {extent_mm:.4g} mm, up to {far_mm:.4g} mm from the origin."
        return Finding("IMPLAUSIBLE_GEOMETRY", sentence, "Export again: no scan of a body is like that.")
    return None


def _in_plane_mm(slices: Slices) -> tuple[float, float] | None:
    """The largest shifts in mm that a tilt explains and that none does, where slices lie too far aside at all.

    What no tilt explains is taken against its median, so that one slice aside is told by its whole shift.
    """
    if not is_aside(slices):
        return None
    along_N = slices.ascending_mm - slices.ascending_mm[0]
    tilted_N2 = np.outer(along_N, slices.shear_2)
    residue_N2 = slices.shift_N2 - tilted_N2
    residue_N2 = residue_N2 - np.median(residue_N2, axis=0)
    return float(np.linalg.norm(tilted_N2[-1])), float(np.linalg.norm(residue_N2, axis=1).max())


def is_aside(slices: Slices) -> bool:
    """Whether any slice is shifted in its plane by more than the tolerance."""
    return bool(np.linalg.norm(slices.shift_N2, axis=1).max() > _in_plane_limit_mm(slices))


def _in_plane_limit_mm(slices: Slices) -> float:
    return IN_PLANE_TOLERANCE_PIXELS * min(slices.headers[0].pixel_spacing_mm)


def _tilt(slices: Slices) -> Finding | None:
    """A constant shift from slice to slice: the gantry was tilted, or the slices are a sheared reformat."""
    found, limit_mm = _in_plane_mm(slices), _in_plane_limit_mm(slices)
    # Random shifts have a slope as well; it is theirs unless it is well beyond them.
    if found is None or found[0] <= found[1] * (2 if found[1] > limit_mm else 1):
        return None
    degrees = float(np.rad2deg(np.arctan(np.linalg.norm(slices.shear_2))))
    sentence = f"slices are shifted in their plane by up to {found[0]:.2f} mm, expected at most {limit_mm:.2f} mm"
    sentence = f"{sentence}: the gantry was tilted by {degrees:.1f} degrees."
    repair: Repair | None = "tilt" if degrees <= MAX_TILT_DEGREES else None
    return Finding("TILT_OR_INPLANE_SHIFT", sentence, "Have it resampled without tilt.", repair)


def _jitter(slices: Slices) -> Finding | None:
    """Shifts in the plane that no tilt explains."""
    found, limit_mm = _in_plane_mm(slices), _in_plane_limit_mm(slices)
    if found is None or found[1] < min(limit_mm, found[0]):
        return None
    sentence = f"slices are shifted in their plane by up to {found[1]:.2f} mm, expected at most {limit_mm:.2f} mm."
    repair: Repair | None = "in-plane-jitter" if found[1] <= MAX_JITTER_MM else None
    return Finding("TILT_OR_INPLANE_SHIFT", sentence, "Have it resampled onto one grid.", repair)


def _missing(slices: Slices) -> Finding | None:
    """Steps that are a multiple of the usual one."""
    step_N, level_N = np.diff(slices.ascending_mm), slices.level_N
    num_missing = int(level_N[-1]) + 1 - len(slices.headers)
    if not num_missing:
        return None
    sentence = f"{num_missing} missing slices (a gap of {step_N.max():.4g} mm, expected {np.median(step_N):.4g} mm)."
    few = np.diff(level_N).max() - 1 <= MAX_MISSING_IN_A_ROW and num_missing <= max(1, MAX_MISSING_SHARE * level_N[-1])
    repair: Repair | None = "missing-slices" if few and step_N.max() <= MAX_GAP_MM else None
    return Finding("NONUNIFORM_OR_MISSING_SLICES", sentence, "Export the series again as a whole.", repair)


def _uneven(slices: Slices) -> Finding | None:
    """Slices off the regular grid that their number and the missing ones make."""
    grid_N = slices.ascending_mm[0] + slices.grid_step_mm * slices.level_N
    if np.abs(slices.ascending_mm - grid_N).max() <= GRID_TOLERANCE_STEPS * slices.grid_step_mm:
        return None
    step_N = np.diff(slices.ascending_mm)
    expected_mm = float(np.median(step_N))
    odd_mm = float(step_N[np.abs(step_N - expected_mm).argmax()])
    sentence = f"slices are not evenly spaced (a step of {odd_mm:.4g} mm, expected {expected_mm:.4g} mm)."
    bounded = step_N.min() >= MIN_UNEVEN_STEP * expected_mm and step_N.max() <= MAX_GAP_MM
    repair: Repair | None = "uneven-steps" if bounded else None
    return Finding("NONUNIFORM_OR_MISSING_SLICES", sentence, "Export the series again as a whole.", repair)


# ORDER: each check relies on what the ones before it have made sure of.
PLACE_CHECKS: tuple[Callable[[Slices], Finding | None], ...] = (
    _no_position,
    _bad_orientation,
    _mixed_orientation,
    _bad_pixel_spacing,
    _mixed_spacing,
    _oblong_pixels,
)
GRID_CHECKS: tuple[Callable[[Slices], Finding | None], ...] = (
    _too_few,
    _duplicates,
    _implausible,
    _jitter,
    _tilt,
    _missing,
    _uneven,
)
