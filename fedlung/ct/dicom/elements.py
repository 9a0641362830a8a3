"""The top-level elements of a DICOM file's header, as raw bytes by tag: a bounded walk that never decodes a value.

A header is walked from tag to tag (PS3.5 section 7.1) and the pixels are never touched. Whatever a file claims, the
walk reads no more than the file has, holds one window of it at a time, and takes at most ``MAX_ELEMENTS`` steps:
sequences of undefined length are passed by with a list, not by recursion. What does not follow the standard is not
guessed at: the walk ends there and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from fedlung.ct.dicom.encoding import (
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED_LENGTH,
    DamagedError,
    Encoding,
    named,
)
from fedlung.ct.dicom.layout import Layout, learn
from fedlung.ct.dicom.source import GarbledStreamError, Inflated, Source

WINDOW_BYTES = 8192
"""Read at once. A classic CT header has 1 to 6 KiB; for a longer one the window moves on."""

MAX_ELEMENTS = 1_000_000
"""Elements and items, nested ones too: about a second. A classic CT header has a hundred, an enhanced one thousands."""

MAX_DEPTH = 64
"""Of sequences of undefined length within one another, without the wanted ones. Real files have less than ten."""

MAX_VALUE_BYTES = 1 << 16
"""Of a value that is kept. Those that describe an image have a hundred bytes at most."""

MAX_SEQUENCE_BYTES = 1 << 26
"""Of a sequence that is kept. The functional groups of a thousand frames have about 3 MiB."""

MAX_LAYOUTS = 8
"""That are remembered, the newest first. A series has about three: numbers grow longer, signs come and go."""

DEFLATED = "1.2.840.10008.1.2.1.99"
TRANSFER_SYNTAX = 0x0002_0010
PIXEL_DATA = 0x7FE0_0010
KEPT_SEQUENCES = frozenset({0x5200_9229, 0x5200_9230})  # functional groups: those of all frames, those of each
PIXEL_TAGS = (0x7FE0_0008, 0x7FE0_0009, PIXEL_DATA)  # of floats, of doubles, of whole numbers

_FIRST_TAG = 0x0001_0000
_PREAMBLE_BYTES, _MARK = 128, b"DICM"
_TRAILING_ZEROS = 1 << 20
_TOO_MANY = f"more than {MAX_ELEMENTS} elements."
# By what was wanted. What is found never depends on it, only how fast.
_recent: dict[frozenset[int], tuple[tuple[Layout, Elements], ...]] = {}


class PixelElement(NamedTuple):
    """Where the pixels' value begins, and its length as declared."""

    tag: int
    offset: int
    length: int


@dataclass
class Elements:
    """What a walk has met.

    values         raw bytes by tag, of the tags that were asked for; of a sequence of undefined length b""
    little_endian  how numbers in ``values`` are written, group 2 apart
    pixels         None: there are none, or the walk ended before them. In a deflated file: among the inflated bytes
    sequences      by tag, of ``KEPT_SEQUENCES``: all bytes after the length, and how its items are encoded
    damage         why the walk ended too early, or an empty text
    """

    values: dict[int, bytes] = field(default_factory=dict)
    little_endian: bool = True
    pixels: PixelElement | None = None
    sequences: dict[int, tuple[bytes, Encoding]] = field(default_factory=dict)
    damage: str = ""

    @property
    def transfer_syntax(self) -> str:
        """As declared; empty where the file does not say."""
        return self.values.get(TRANSFER_SYNTAX, b"").strip(b" \0").decode("ascii", "backslashreplace")


def read_elements(source: Source, wanted: frozenset[int]) -> Elements | None:
    """The wanted elements before the pixels, or None where this is no DICOM file. Raises what ``source`` raises.

    A file may lack the preamble and group 2, as those of before 1995 do; its first element shows how it is encoded.
    """
    head = source.read(0, WINDOW_BYTES)
    found = _alike(head, wanted)
    return found if found is not None else _walked(source, head, wanted)


def _alike(head: bytes, wanted: frozenset[int]) -> Elements | None:
    """The elements of a file that is laid out as one of those before it."""
    for layout, example in _recent.get(wanted, ()):
        values = layout.values_in(head)
        if values is not None:
            return Elements(values | example.values, example.little_endian, example.pixels)
    return None


