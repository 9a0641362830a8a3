"""What one DICOM slice says of itself, as plain facts. Judging them is the audit's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

NATIVE_SYNTAXES = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})
"""In which pixels lie in the file as plain numbers."""


@dataclass(frozen=True)
class PixelSpan:
    """Where the pixels lie in the file: ``length`` bytes as declared (None: encapsulated), ``available`` to its end."""

    offset: int
    length: int | None
    available: int


# Not frozen, though nothing ever changes it: a frozen one of sixty fields takes four times as long to make.
@dataclass(slots=True)
class Header:
    """What one slice says. None, NaN, an empty text or an empty tuple: it does not say, or not in numbers.

    pixels         None: the file has none, or is deflated as a whole
    file_stamp     another one once the file has another content
    frame          from 0 up to ``num_frames`` of the file; ``is_enhanced``: its values are those of functional groups
    stack          the stack of frames that it belongs to
    num_in_concatenation  files that an Enhanced CT was split into (PS3.3 C.7.6.16.2.2.4); 0 where it does not say
    padding_limit  where the padding values, which begin or end with ``padding``, end or begin (PS3.3 C.7.5.1.1.2)
    """

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
    gantry_tilt_degrees: float = math.nan
    num_in_acquisition: int | None = None
    num_in_series: int | None = None
    num_in_concatenation: int = 0
    is_lossy: bool = False
    is_burned_in: bool = False
    has_modality_lut: bool = False
    reconstruction_diameter_mm: float = math.nan
    patient_name: str = ""
    birth_date: str = ""
    study_date: str = ""
    series_number: str = ""
    patient_position: str = ""
    padding_limit: int | None = None
    has_float_pixels: bool = False
    is_enhanced: bool = False
    stack: str = ""
    file_stamp: tuple[int, int, int] = (0, 0, 0)

    @property
    def is_native(self) -> bool:
        """Whether the pixels lie in the file as plain numbers."""
        return self.pixels is not None and self.pixels.length is not None

    @property
    def is_deflated(self) -> bool:
        """Whether the file is deflated as a whole, pixels and all."""
        return self.transfer_syntax == DeflatedExplicitVRLittleEndian

    @property
    def stored_dtype(self) -> np.dtype:
        """Of one plain pixel in the file."""
        order = ">" if self.transfer_syntax == ExplicitVRBigEndian else "<"
        return np.dtype(f"{order}{'i' if self.signed else 'u'}{self.bits_allocated // 8}")
