"""SimpleITK's GDCM as a codec and nothing else: JPEG, JPEG 2000 and high-throughput JPEG 2000.

It is handed one frame in a data set made here, without a rescale, a position or a second slice, so that there is
nothing that it could apply, sort or invert.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy.typing as npt

from fedlung.ct.decoding.codestreams import StreamFormat
from fedlung.ct.decoding.task import DecodingError, undecodable

SECONDARY_CAPTURE = b"1.2.840.10008.5.1.4.1.1.7"
INSTANCE = b"1.2.826.0.1.3680043.10.1"
UNDEFINED = 0xFFFFFFFF
COMPLAINTS = (b"Corrupt JPEG data", b"Premature end")
"""What libjpeg says, on the standard error alone, before it fills the rest of a slice with one value."""


def decode_with_gdcm(stream: bytes, transfer_syntax: str, found: StreamFormat) -> npt.NDArray:
    """(H, W) values of the codestream. Raises DecodingError."""
    # The other codecs do without these 0.3 GiB of address space.
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    try:
        with _file_of(minimal_dicom(stream, transfer_syntax, found)) as path, _standard_error() as said:
            reader.SetFileName(path)
            values_DHW = SimpleITK.GetArrayFromImage(reader.Execute())
            said.seek(0)
            complaints = said.read()
    except RuntimeError as error:
        if "alloc" in str(error).lower() or "memory" in str(error).lower():
            raise DecodingError("DECODER_OUT_OF_MEMORY", "the codec ran out of memory") from error
        raise undecodable("the codec refuses the codestream") from error
    if any(complaint in complaints for complaint in COMPLAINTS):
        raise undecodable("the codestream ends early or is damaged")
    if values_DHW.shape != (1, *found.shape_HW) or values_DHW.dtype.kind not in "iu":
        raise undecodable("the codec gives other pixels than the codestream declares")
    return values_DHW[0]


@contextmanager
def _file_of(content: bytes) -> Iterator[str]:
    """A path to ``content``: in memory where the system can, so that nothing is left behind."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("slice", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
    else:
        with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
            file.write(content)
            file.flush()
            yield file.name


@contextmanager
def _standard_error() -> Iterator[BinaryIO]:
    """What is written to descriptor 2 meanwhile, by whatever library."""
    with tempfile.TemporaryFile() as said:
        kept = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def minimal_dicom(stream: bytes, transfer_syntax: str, found: StreamFormat) -> bytes:
    """One frame as a Secondary Capture file (PS3.10 section 7.1) with what GDCM asks for."""
    rows, columns = found.shape_HW
    meta = _element(2, 0x02, b"UI", SECONDARY_CAPTURE) + _element(2, 0x03, b"UI", INSTANCE)
    meta += _element(2, 0x10, b"UI", transfer_syntax.encode("ascii"))
    parts = [
        bytes(128) + b"DICM",
        _element(2, 0x00, b"UL", struct.pack("<I", len(meta))),
        meta,
        _element(0x08, 0x16, b"UI", SECONDARY_CAPTURE),
        _element(0x08, 0x18, b"UI", INSTANCE),
        _number(0x28, 0x02, 1),
        _element(0x28, 0x04, b"CS", b"MONOCHROME2"),
        _number(0x28, 0x10, rows),
        _number(0x28, 0x11, columns),
        _number(0x28, 0x100, 16 if found.precision > 8 else 8),
        _number(0x28, 0x101, found.precision),
        _number(0x28, 0x102, found.precision - 1),
        _number(0x28, 0x103, int(found.signed)),
        struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, UNDEFINED),
        _item(b""),
        _item(stream),
        struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
    ]
    return b"".join(parts)


def _element(group: int, element: int, vr: bytes, value: bytes) -> bytes:
    padded = value + (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", group, element, vr, len(padded)) + padded


def _number(group: int, element: int, value: int) -> bytes:
    return _element(group, element, b"US", struct.pack("<H", value))


def _item(content: bytes) -> bytes:
    padded = content + bytes(len(content) % 2)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(padded)) + padded
