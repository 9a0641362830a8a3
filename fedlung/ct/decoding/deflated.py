"""A file deflated as a whole (PS3.5 section A.5) -> the bytes of one frame of plain pixels."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from pathlib import Path

from fedlung.ct.decoding.encapsulation import check_unchanged
from fedlung.ct.decoding.limits import MAX_INFLATED_BYTES, MIB
from fedlung.ct.decoding.task import DecodingError, Task, undecodable
from fedlung.ct.dicom.elements import PIXEL_DATA, read_elements
from fedlung.ct.dicom.source import OpenFile

HEADER_BYTES = 16 * MIB
"""Allowed beside the pixels for everything else in the file."""

PREAMBLE_BYTES = 132
LONG_VRS = (b"OB", b"UN")
"""Of group 2, with a length of four bytes (PS3.10 table 7.1-1)."""


def inflated_frame(task: Task) -> memoryview:
    """The plain pixels of one frame. Raises DecodingError, OSError, zlib.error."""
    with OpenFile(Path(task.path)) as file:
        check_unchanged(file, task)
    pixels = _inflated_pixels(task.path, task.num_frames * task.num_bytes, task.file_stamp)
    return pixels[task.frame * task.num_bytes :][: task.num_bytes]


@lru_cache(maxsize=1)
def _inflated_pixels(path: str, num_bytes: int, stamp: tuple[int, ...]) -> memoryview:
    with OpenFile(Path(path)) as file:
        elements = read_elements(file, frozenset())
        content = file.read(0, file.size)
    if elements is None or elements.pixels is None or elements.pixels.tag != PIXEL_DATA:
        raise undecodable("the deflated file holds no pixels")
    data = inflate(content[_end_of_file_meta(content) :], num_bytes + HEADER_BYTES)
    start, length = elements.pixels.offset, elements.pixels.length
    if not num_bytes <= length <= len(data) - start:
        raise undecodable(f"{min(length, len(data) - start)} bytes of pixels, the header says {num_bytes}")
    return memoryview(data)[start : start + num_bytes]


def inflate(stream: bytes, max_bytes: int) -> bytes:
    """The whole of a raw deflate stream. Raises DecodingError as soon as it holds more than it may."""
    if max_bytes > MAX_INFLATED_BYTES:
        found = f"a deflated file of {max_bytes / MIB:.0f} MiB, at most {MAX_INFLATED_BYTES // MIB} are inflated"
        raise DecodingError("DECOMPRESSION_BOMB", found)
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    data = inflater.decompress(stream, max_bytes)
    if inflater.unconsumed_tail:
        found = f"a deflated file holds more than the {max_bytes / MIB:.0f} MiB that its header accounts for"
        raise DecodingError("DECOMPRESSION_BOMB", found)
    if not inflater.eof:
        raise undecodable("the deflated file ends early")
    return data


def _end_of_file_meta(content: bytes) -> int:
    """Where the deflated data set begins: behind the elements of group 2, which are plain."""
    position = PREAMBLE_BYTES
    while content[position : position + 2] == b"\2\0":
        is_long = content[position + 4 : position + 6] in LONG_VRS
        length = struct.unpack_from("<I" if is_long else "<H", content, position + (8 if is_long else 6))[0]
        position += length + (12 if is_long else 8)
    return position
