"""A DICOM file -> the header of each of its slices. Values are parsed strictly; one that cannot be parsed is absent."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import pydicom.config
from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from fedlung.ct.dicom.elements import PIXEL_DATA, UNDEFINED_LENGTH, DamagedError, Elements, read_elements
from fedlung.ct.dicom.header import NATIVE_SYNTAXES, Header, PixelSpan
from fedlung.ct.dicom.multiframe import frames_of, has_frames
from fedlung.ct.dicom.source import OpenFile
from fedlung.errors import SeriesError

__all__ = ["DamagedHeaderError", "Header", "PixelSpan", "read_header", "read_headers"]

_KEYWORDS = (
    "MediaStorageSOPClassUID", "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID",
    "SeriesInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName", "PatientBirthDate", "Modality", "ImageType",
    "Manufacturer", "ManufacturerModelName", "ConvolutionKernel", "SliceThickness", "KVP", "XRayTubeCurrent",
    "ImageComments", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "PatientPosition", "Rows",
    "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "PhotometricInterpretation", "NumberOfFrames", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "ModalityLUTSequence", "PixelPaddingValue", "PixelPaddingRangeLimit", "InstanceNumber", "AcquisitionNumber",
    "TemporalPositionIdentifier", "SliceLocation", "GantryDetectorTilt",
    "ImagesInAcquisition", "NumberOfSeriesRelatedInstances", "LossyImageCompression", "BurnedInAnnotation",
    "ReconstructionDiameter", "StackID", "StudyDate", "SeriesNumber", "InConcatenationTotalNumber",
)  # fmt: skip
TAGS = {keyword: tag for keyword in _KEYWORDS if (tag := tag_for_keyword(keyword)) is not None}
_WANTED = frozenset(TAGS.values())
_DEFLATED_OR_NATIVE = NATIVE_SYNTAXES | {DeflatedExplicitVRLittleEndian}
_UID = re.compile(r"[0-9.]{1,64}")
_DECIMAL = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_ESCAPE = b"\x1b"
_COPY_AGAIN = "Copy or export the file again."


class DamagedHeaderError(SeriesError):
    """A DICOM file whose header cannot be read to its end.

    series_uid  its series, where that much is known
    is_series   the file was to hold many slices: it is a series that is lost, not one of its slices
    """

    def __init__(self, sentence: str, *, series_uid: str = "", is_series: bool = False) -> None:
        super().__init__("DAMAGED_HEADER", f"the header is damaged: {sentence}", remedy=_COPY_AGAIN)
        self.series_uid = series_uid
        self.is_series = is_series


def read_headers(path: Path) -> tuple[Header, ...]:
    """The header of every slice in a file: one in a classic file, one a frame where functional groups describe them.

    Raises SeriesError NOT_DICOM or EMPTY_FILE, DamagedHeaderError, and OSError where it cannot be read.
    """
    root, elements = _read(path)
    if root.modality != "CT" or not has_frames(elements, root.file_class, root.num_frames):
        return (root,)
    try:
        frames = frames_of(elements, root.num_frames)
        return tuple(_frame_header(root, replace(elements, values=frame), i) for i, frame in enumerate(frames))
    except DamagedError as error:
        raise DamagedHeaderError(str(error), series_uid=root.series_uid, is_series=True) from error


def read_header(path: Path) -> Header:
    """The header of a file that is one slice. Raises as ``read_headers`` does."""
    return _read(path)[0]


def _read(path: Path) -> tuple[Header, Elements]:
    """The header of a file as a whole, and the elements that it was made of."""
    with OpenFile(path) as file:
        if not file.size:
            raise SeriesError("EMPTY_FILE", "a file of no byte.", remedy="Restore the file, if it is to be a slice.")
        elements = read_elements(file, _WANTED)
        if elements is None:
            remedy = "Nothing to do unless it should be."
            raise SeriesError("NOT_DICOM", "not a DICOM file.", remedy=remedy)
        values = _Values(elements)
        if elements.damage:
            raise DamagedHeaderError(elements.damage, series_uid=values.text("SeriesInstanceUID"))
        pixels = _pixel_span(elements, values.transfer_syntax, file.size)
        return _header(path, values, pixels, file.stamp), elements


def _frame_header(root: Header, elements: Elements, frame: int) -> Header:
    """The header of one frame, whose values ``elements`` has, and of its part of the pixels."""
    header = _header(root.path, _Values(elements), _frame_span(root, frame), root.file_stamp)
    return replace(header, frame=frame, is_enhanced=True)


def _frame_span(root: Header, frame: int) -> PixelSpan | None:
    """Plain frames lie end to end without padding; encapsulated ones are found by their number."""
    span = root.pixels
    if span is None or span.length is None:
        return span
    num_bytes = math.prod(root.shape_HW) * root.num_samples * root.bits_allocated // 8
    if span.length > num_bytes * root.num_frames + 1:
        raise DamagedError(f"more pixels than those of {root.num_frames} frames.")
    start = frame * num_bytes
    return PixelSpan(span.offset + start, num_bytes, max(0, min(span.length, span.available) - start))


def _pixel_span(elements: Elements, syntax: UID, file_size: int) -> PixelSpan | None:
    """None: there are no pixels of whole numbers, or the file is deflated as a whole."""
    pixels = elements.pixels
    if pixels is None or pixels.tag != PIXEL_DATA:
        return None
    is_encapsulated = pixels.length == UNDEFINED_LENGTH
    if is_encapsulated == (syntax in _DEFLATED_OR_NATIVE):
        sentence = "its pixels are encapsulated, or not, against its transfer syntax."
        raise DamagedHeaderError(sentence, series_uid=_Values(elements).text("SeriesInstanceUID"))
    if syntax not in NATIVE_SYNTAXES and not is_encapsulated:
        return None
    return PixelSpan(pixels.offset, None if is_encapsulated else pixels.length, file_size - pixels.offset)


def _header(path: Path, values: _Values, pixels: PixelSpan | None, stamp: tuple[int, int, int]) -> Header:
    bits_allocated, signed = values.count("BitsAllocated", 0), values.count("PixelRepresentation", 0) == 1
    bits_stored = values.count("BitsStored", bits_allocated)
    return Header(
        path=path,
        file_stamp=stamp,
        transfer_syntax=values.transfer_syntax,
        pixels=pixels,
        has_float_pixels=values.has_float_pixels,
        file_class=values.text("MediaStorageSOPClassUID") or values.text("SOPClassUID"),
        series_uid=values.text("SeriesInstanceUID"),
        study_uid=values.text("StudyInstanceUID"),
        patient_id=values.text("PatientID"),
        patient_name=values.text("PatientName"),
        birth_date=values.text("PatientBirthDate"),
        study_date=values.text("StudyDate"),
        series_number=values.text("SeriesNumber"),
        frame_uid=values.text("FrameOfReferenceUID"),
        modality=values.text("Modality"),
        image_type=values.words("ImageType"),
        photometric=values.text("PhotometricInterpretation"),
        manufacturer=values.text("Manufacturer"),
        scanner_model=values.text("ManufacturerModelName"),
        kernel=values.text("ConvolutionKernel"),
        comments=values.text("ImageComments"),
        shape_HW=(values.count("Rows", 0), values.count("Columns", 0)),
        num_samples=values.count("SamplesPerPixel", 1),
        num_frames=values.num_frames,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=values.count("HighBit", bits_stored - 1),
        signed=signed,
        position_mm=values.numbers("ImagePositionPatient", 3),
        orientation=values.numbers("ImageOrientationPatient", 6),
        pixel_spacing_mm=values.numbers("PixelSpacing", 2),
        slope=values.one_number("RescaleSlope"),
        intercept=values.one_number("RescaleIntercept"),
        rescale_type=values.text("RescaleType"),
        padding=values.stored("PixelPaddingValue", signed=signed),
        padding_limit=values.stored("PixelPaddingRangeLimit", signed=signed),
        slice_thickness_mm=values.number("SliceThickness"),
        kvp=values.number("KVP"),
        tube_current_ma=values.number("XRayTubeCurrent"),
        sop_uid=values.text("SOPInstanceUID"),
        instance_number=values.whole("InstanceNumber"),
        acquisition_number=values.whole("AcquisitionNumber"),
        temporal_position=values.whole("TemporalPositionIdentifier"),
        slice_location_mm=values.number("SliceLocation"),
        gantry_tilt_degrees=values.number("GantryDetectorTilt"),
        num_in_acquisition=values.whole("ImagesInAcquisition"),
        num_in_series=values.whole("NumberOfSeriesRelatedInstances"),
        num_in_concatenation=values.count("InConcatenationTotalNumber", 0),
        is_lossy=values.text("LossyImageCompression") == "01",
        is_burned_in=values.text("BurnedInAnnotation").upper() == "YES",
        stack=values.text("StackID"),
        has_modality_lut=values.has("ModalityLUTSequence"),
        reconstruction_diameter_mm=values.number("ReconstructionDiameter"),
        patient_position=values.text("PatientPosition").upper(),
    )


class _Values:
    """Values of a header from their raw bytes; what cannot be parsed is absent."""

    def __init__(self, elements: Elements) -> None:
        self._present = elements.values.keys()
        self._raw = {keyword: elements.values.get(tag, b"") for keyword, tag in TAGS.items()}
        self._order: Literal["little", "big"] = "little" if elements.little_endian else "big"
        self._charset = self._raw["SpecificCharacterSet"]
        self.transfer_syntax = _uid(elements.transfer_syntax) if elements.transfer_syntax else self._default_syntax
        self.has_float_pixels = elements.pixels is not None and elements.pixels.tag != PIXEL_DATA

    @property
    def _default_syntax(self) -> UID:
        """Of a file without group 2."""
        return ImplicitVRLittleEndian if self._order == "little" else ExplicitVRBigEndian

    @property
    def num_frames(self) -> int:
        """Of the file; 0 where it is written in no number."""
        return (self.whole("NumberOfFrames") or 0) if self._raw["NumberOfFrames"].strip(b" \0") else 1

    def has(self, keyword: str) -> bool:
        """Whether the element is there, whatever it holds."""
        return TAGS[keyword] in self._present

    def text(self, keyword: str) -> str:
        """Without padding, in Unicode."""
        raw = self._raw[keyword]
        return _text(raw, self._charset) if raw else ""

    def words(self, keyword: str) -> tuple[str, ...]:
        """In capitals."""
        return _words(self._raw[keyword])

    def numbers(self, keyword: str, count: int) -> tuple[float, ...]:
        """Exactly ``count`` finite numbers, or nothing."""
        found = _numbers(self._raw[keyword])
        return found if len(found) == count and all(map(math.isfinite, found)) else ()

    def one_number(self, keyword: str) -> float:
        """The only number, or NaN."""
        found = _numbers(self._raw[keyword])
        return found[0] if len(found) == 1 else math.nan

    def number(self, keyword: str) -> float:
        """The first of one or more numbers (a tube may have two currents), or NaN."""
        return _numbers(self._raw[keyword])[0]

    def whole(self, keyword: str) -> int | None:
        """A whole number written as text, within DICOM's 32 bits, or None."""
        found = self.one_number(keyword)
        return int(found) if found.is_integer() and abs(found) < 2**31 else None

    def count(self, keyword: str, default: int) -> int:
        """A 16-bit number from 0 up, or the default."""
        found = self.stored(keyword, signed=False)
        return default if found is None else found

    def stored(self, keyword: str, *, signed: bool) -> int | None:
        """A 16-bit value in the pixels' own numbers: LIDC has 63536 where signed pixels hold -2000."""
        raw = self._raw[keyword]
        return int.from_bytes(raw, self._order, signed=signed) if len(raw) == 2 else None


