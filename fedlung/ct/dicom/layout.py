"""Where a header's elements lie, learned from one file: slices of a series are laid out alike but for a few widths.

A walk is decided by the elements' own first bytes: tag, representation, length. A file that has the very same ones at
the very same places is walked the same way, so its values can be taken from where they lay in the file before. That
is a few comparisons instead of a hundred steps. Any difference, and the file is walked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct

from fedlung.ct.dicom.encoding import Encoding

Span = tuple[int, int]
"""First byte, and the one behind the last."""


class Layout:
    """What is fixed in a header, and where its values lie.

    fixed   ascending spans whose bytes decide the walk, the last one that of the pixels' element
    values  ascending spans of the values, with their tags
    """

    def __init__(self, head: bytes, fixed: Sequence[Span], values: Sequence[tuple[int, Span]]) -> None:
        self._num_bytes = fixed[-1][1]
        self._last = head[slice(*fixed[-1])], fixed[-1][0]
        self._tags = tuple(tag for tag, _ in values)
        self._values = _struct(span for _, span in values)
        self._fixed = _struct(fixed)
        self._expected = self._fixed.unpack_from(head)

    def values_in(self, head: bytes) -> dict[int, bytes] | None:
        """The values of a file that begins with ``head``, by tag; None where it is laid out in another way."""
        # Nearly every other layout differs in where the pixels begin: that is looked at first.
        if len(head) < self._num_bytes or not head.startswith(*self._last):
            return None
        if self._fixed.unpack_from(head) != self._expected:
            return None
        return dict(zip(self._tags, self._values.unpack_from(head), strict=True))


def learn(
    head: bytes, mark: Span, body: tuple[int, Encoding], pixels: int, *, wanted: frozenset[int], fixed: frozenset[int]
) -> Layout | None:
    """The layout of a file that was walked to its pixels, all within ``head``; None where a wanted tag occurs twice.

    mark    what makes it DICOM; group 2 begins behind it
    body    where the data set begins, and how it is written
    pixels  where their value begins
    fixed   tags whose values decide the walk
    """
    spans, values, position = [mark], [], mark[1]
    while spans[-1][1] != pixels:
        encoding = Encoding.seen_in(head[mark[1] :]) if position < body[0] else body[1]
        tag, length, value = encoding.element(head, position)
        spans.append((position, value))
        if tag in fixed:
            spans.append((value, value + length))
        elif tag in wanted:
            values.append((tag, (value, value + length)))
        position = value + length
    is_unique = len(values) == len({tag for tag, _ in values})
    return Layout(head, spans, values) if is_unique else None


def _struct(spans: Iterable[Span]) -> Struct:
    """Takes the bytes of ascending spans and skips those between."""
    position, parts = 0, ["<"]
    for start, end in spans:
        parts.append(f"{start - position}x{end - start}s")
        position = end
    return Struct("".join(parts))
