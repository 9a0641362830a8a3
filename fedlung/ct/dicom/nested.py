"""The items of a DICOM sequence, with the sequences within them: bounded in depth and number.

PS3.5 section 7.5. Sequences that nobody asks for are passed by where their length is known, and walked through where
it is not; whatever a file claims, no more is taken than the bytes that are there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fedlung.ct.dicom.elements import (
    ITEM,
    ITEM_END,
    MAX_ELEMENTS,
    SEQUENCE_END,
    UNDEFINED_LENGTH,
    DamagedError,
    Encoding,
)

MAX_DEPTH = 16
"""Of sequences within sequences. Functional groups need three, and what scanners add to them a few more."""

MAX_ITEMS = 200_000
"""Kept at once, which are 100 MB at the most. A frame has about ten."""


@dataclass
class Item:
    """The wanted elements of an item: raw values by tag, and of sequences their items."""

    values: dict[int, bytes] = field(default_factory=dict)
    items: dict[int, list[Item]] = field(default_factory=dict)


def read_items(data: bytes, encoding: Encoding, *, sequences: frozenset[int], values: frozenset[int]) -> list[Item]:
    """The items of a sequence, of which ``data`` is all that follows its length.

    Raises DamagedError where they do not follow the standard, or are too deep or too many.
    """
    items, _ = _Reader(data, sequences, values).sequence(0, len(data), encoding, depth=1)
    return items


class _Reader:
    """One pass over the bytes of a sequence."""

    def __init__(self, data: bytes, sequences: frozenset[int], values: frozenset[int]) -> None:
        self._data, self._sequences, self._values = data, sequences, values
        self._num_elements = self._num_items = 0

    def sequence(self, position: int, end: int, encoding: Encoding, depth: int) -> tuple[list[Item], int]:
        """The items from ``position`` to ``end`` or to the sequence's delimiter; gives where it ends as well."""
        if depth > MAX_DEPTH:
            raise DamagedError(f"sequences lie more than {MAX_DEPTH} deep within one another.")
        items: list[Item] = []
        while position < end:
            tag, length, value = self._element(position, end, encoding)
            if tag == SEQUENCE_END:
                return items, value
            if tag != ITEM:
                raise DamagedError("an element is out of place in a sequence.")
            self._num_items += 1
            if self._num_items > MAX_ITEMS:
                raise DamagedError(f"more than {MAX_ITEMS} items.")
            item, position = self._item(value, self._end(value, length, end), encoding, depth)
            items.append(item)
        return items, position

    def _item(self, position: int, end: int, encoding: Encoding, depth: int) -> tuple[Item, int]:
        """The item whose first element is at ``position``, and where it ends."""
        found = Item()
        while position < end:
            tag, length, value = self._element(position, end, encoding)
            if tag == ITEM_END:
                return found, value
            if length == UNDEFINED_LENGTH or tag in self._sequences:
                inner = encoding.nested(self._data, position)
                items, position = self.sequence(value, self._end(value, length, end), inner, depth + 1)
                if tag in self._sequences:
                    found.items.setdefault(tag, []).extend(items)
                continue
            position = self._end(value, length, end)
            raw = self._data[value:position] if tag in self._values else b""
            if tag in self._values and found.values.setdefault(tag, raw) != raw:
                raise DamagedError("an element occurs twice in an item, with different values.")
        return found, position

    def _element(self, position: int, end: int, encoding: Encoding) -> tuple[int, int, int]:
        """Tag, length and where the value begins."""
        self._num_elements += 1
        if self._num_elements > MAX_ELEMENTS:
            raise DamagedError(f"more than {MAX_ELEMENTS} elements.")
        if position + 8 > end:
            raise DamagedError("an item ends within an element.")
        return encoding.element(self._data, position, strict=False)

    def _end(self, value: int, length: int, end: int) -> int:
        """Where a value ends; of undefined length, at the end of what it lies in at the latest."""
        if length == UNDEFINED_LENGTH:
            return end
        if value + length > end:
            raise DamagedError("an element is longer than the item that it lies in.")
        return value + length