def _walked(source: Source, head: bytes, wanted: frozenset[int]) -> Elements | None:
    start = _first_element(head)
    if start is None:
        return None
    walk = _Walk(source, head, wanted)
    try:
        walk.file(start)
    except (DamagedError, GarbledStreamError) as damage:
        walk.found.damage = str(damage)
    layout = walk.layout()
    if layout is not None:
        syntax = {tag: raw for tag, raw in walk.found.values.items() if tag == TRANSFER_SYNTAX}
        example = Elements(syntax, walk.found.little_endian, walk.found.pixels)
        _recent[wanted] = ((layout, example), *_recent.get(wanted, ()))[:MAX_LAYOUTS]
    return walk.found


def _first_element(head: bytes) -> int | None:
    """Where the first element begins, or None where this is no DICOM file.

    Without the mark, it has to be a low tag of group 2 or 8, with a value representation or a length below 256.
    """
    if head[_PREAMBLE_BYTES : _PREAMBLE_BYTES + len(_MARK)] == _MARK:
        return _PREAMBLE_BYTES + len(_MARK)
    if len(head) < _PREAMBLE_BYTES:
        return None
    encoding = Encoding.seen_in(head)
    tag, _, _ = encoding.element(head, 0)
    is_first = tag >> 16 in (0x0002, 0x0008) and tag & 0xFFFF <= 0x0018
    return 0 if is_first and (encoding.explicit or head[5:8] == bytes(3)) else None


