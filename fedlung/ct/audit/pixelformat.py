"""Whether the pixels' description can be trusted: gray, whole, in a known number of bits and in Hounsfield units."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydicom.uid import EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from fedlung.ct.audit.findings import Finding
from fedlung.ct.audit.slices import Slices
from fedlung.ct.dicom.headers import Header

MULTI_FRAME_CLASSES = {EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage}
GRAYSCALE = {"MONOCHROME1", "MONOCHROME2"}
# PS3.3 C.7.6.3.1.2, retired ones too. Only these are told: any other text of a header may be a name.
COLOURS = {"PALETTE COLOR", "RGB", "HSV", "ARGB", "CMYK", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422"}
COLOURS |= {"YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "XYB"}
# PS3.3 C.11.1.1.2. US is "unspecified": old scanners write it beside numbers that are HU, so it is a warning.
HOUNSFIELD_TYPES = {"", "HU", "US"}


def _grayscale(slices: Slices) -> Finding | None:
    found = {header.photometric for header in slices.headers}
    num_samples = max(header.num_samples for header in slices.headers)
    if not found <= GRAYSCALE or len(found) != 1 or num_samples != 1:
        told = sorted({_told(photometric) for photometric in found})
        said = f"photometric interpretation {', '.join(told)} of up to {num_samples} samples a pixel"
        sentence = f"{said}, expected one, MONOCHROME2 or MONOCHROME1, of 1."
        return Finding("NOT_MONOCHROME2", sentence, "Export the original images, not a screen capture.")
    return None


def _told(photometric: str) -> str:
    return photometric if photometric in GRAYSCALE | COLOURS else "another value" if photometric else "nothing"


def _bits(slices: Slices) -> Finding | None:
    for header in slices.headers:
        if header.bits_allocated not in (8, 16) or not 0 < header.bits_stored <= header.bits_allocated:
            sentence = f"{header.bits_stored} bits stored in {header.bits_allocated}, expected up to 16 in 16."
            return Finding("UNSUPPORTED_BITS", sentence, "Export the original images.")
        if header.high_bit != header.bits_stored - 1:
            sentence = f"the highest of {header.bits_stored} bits is {header.high_bit}, not {header.bits_stored - 1}."
            return Finding("UNSUPPORTED_BITS", sentence, "Export the original images.")
    return None


def _no_rescale(slices: Slices) -> Finding | None:
    bad = sum(not (np.isfinite(h.intercept) and np.isfinite(h.slope) and h.slope > 0) for h in slices.headers)
    if bad:
        sentence = f"{bad} of {len(slices.headers)} slices have no RescaleSlope above 0 and RescaleIntercept."
        return Finding("NO_RESCALE", sentence, "Export again: without them the numbers are no Hounsfield units.")
    return None


def _lookup_table(slices: Slices) -> Finding | None:
    """PS3.3 C.11.1: a table takes the place of slope and intercept; with both, one of them is wrong."""
    found = sum(header.has_modality_lut for header in slices.headers)
    if found:
        sentence = f"{found} of {len(slices.headers)} slices have a table in the place of slope and intercept."
        return Finding("MODALITY_LUT", sentence, "Export the original images, with slope and intercept alone.")
    return None


def _not_hounsfield(slices: Slices) -> Finding | None:
    other = {header.rescale_type.upper() for header in slices.headers} - HOUNSFIELD_TYPES
    if other:
        sentence = "the rescaled numbers are declared to be another unit than Hounsfield's."
        return Finding("NOT_HOUNSFIELD", sentence, "Export the CT itself, not a map made of it.")
    return None


def _pixels_short(slices: Slices) -> Finding | None:
    short = sum(map(_is_short, slices.headers))
    if short:
        sentence = f"{short} of {len(slices.headers)} files end before their image does."
        return Finding("PIXELDATA_SHORT", sentence, "Copy or export the series again.")
    return None


def _is_short(header: Header) -> bool:
    if header.pixels is None:
        return not header.is_deflated
    if header.pixels.length is None:
        return header.pixels.available < 16
    return min(header.pixels.length, header.pixels.available) < _image_bytes(header)


def _image_bytes(header: Header) -> int:
    return header.shape_HW[0] * header.shape_HW[1] * header.bits_allocated // 8


def _line_bytes(header: Header) -> int:
    return min(header.shape_HW) * header.bits_allocated // 8


def _pixels_long(slices: Slices) -> Finding | None:
    """At least a row or a column too much: the matrix is not that of the pixels. Less is a writer's padding."""
    classic = [header for header in slices.headers if header.pixels and header.file_class not in MULTI_FRAME_CLASSES]
    long = sum(
        (header.pixels.length or 0) >= _image_bytes(header) + _line_bytes(header) for header in classic if header.pixels
    )
    if long:
        sentence = f"{long} of {len(slices.headers)} files have more pixels than rows times columns."
        return Finding("PIXELDATA_LONG", sentence, "Export again: the matrix size is wrong.")
    return None


# ORDER: bits before lengths, which are counted in them.
PIXEL_FORMAT_CHECKS: tuple[Callable[[Slices], Finding | None], ...] = (
    _grayscale,
    _bits,
    _lookup_table,
    _no_rescale,
    _not_hounsfield,
    _pixels_short,
    _pixels_long,
)
