"""A DICOM encoder that lets everything pass (PS3.5 section 7): a corpus of lies must be able to write them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from pydicom.datadict import dictionary_VR, tag_for_keyword

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"

UNDEFINED = 0xFFFFFFFF
PIXEL_DATA = 0x7FE00010
_LONG_VRS = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UC", "UN", "UR", "UT"}
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "AT": "I"}


@dataclass(frozen=True)
class Encapsulated:
    """Compressed pixel data: an offset table, then each frame as one fragment or several (PS3.5 A.4)."""

    fragments: Sequence[bytes]
    offsets: bytes = b""
    delimited: bool = True

    def encode(self, order: str) -> bytes:
        items = [_item(0xE000, part + b"\0" * (len(part) % 2), order) for part in (self.offsets, *self.fragments)]
        return b"".join(items) + (_item(0xE0DD, b"", order) if self.delimited else b"")


@dataclass(frozen=True)
class Items:
    """A sequence of data sets."""

    datasets: Sequence[Elements]
    undefined_length: bool = False


@dataclass
class Element:
    """A value with the VR and the length that the file will claim (None: the true one)."""

    vr: str
    value: Any
    length: int | None = None


@dataclass
class Elements:
    """A data set by tag. ``raw[tag]`` are bytes put right before the first element that is not below the tag."""

    by_tag: dict[int, Element] = field(default_factory=dict)
    raw: dict[int, bytes] = field(default_factory=dict)

    def set(self, **values: Any) -> Elements:
        """Values by keyword, with the VR of the standard's dictionary."""
        for keyword, value in values.items():
            tag, vr = tag_and_vr(keyword)
            self.by_tag[tag] = Element(vr, value)
        return self

    def put(self, tag: int, vr: str, value: Any, *, length: int | None = None) -> Elements:
        """One element, whatever the dictionary says of it."""
        self.by_tag[tag] = Element(vr, value, length)
        return self

    def unset(self, *keywords: str) -> Elements:
        """Without these."""
        for keyword in keywords:
            self.by_tag.pop(tag_and_vr(keyword)[0], None)
        return self

    def get(self, keyword: str) -> Any:
        """A value as it was set."""
        return self.by_tag[tag_and_vr(keyword)[0]].value


@cache
def tag_and_vr(keyword: str) -> tuple[int, str]:
    """Of a keyword of the standard. A tag that is US or SS is US here; US or OW is OW."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, f"no such keyword: {keyword}"
    vr = dictionary_VR(tag)
    return tag, "OW" if vr.endswith("OW") else vr[:2]


def encode(elements: Elements, syntax: str) -> bytes:
    """A data set's bytes."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    implicit = syntax == IMPLICIT
    parts = [(tag, 1, encode_element(tag, element, order, implicit)) for tag, element in elements.by_tag.items()]
    parts += [(tag, 0, raw) for tag, raw in elements.raw.items()]
    return b"".join(part for _, _, part in sorted(parts, key=lambda part: part[:2]))


def encode_element(tag: int, element: Element, order: str = "<", implicit: bool = False) -> bytes:
    """One element's bytes: tag, VR where explicit, length, value."""
    value = encode_value(element, order, implicit)
    length = len(value) if element.length is None else element.length
    if isinstance(element.value, Encapsulated) or getattr(element.value, "undefined_length", False):
        length = UNDEFINED
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return head + struct.pack(f"{order}I", length) + value
    if element.vr in _LONG_VRS:
        return head + element.vr.encode() + struct.pack(f"{order}HI", 0, length) + value
    return head + element.vr.encode("latin-1") + struct.pack(f"{order}H", length & 0xFFFF) + value


def encode_value(element: Element, order: str, implicit: bool) -> bytes:
    """A value's bytes. Bytes pass as they are; texts are padded to an even length; numbers follow the VR."""
    value = element.value
    if isinstance(value, bytes):
        return value
    if isinstance(value, Encapsulated):
        return value.encode(order)
    if isinstance(value, np.ndarray):
        return value.astype(value.dtype.newbyteorder(order)).tobytes()
    if isinstance(value, Items):
        return _encode_items(value, order, implicit)
    if element.vr in _NUMBERS:
        numbers = value if isinstance(value, (list, tuple)) else [value]
        return struct.pack(f"{order}{len(numbers)}{_NUMBERS[element.vr]}", *numbers)
    text = "\\".join(map(as_text, value)) if isinstance(value, (list, tuple)) else as_text(value)
    padding = "\0" if element.vr == "UI" else " "
    return (text + padding * (len(text) % 2)).encode("latin-1")


def as_text(value: object) -> str:
    """A number as a decimal string of at most 16 characters; a text as it is."""
    return np.format_float_positional(value, precision=9, trim="-") if isinstance(value, float) else str(value)


def _encode_items(items: Items, order: str, implicit: bool) -> bytes:
    syntax = IMPLICIT if implicit else BIG_ENDIAN if order == ">" else EXPLICIT
    parts = [_item(0xE000, encode(dataset, syntax), order) for dataset in items.datasets]
    return b"".join(parts) + (_item(0xE0DD, b"", order) if items.undefined_length else b"")


def _item(element: int, value: bytes, order: str) -> bytes:
    return struct.pack(f"{order}HHI", 0xFFFE, element, len(value)) + value


def file_bytes(meta: Elements, elements: Elements, syntax: str, *, preamble: bytes = b"\0" * 128 + b"DICM") -> bytes:
    """A file (PS3.10 section 7): preamble, file meta information with its group length, data set."""
    meta_bytes = encode(meta, EXPLICIT)
    group_length = encode_element(0x00020000, Element("UL", len(meta_bytes)))
    return preamble + group_length + meta_bytes + dataset_bytes(elements, syntax)


def dataset_bytes(elements: Elements, syntax: str) -> bytes:
    """A data set as the transfer syntax has it in a file."""
    return deflated(encode(elements, EXPLICIT)) if syntax == DEFLATED else encode(elements, syntax)


def deflated(data: bytes) -> bytes:
    """Raw deflate, no zlib header (PS3.5 A.5)."""
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(data) + packer.flush()
    return packed + b"\0" * (len(packed) % 2)


def zeros_packed(gibibytes: float, *, wbits: int) -> bytes:
    """A deflated stream of zeros, a thousandth of their size, that is never finished.

    Blocks after a full flush know nothing of one another, so one packed mebibyte may be repeated (RFC 1951).
    """
    first = zlib.compressobj(9, wbits=wbits)
    start = first.compress(bytes(1 << 20)) + first.flush(zlib.Z_FULL_FLUSH)
    other = zlib.compressobj(9, wbits=-15)
    block = other.compress(bytes(1 << 20)) + other.flush(zlib.Z_FULL_FLUSH)
    return start + block * (int(gibibytes * 1024) - 1)


def nested(depth: int) -> bytes:
    """A private sequence within itself, of undefined lengths, never closed: written flat, for depth knows no limit."""
    opening = struct.pack("<HH2sHI", 0x0009, 0x1010, b"SQ", 0, UNDEFINED) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, UNDEFINED
    )
    return opening * depth


def text_element(keyword: str, value: bytes, *, length: int | None = None) -> bytes:
    """One element's explicit little endian bytes, with a value and a length of any kind."""
    tag, vr = tag_and_vr(keyword)
    return encode_element(tag, Element(vr, value, length))
