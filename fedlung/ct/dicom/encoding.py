"""How the elements of a DICOM data set are written (PS3.5 section 7.1): the first bytes of each, in four encodings."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

BIG_ENDIAN = "1.2.840.10008.1.2.2"
UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


class DamagedError(Exception):
    """Why a walk cannot go on; it does not leave the readers of headers."""


class Encoding:
    """How elements are written: with or without their value representation (VR), in which order of bytes.

    begin  unpacks an element's first eight bytes as the standard's short form: code, VR, length
    short  the VRs that have this form, as ``begin`` gives them
    """

    def __init__(self, *, explicit: bool, little_endian: bool = True) -> None:
        order, name = ("<", "little") if little_endian else (">", "big")
        self.explicit, self.little_endian = explicit, little_endian
        self.begin = Struct(f"{order}IHH").unpack_from
        self.short = frozenset(int.from_bytes(vr, name) for vr in _SHORT_VRS if explicit)  # type: ignore[arg-type]
        self._tag = Struct(f"{order}HH").unpack_from
        self._code = Struct(f"{order}I").pack
        self._length = Struct(f"{order}I").unpack_from

    @classmethod
    def seen_in(cls, head: bytes, declared_syntax: str = "") -> Encoding:
        """From the first element's own bytes, for some writers declare one encoding and use the other.

        Only the order of bytes is believed where it is declared: the pixels have it too, and they do not show it.
        """
        little_endian = declared_syntax != BIG_ENDIAN if declared_syntax else head[1:2] <= head[:1]
        return _ENCODINGS[head[4:6] in _SHORT_VRS or head[4:6] in _LONG_VRS, little_endian]

    def tag(self, code: int) -> int:
        """Of a code: the four bytes of a tag read as one number, which is faster than the two that it is written as."""
        group, element = self._tag(self._code(code))
        return group << 16 | element

    def codes(self, wanted: frozenset[int]) -> dict[int, int]:
        """Tags by their code."""
        return _codes(wanted, self.little_endian)

    def element(self, window: bytes, position: int, *, strict: bool = True) -> tuple[int, int, int]:
        """Tag, length and position of the value of the element at ``position``.

        Items have no VR. Nor have, at times, elements within sequences of explicit ones: ``strict`` refuses those.
        """
        group, element = self._tag(window, position)
        tag = group << 16 | element
        if self.explicit:
            _, vr, length = self.begin(window, position)
            if vr in self.short:
                return tag, length, position + 8
            if window[position + 4 : position + 6] in _LONG_VRS and len(window) >= position + 12:
                return tag, self._length(window, position + 8)[0], position + 12
            if strict and group not in (0, ITEM >> 16):
                raise DamagedError(f"{named(tag)} has no known value representation.")
        return tag, self._length(window, position + 4)[0], position + 8

    def nested(self, window: bytes, position: int) -> Encoding:
        """Of the items of the sequence at ``position``: those of an UN have no VR (PS3.5 section 6.2.2)."""
        is_unknown = self.explicit and window[position + 4 : position + 6] == b"UN"
        return _ENCODINGS[False, True] if is_unknown else self


_ENCODINGS = {
    (explicit, little_endian): Encoding(explicit=explicit, little_endian=little_endian)
    for explicit in (False, True)
    for little_endian in (False, True)
}


@lru_cache(maxsize=8)
def _codes(wanted: frozenset[int], little_endian: bool) -> dict[int, int]:
    return {(tag >> 16 | (tag & 0xFFFF) << 16) if little_endian else tag: tag for tag in wanted}


def named(tag: int) -> str:
    """A tag as DICOM writes it."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
