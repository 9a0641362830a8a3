"""The fixed header of a NIfTI file, of either version and byte order, as written. Judging it is others' work.

Offsets and meanings are those of the standard's own nifti1.h and nifti2.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlung.ct.formats.onefile import refusal
from fedlung.ct.formats.packed import Inflated

# By sizeof_hdr: of each field its struct format, without the byte order, and its offset.
LAYOUTS: dict[int, dict[str, tuple[str, int]]] = {
    348: {
        "dim": ("8h", 40), "intent_code": ("h", 68), "datatype": ("h", 70), "bitpix": ("h", 72), "pixdim": ("8f", 76),
        "vox_offset": ("f", 108), "scl_slope": ("f", 112), "scl_inter": ("f", 116), "xyzt_units": ("B", 123),
        "qform_code": ("h", 252), "sform_code": ("h", 254), "quatern": ("3f", 256), "qoffset": ("3f", 268),
        "srow": ("12f", 280),
    },
    540: {
        "datatype": ("h", 12), "bitpix": ("h", 14), "dim": ("8q", 16), "pixdim": ("8d", 104), "vox_offset": ("q", 168),
        "scl_slope": ("d", 176), "scl_inter": ("d", 184), "qform_code": ("i", 344), "sform_code": ("i", 348),
        "quatern": ("3d", 352), "qoffset": ("3d", 376), "srow": ("12d", 400), "xyzt_units": ("i", 500),
        "intent_code": ("i", 504),
    },
}  # fmt: skip
MAGIC_OFFSET = {348: 344, 540: 4}
MAGIC = {348: b"n+1\0", 540: b"n+2\0\r\n\x1a\n"}
PAIR_MAGIC = {348: b"ni1\0", 540: b"ni2\0\r\n\x1a\n"}
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class NiftiHeader:
    """The fields that decide something, by the standard's names."""

    size: int
    byte_order: str
    deflated: bool
    dim: tuple[int, ...]
    intent_code: int
    datatype: int
    bitpix: int
    pixdim: tuple[float, ...]
    vox_offset: float
    scl_slope: float
    scl_inter: float
    xyzt_units: int
    qform_code: int
    sform_code: int
    quatern: tuple[float, ...]
    qoffset: tuple[float, ...]
    srow: tuple[float, ...]


def read_nifti_header(path: Path) -> NiftiHeader:
    """The header of a single file. Raises SeriesError where there is none, or only that of a pair; OSError."""
    with path.open("rb") as file:
        deflated = file.read(2) == GZIP
        file.seek(0)
        start = (Inflated(file) if deflated else file).read(max(LAYOUTS))
    size, byte_order = size_and_order(start)
    if len(start) < size or not size:
        raise refusal("DAMAGED_HEADER", "it does not begin with a NIfTI header.")
    magic = start[MAGIC_OFFSET[size] :][: len(MAGIC[size])]
    if magic == PAIR_MAGIC[size] or path.suffix.lower() == ".hdr":
        remedy = "Convert it to one .nii or .nii.gz file."
        raise refusal("NIFTI_PAIR", "header and image are two files (.hdr and .img), expected one.", remedy)
    if magic != MAGIC[size]:
        raise refusal("DAMAGED_HEADER", "the header has not NIfTI's magic.")
    return NiftiHeader(size, byte_order, deflated, **_fields(start, size, byte_order))


def size_and_order(start: bytes) -> tuple[int, str]:
    """The header's size and struct's sign for its byte order, from its first four bytes; 0 where it is no NIfTI."""
    for byte_order in "<>":
        if len(start) >= 4 and (size := struct.unpack(f"{byte_order}i", start[:4])[0]) in LAYOUTS:
            return size, byte_order
    return 0, ""


def _fields(start: bytes, size: int, byte_order: str) -> dict[str, Any]:
    fields = {}
    for name, (form, offset) in LAYOUTS[size].items():
        values = struct.unpack_from(byte_order + form, start, offset)
        fields[name] = values if len(values) > 1 else values[0]
    return fields
