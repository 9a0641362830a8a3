"""One DICOM file's header -> plain facts, as written. Judging them is the audit's.

Only the tags that decide something are parsed, from their raw bytes, and never the pixels: 0.7 ms a file, where
pydicom's own conversion of every value takes twice that and warns about values that the audit will refuse by name.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

_KEYWORDS = (
    "ImageType", "Modality", "Manufacturer", "ManufacturerModelName", "PatientID", "ConvolutionKernel",
    "SliceThickness", "KVP", "XRayTubeCurrent", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames",
    "RescaleSlope", "RescaleIntercept", "RescaleType", "PixelPaddingValue", "ImageComments", "HighBit",
    "SOPInstanceUID", "InstanceNumber", "AcquisitionNumber", "TemporalPositionIdentifier", "SliceLocation",
    "SpacingBetweenSlices", "GantryDetectorTilt", "ImagesInAcquisition", "NumberOfSeriesRelatedInstances",
)  # fmt: skip
UNDEFINED_LENGTH = 0xFFFFFFFF
PIXEL_DATA = (0x7FE0, 0x0010)


@dataclass(frozen=True)
class PixelSpan:
    """Where the pixels lie in the file: ``length`` bytes as declared (None: encapsulated), ``available`` to its end."""

    offset: int
    length: int | None
    available: int


@dataclass(frozen=True)
class Header:
    """What one file says. None, NaN, an empty text or an empty tuple: it does not say, or not in numbers."""

    path: Path
    transfer_syntax: UID
    pixels: PixelSpan | None
    file_class: str
    series_uid: str
    study_uid: str
    patient_id: str
    frame_uid: str
    modality: str
    image_type: tuple[str, ...]
    photometric: str
    manufacturer: str
    scanner_model: str
    kernel: str
    comments: str
    shape_HW: tuple[int, int]
    num_samples: int
    num_frames: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    position_mm: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing_mm: tuple[float, ...]
    slope: float
    intercept: float
    padding: int | None
    slice_thickness_mm: float
    kvp: float
    tube_current_ma: float
    sop_uid: str = ""
    frame: int = 0
    high_bit: int = 15
    rescale_type: str = ""
    instance_number: int | None = None
    acquisition_number: int | None = None
    temporal_position: int | None = None
    slice_location_mm: float = math.nan
    spacing_between_mm: float = math.nan
    gantry_tilt_degrees: float = math.nan
    num_in_acquisition: int | None = None
    num_in_series: int | None = None

    @property
    def is_native(self) -> bool:
        """Whether the pixels lie in the file as plain numbers."""
        return self.pixels is not None and self.pixels.length is not None

    @property
    def stored_dtype(self) -> np.dtype:
        """Of one plain pixel in the file."""
        order = "<" if self.transfer_syntax.is_little_endian else ">"
        return np.dtype(f"{order}{'i' if self.signed else 'u'}{self.bits_allocated // 8}")


def read_header(path: Path) -> Header:
    """The facts of a DICOM file.

    Raises pydicom's InvalidDicomError where the file is not DICOM and OSError where it cannot be read; a damaged one
    raises whatever pydicom's parser meets.
    """
    with path.open("rb") as file:
        dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
        return _header(path, _Values(dataset), _pixel_span(file, _transfer_syntax(dataset)))


def _header(path: Path, values: _Values, pixels: PixelSpan | None) -> Header:
    bits_allocated, signed = values.count("BitsAllocated", 0), values.count("PixelRepresentation", 0) == 1
    return Header(
        path=path,
        transfer_syntax=values.transfer_syntax,
        pixels=pixels,
        file_class=values.file_class,
        series_uid=values.text("SeriesInstanceUID"),
        study_uid=values.text("StudyInstanceUID"),
        patient_id=values.text("PatientID"),
        frame_uid=values.text("FrameOfReferenceUID"),
        modality=values.text("Modality"),
        image_type=tuple(values.text("ImageType").upper().split("\\")),
        photometric=values.text("PhotometricInterpretation"),
        manufacturer=values.text("Manufacturer"),
        scanner_model=values.text("ManufacturerModelName"),
        kernel=values.text("ConvolutionKernel"),
        comments=values.text("ImageComments"),
        shape_HW=(values.count("Rows", 0), values.count("Columns", 0)),
        num_samples=values.count("SamplesPerPixel", 1),
        num_frames=int(values.number("NumberOfFrames", 1)),
        bits_allocated=bits_allocated,
        bits_stored=values.count("BitsStored", bits_allocated),
        signed=signed,
        position_mm=values.numbers("ImagePositionPatient", 3),
        orientation=values.numbers("ImageOrientationPatient", 6),
        pixel_spacing_mm=values.numbers("PixelSpacing", 2),
        slope=values.number("RescaleSlope"),
        intercept=values.number("RescaleIntercept"),
        padding=values.stored("PixelPaddingValue", signed=signed),
        slice_thickness_mm=values.number("SliceThickness"),
        kvp=values.number("KVP"),
        tube_current_ma=values.number("XRayTubeCurrent"),
        sop_uid=values.text("SOPInstanceUID"),
        high_bit=values.count("HighBit", values.count("BitsStored", bits_allocated) - 1),
        rescale_type=values.text("RescaleType"),
        instance_number=values.whole("InstanceNumber"),
        acquisition_number=values.whole("AcquisitionNumber"),
        temporal_position=values.whole("TemporalPositionIdentifier"),
        slice_location_mm=values.number("SliceLocation"),
        spacing_between_mm=values.number("SpacingBetweenSlices"),
        gantry_tilt_degrees=values.number("GantryDetectorTilt"),
        num_in_acquisition=values.whole("ImagesInAcquisition"),
        num_in_series=values.whole("NumberOfSeriesRelatedInstances"),
    )


class _Values:
    """Values of a data set from their raw bytes; what cannot be parsed is absent."""

    def __init__(self, dataset: FileDataset) -> None:
        self._dataset = dataset
        self.transfer_syntax = _transfer_syntax(dataset)
        self.file_class = str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))

    def _raw(self, keyword: str) -> bytes:
        element = self._dataset.get_item(keyword) if keyword in self._dataset else None
        return element.value if element is not None and isinstance(element.value, bytes) else b""

    def text(self, keyword: str) -> str:
        raw = self._raw(keyword)
        if raw.isascii():
            return raw.decode("ascii").strip(" \0")
        return str(self._dataset.get(keyword, "")).strip(" \0")

    def numbers(self, keyword: str, count: int) -> tuple[float, ...]:
        """Exactly ``count`` finite numbers, or nothing."""
        try:
            found = tuple(float(part) for part in self._raw(keyword).decode("ascii").strip(" \0").split("\\"))
        except ValueError:
            return ()
        return found if len(found) == count and all(map(math.isfinite, found)) else ()

    def number(self, keyword: str, default: float = math.nan) -> float:
        """The first of one or more numbers (a tube may have two currents), or the default."""
        try:
            return float(self._raw(keyword).split(b"\\")[0].decode("ascii").strip(" \0"))
        except ValueError:
            return default

    def whole(self, keyword: str) -> int | None:
        """A whole number written as text, or None."""
        found = self.number(keyword)
        return int(found) if found.is_integer() else None

    def count(self, keyword: str, default: int) -> int:
        """A 16-bit number from 0 up, or the default."""
        found = self.stored(keyword, signed=False)
        return default if found is None else found

    def stored(self, keyword: str, *, signed: bool) -> int | None:
        """A 16-bit value in the pixels' own numbers: LIDC has 63536 where signed pixels hold -2000."""
        raw = self._raw(keyword)
        order: Literal["little", "big"] = "little" if self.transfer_syntax.is_little_endian else "big"
        return int.from_bytes(raw, order, signed=signed) if len(raw) == 2 else None


def _transfer_syntax(dataset: FileDataset) -> UID:
    found = getattr(dataset.file_meta, "TransferSyntaxUID", None)
    if found:
        return UID(found)
    return ImplicitVRLittleEndian if dataset.original_encoding[0] else ExplicitVRLittleEndian


def _pixel_span(file: BinaryIO, syntax: UID) -> PixelSpan | None:
    """The parser stopped before the pixel element. None: there is none, or the file is deflated as a whole."""
    if syntax == DeflatedExplicitVRLittleEndian:
        return None
    start, order = file.read(12), "<" if syntax.is_little_endian else ">"
    if len(start) < 12 or struct.unpack(f"{order}HH", start[:4]) != PIXEL_DATA:
        return None
    # Implicit: tag 4, length 4. Explicit: tag 4, OB or OW 2, reserved 2, length 4.
    size = start[4:8] if syntax.is_implicit_VR else start[8:]
    offset = file.tell() - (4 if syntax.is_implicit_VR else 0)
    length = struct.unpack(f"{order}I", size)[0]
    available = os.fstat(file.fileno()).st_size - offset
    return PixelSpan(offset, None if length == UNDEFINED_LENGTH else length, available)