# --- values that recur from slice to slice are parsed once, and kept once ------------------------


@lru_cache(maxsize=1024)
def _uid(text: str) -> UID:
    """A transfer syntax, which need not be one that anybody knows."""
    return UID(text if _UID.fullmatch(text) else "", pydicom.config.IGNORE)


@lru_cache(maxsize=1024)
def _text(raw: bytes, charset: bytes) -> str:
    if raw.isascii() and _ESCAPE not in raw:
        return raw.decode("ascii").strip(" \0")
    names = [name.strip(" \0") for name in charset.decode("ascii", "replace").split("\\")]
    if not set(names) <= python_encoding.keys():
        # pydicom would take the name of any of Python's codecs. The bytes still tell one patient from another.
        return raw.decode("ascii", "backslashreplace").strip(" \0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return decode_bytes(raw, convert_encodings(names), set(b"\\^=")).strip(" \0")


@lru_cache(maxsize=256)
def _words(raw: bytes) -> tuple[str, ...]:
    return tuple(word.strip(" \0") for word in raw.decode("ascii", "replace").upper().split("\\"))


@lru_cache(maxsize=1024)
def _numbers(raw: bytes) -> tuple[float, ...]:
    """One or more numbers between backslashes; NaN for what is none. DICOM has no comma, infinity or underscore."""
    return tuple(_number(part) for part in raw.strip(b" \0").split(b"\\"))


def _number(raw: bytes) -> float:
    stripped = raw.strip(b" \0")
    found = float(stripped) if _DECIMAL.fullmatch(stripped) else math.nan
    return found if math.isfinite(found) else math.nan
