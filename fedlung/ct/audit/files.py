"""Checks of a file by itself: whatever is no slice of a CT scan is left out alone."""

from __future__ import annotations

from collections.abc import Callable

from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
)

from fedlung.ct.audit.findings import Finding
from fedlung.ct.dicom.headers import Header

# An export may declare no class or a vendor's own; DICOM's own classes for something else are believed.
DICOM_STORAGE = "1.2.840.10008.5.1.4.1.1."
CT_CLASSES = {CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage}
# PS3.3 C.7.3.1.1.1. Only these are told: any other text of a header may be anything, a name as well.
MODALITIES = {"CR", "DOC", "DX", "KO", "MG", "MR", "NM", "OT", "PR", "PT", "REG", "RF", "RTDOSE", "RTIMAGE", "RTPLAN"}
MODALITIES |= {"RTRECORD", "RTSTRUCT", "RWV", "SC", "SEG", "SR", "US", "XA"}
SCREEN_WORDS = {"SCREEN SAVE", "SCREENSAVE", "DOSE_INFO", "REPORT"}


def audit_file(header: Header) -> Finding | None:
    """The first reason why a file is no slice of a CT series, if there is one."""
    return next((finding for check in FILE_CHECKS if (finding := check(header))), None)


def _directory(header: Header) -> Finding | None:
    if header.file_class == MediaStorageDirectoryStorage:
        return Finding("DICOMDIR", "an index of a medium, not an image.", "Nothing to do: every file is looked at.")
    return None


def _no_series(header: Header) -> Finding | None:
    if not header.series_uid:
        return Finding("NO_SERIES_UID", "no SeriesInstanceUID.", "Export the files again from the archive.")
    return None


def _not_ct(header: Header) -> Finding | None:
    if header.modality != "CT":
        found = header.modality if header.modality in MODALITIES else "another value" if header.modality else "nothing"
        return Finding("NOT_CT", f"modality is {found}, expected CT.", "Nothing to do unless it should be CT.")
    return None


def _other_class(header: Header) -> Finding | None:
    if header.file_class.startswith(DICOM_STORAGE) and header.file_class not in CT_CLASSES:
        sentence = "the modality is CT but the file's class is another kind of object."
        return Finding("NOT_CT", sentence, "Export the original images, not captures or results.")
    return None


def _localizer(header: Header) -> Finding | None:
    if "LOCALIZER" in header.image_type:
        return Finding("LOCALIZER", "a scout view, not a slice.", "Nothing to do.")
    return None


def _screen(header: Header) -> Finding | None:
    if SCREEN_WORDS & set(header.image_type):
        return Finding("NOT_CT", "a picture of a screen or a report, not a slice.", "Nothing to do.")
    return None


def _no_pixels(header: Header) -> Finding | None:
    if not all(header.shape_HW):
        return Finding("NO_PIXELS", "no image matrix.", "Nothing to do unless it should be an image.")
    return None


def _multi_frame(header: Header) -> Finding | None:
    if header.num_frames != 1 and not header.is_enhanced:
        sentence = f"{header.num_frames} frames in one file and no functional groups that say where they lie."
        return Finding("ENHANCED_MULTIFRAME_UNSUPPORTED", sentence, "Export as classic CT, one file a slice.")
    return None


def _float_pixels(header: Header) -> Finding | None:
    """PS3.3 C.7.6.24: no CT is stored in them."""
    if header.has_float_pixels:
        return Finding("FLOAT_PIXELS", "the pixels are floating point numbers.", "Export the original images.")
    return None


# ORDER: what a file is comes before what it lacks, so that a report is called one and not an image without a matrix.
FILE_CHECKS: tuple[Callable[[Header], Finding | None], ...] = (
    _directory,
    _not_ct,
    _other_class,
    _no_series,
    _localizer,
    _screen,
    _multi_frame,
    _no_pixels,
    _float_pixels,
)
