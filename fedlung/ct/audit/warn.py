"""What is odd in a trusted series' headers: sentences that begin with a stable code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from fedlung.ct.audit.geometry import ODD_PIXEL_RATIO, pixel_ratio
from fedlung.ct.audit.order import MIN_LOCATED, location_misfits
from fedlung.ct.audit.slices import Slices
from fedlung.ct.series import is_uid

FOV_TOLERANCE = 0.05
TILT_TOLERANCE_DEGREES = 0.5
# Slices thicker than so many steps. In LIDC 3 at the most; with positions in centimetres 10 or more.
MAX_OVERLAP = 9.0
# Those that are made for loss; JPEG 2000's may go without.
LOSSY_SYNTAXES = {JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless}


def warnings_of(slices: Slices) -> tuple[str, ...]:
    """Sentences on what is odd but trusted; the slices have passed the audit."""
    return tuple(sentence for check in WARNINGS if (sentence := check(slices)))


def _truncated(slices: Slices) -> str:
    """Instance numbers count from 1: a count that starts later or is told to be longer may have lost an end."""
    numbers = [header.instance_number for header in slices.ascending if header.instance_number is not None]
    declared = max((header.num_in_acquisition or 0 for header in slices.headers), default=0)
    if declared > len(slices.headers):
        return f"MAYBE_TRUNCATED: {len(slices.headers)} slices of an acquisition of {declared}; an end may be missing."
    if len(set(numbers)) == len(slices.headers) == max(numbers) - min(numbers) + 1 and min(numbers) > 1:
        return f"MAYBE_TRUNCATED: slices are counted from {min(numbers)} on; an end may be missing."
    return ""


def _merged(slices: Slices) -> str:
    """A study has one date and a series one number (PS3.3 C.7.2.1, C.7.3.1), where all slices say one."""
    dates = {header.study_date for header in slices.headers} - {""}
    numbers = {header.series_number for header in slices.headers} - {""}
    if max(len(dates), len(numbers)) <= 1:
        return ""
    found = f"{len(dates)} study dates and {len(numbers)} series numbers"
    return f"MAYBE_MERGED: {found} under one series UID; it may be several scans."


def _overlap(slices: Slices) -> str:
    """Positions in centimetres look so; reconstructions overlap by half as a rule."""
    thickness_mm = slices.headers[0].slice_thickness_mm
    if not thickness_mm > MAX_OVERLAP * slices.step_mm:
        return ""
    return f"STEP_CONTRADICTED: slices of {thickness_mm:.3g} mm lie {slices.step_mm:.3g} mm apart; both were believed."


def _uid(slices: Slices) -> str:
    """What is no UID may be a name, and is not quoted: a warning is shown where no name may be."""
    if is_uid(slices.headers[0].series_uid):
        return ""
    return "INVALID_UID: the SeriesInstanceUID is not digits and dots, and may name a patient; export with true UIDs."


def _counted_with_gaps(slices: Slices) -> str:
    numbers = {header.instance_number for header in slices.ascending if header.instance_number is not None}
    num_skipped = max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0
    # Two in three of a count must be there, else it is no count of these slices.
    if len(numbers) == len(slices.headers) and 0 < num_skipped <= len(numbers):
        return f"NUMBERS_WITH_GAPS: {num_skipped} instance numbers are not there, though the slices are evenly spaced."
    return ""


def _location(slices: Slices) -> str:
    located_mm = np.array([header.slice_location_mm for header in slices.ascending])
    located_mm = located_mm[~np.isnan(located_mm)]
    if len(located_mm) < MIN_LOCATED or np.ptp(located_mm) == 0 or not location_misfits(slices).any():
        return ""
    return "LOCATION_CONTRADICTS: SliceLocation does not follow the positions; the positions were believed."


def _tilt(slices: Slices) -> str:
    """Neither the orientation nor the positions show the tilt that the tag tells. It may have been taken out before."""
    tilts = {abs(header.gantry_tilt_degrees) for header in slices.headers} - {0.0}
    tilt = max((tilt for tilt in tilts if np.isfinite(tilt)), default=0.0)
    if tilt <= TILT_TOLERANCE_DEGREES or np.linalg.norm(slices.shear_2) > np.tan(np.deg2rad(tilt)) / 2:
        return ""
    return f"TILT_CONTRADICTED: the gantry was tilted by {tilt:.1f} degrees, but the positions are not."


def _field_of_view(slices: Slices) -> str:
    first = slices.headers[0]
    extent_mm = float(np.multiply(first.shape_HW, first.pixel_spacing_mm).max())
    told_mm = {header.reconstruction_diameter_mm for header in slices.headers if header.reconstruction_diameter_mm > 0}
    worst_mm = max(told_mm, key=lambda told: abs(extent_mm / told - 1), default=extent_mm)
    if abs(extent_mm / worst_mm - 1) <= FOV_TOLERANCE:
        return ""
    return f"FIELD_CONTRADICTED: the image is {extent_mm:.0f} mm wide, but its diameter is told as {worst_mm:.0f} mm."


def _oblong(slices: Slices) -> str:
    ratio = pixel_ratio(slices)
    if ratio <= ODD_PIXEL_RATIO:
        return ""
    return f"OBLONG_PIXELS: pixels are {ratio:.3g} times as long one way as the other; scanners make square ones."


def _computed(slices: Slices) -> str:
    derived = any({"DERIVED", "SECONDARY"} & set(header.image_type) for header in slices.headers)
    return "DERIVED: the images are not the scanner's own but made of others." if derived else ""


def _reformatted(slices: Slices) -> str:
    axial = abs(slices.normal[2]) > np.cos(np.deg2rad(45))
    return "" if axial else "NOT_AXIAL: slices are sagittal or coronal."


def _lossy(slices: Slices) -> str:
    lossy = any(header.is_lossy or header.transfer_syntax in LOSSY_SYNTAXES for header in slices.headers)
    return "LOSSY: the images were compressed with loss." if lossy else ""


def _burned_in(slices: Slices) -> str:
    burned_in = any(header.is_burned_in for header in slices.headers)
    return (
        "BURNED_IN: the header says that there is text in the image; look whether it names a patient."
        if burned_in
        else ""
    )


def _unit(slices: Slices) -> str:
    unknown = any(header.rescale_type.upper() == "US" for header in slices.headers)
    return "UNIT_UNSPECIFIED: the header does not say that the rescaled numbers are HU." if unknown else ""


def _bits(slices: Slices) -> str:
    kinds = {(header.signed, header.bits_stored) for header in slices.headers}
    return "MIXED_BITS: slices differ in sign or bits; each was read by its own header." if len(kinds) > 1 else ""


WARNINGS: tuple[Callable[[Slices], str], ...] = (
    _uid,
    _truncated,
    _merged,
    _overlap,
    _counted_with_gaps,
    _location,
    _tilt,
    _field_of_view,
    _oblong,
    _computed,
    _reformatted,
    _lossy,
    _burned_in,
    _unit,
    _bits,
)