class _Walk:
    """One walk over a file's elements, into ``found``."""

    def __init__(self, source: Source, head: bytes, wanted: frozenset[int]) -> None:
        self._source, self._head, self._wanted = source, head, wanted
        self._steps = iter(range(MAX_ELEMENTS))
        self._body: tuple[int, Encoding] | None = None
        self._is_plain = True
        self.found = Elements()

    def file(self, start: int) -> None:
        """Group 2, if there is one, and the data set behind it up to the pixels."""
        start = self._keep_meta(start)
        syntax = self.found.transfer_syntax
        if syntax == DEFLATED:
            self._is_plain = False
            self._source, start = Inflated(self._source, start), 0
            self._head = self._source.read(0, WINDOW_BYTES)
        encoding = Encoding.seen_in(self._window(start)[:8], syntax)
        self.found.little_endian = encoding.little_endian
        self._body = start, encoding
        start, last = self._keep_wanted(start, encoding)
        if last is None:
            return
        if last.tag in PIXEL_TAGS:
            self.found.pixels = last
        elif last.tag >= ITEM or (last.tag < _FIRST_TAG and self._source.read(start, _TRAILING_ZEROS).strip(b"\0")):
            raise DamagedError(f"{named(last.tag)} is out of place.")

    def layout(self) -> Layout | None:
        """Of a file of short elements with everything in its first window, as slices are."""
        pixels, mark = self.found.pixels, (_PREAMBLE_BYTES, _PREAMBLE_BYTES + len(_MARK))
        is_marked = self._head[slice(*mark)] == _MARK
        if not (is_marked and self._is_plain and pixels and self._body) or pixels.offset > len(self._head):
            return None
        fixed = frozenset({TRANSFER_SYNTAX})
        return learn(self._head, mark, self._body, pixels.offset, wanted=self._wanted, fixed=fixed)

    def _keep_meta(self, start: int) -> int:
        """Keep the wanted elements of group 2; gives where it ends. What it says of its own length is often wrong."""
        window, base, position = self._window(start), start, 0
        encoding = Encoding.seen_in(window[:8])
        for _ in self._steps:
            if window[position : position + 2] != b"\2\0":
                return base + position
            tag, length, value = encoding.element(window, position)
            if tag in self._wanted or tag == TRANSFER_SYNTAX:
                self._keep(tag, window[value : value + length], base + value, length)
            position = value + length
            if position + 12 > len(window):
                base, position = base + position, 0
                window = self._window(base, tag)
        raise DamagedError(_TOO_MANY)

    def _keep_wanted(self, start: int, encoding: Encoding) -> tuple[int, PixelElement | None]:
        """Keep what is wanted before the pixels.

        Gives where the pixels' element begins, or another that no header has, and the element; None where the file
        ends before.
        """
        values, codes, short, begin = self.found.values, encoding.codes(self._wanted), encoding.short, encoding.begin
        window, base, position, code = b"", start, 0, 0
        for _ in self._steps:
            if position + 12 > len(window):
                base, position = base + position, 0
                window = self._window(base, encoding.tag(code))
                if not window:
                    return base, None
            code, vr, length = begin(window, position)
            # Nearly all elements are short ones, worth six lines that do for them what the rest does for all.
            if vr in short:
                if code in codes:
                    raw = window[position + 8 : position + 8 + length]
                    if len(raw) < length or values.setdefault(codes[code], raw) != raw:
                        self._keep(codes[code], raw, base + position + 8, length)
                position += 8 + length
                continue
            tag, length, value = encoding.element(window, position)
            if tag < _FIRST_TAG or tag >= PIXEL_TAGS[0]:
                return base + position, PixelElement(tag, base + value, length)
            if length == UNDEFINED_LENGTH:
                inner, start = encoding.nested(window, position), base + value
                base = self._pass_by(start, inner)
                if tag in KEPT_SEQUENCES:
                    self._keep_sequence(tag, start, base - start, inner)
                window, value, length = b"", 0, 0
                values.update({tag: b""} if tag in self._wanted else {})
            elif tag in KEPT_SEQUENCES:
                self._keep_sequence(tag, base + value, length, encoding.nested(window, position))
            elif tag in self._wanted:
                self._keep(tag, window[value : value + length], base + value, length)
            position = value + length
        raise DamagedError(_TOO_MANY)

    def _keep(self, tag: int, raw: bytes, offset: int, length: int) -> None:
        """Keep a value, of which ``raw`` is what the window has. A tag that says two things says nothing."""
        if length > MAX_VALUE_BYTES:
            raise DamagedError(f"{named(tag)} has {length} bytes.")
        if len(raw) < length:
            raw = self._source.read(offset, length)
        if len(raw) < length:
            raise DamagedError(f"the file ends within {named(tag)}.")
        if self.found.values.setdefault(tag, raw) != raw:
            raise DamagedError(f"{named(tag)} occurs twice with different values.")

    def _keep_sequence(self, tag: int, offset: int, length: int, encoding: Encoding) -> None:
        self._is_plain = False
        if length > MAX_SEQUENCE_BYTES or tag in self.found.sequences:
            raise DamagedError(f"{named(tag)} occurs twice, or has {length} bytes.")
        data = self._source.read(offset, length)
        if len(data) < length:
            raise DamagedError(f"the file ends within {named(tag)}.")
        self.found.sequences[tag] = data, encoding

    def _pass_by(self, start: int, encoding: Encoding) -> int:
        """Where the sequence of undefined length ends whose first item begins at ``start``."""
        self._is_plain = False
        window, base, position, tag = b"", start, 0, ITEM
        # What is open, inmost last: sequences and items in turn, for each holds the other.
        is_open = [encoding]
        for _ in self._steps:
            if position + 12 > len(window):
                base, position = base + position, 0
                window = self._window(base, tag)
                if not window:
                    raise DamagedError("the file ends within a sequence.")
            tag, length, value = is_open[-1].element(window, position, strict=False)
            in_sequence = len(is_open) % 2 == 1
            if tag == (SEQUENCE_END if in_sequence else ITEM_END):
                is_open.pop()
                length = 0
                if not is_open:
                    return base + value
            elif in_sequence != (tag == ITEM):
                raise DamagedError(f"{named(tag)} is out of place in a sequence.")
            elif length == UNDEFINED_LENGTH:
                if len(is_open) >= 2 * MAX_DEPTH:
                    raise DamagedError(f"sequences lie more than {MAX_DEPTH} deep within one another.")
                is_open.append(is_open[-1] if in_sequence else is_open[-1].nested(window, position))
                length = 0
            position = value + length
        raise DamagedError(_TOO_MANY)

    def _window(self, offset: int, tag: int = 0) -> bytes:
        """The bytes from ``offset`` on, 8 or more; none at the end of the file. ``tag`` is the element before."""
        if offset + 12 <= len(self._head):
            return self._head[offset:]
        window = self._source.read(offset, WINDOW_BYTES)
        if offset > self._source.size:
            raise DamagedError(f"{named(tag)} is longer than the rest of the file.")
        if len(window) < 8 and any(window):
            raise DamagedError(f"the file ends within the element after {named(tag)}.")
        return window if len(window) >= 8 else b""
