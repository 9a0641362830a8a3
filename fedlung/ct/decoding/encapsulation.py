"""Encapsulated pixels in a file -> the bytes of one frame. PS3.5 section A.4: items, an offset table before them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from fedlung.ct.decoding.task import DecodingError, Task, undecodable
from fedlung.ct.dicom.source import OpenFile

ITEM = (0xFFFE, 0xE000)
SEQUENCE_END = (0xFFFE, 0xE0DD)
STARTS = (b"\xff\xd8", b"\xff\x4f")
"""The first bytes of a JPEG or JPEG-LS stream, and of a JPEG 2000 stream."""


class Fragment(NamedTuple):
    """Where an item's content lies in the file, and whether it begins a codestream."""

    offset: int
    length: int
    begins: bool


def check_unchanged(file: OpenFile, task: Task) -> None:
    """Raise DecodingError unless this is still the file whose header was read."""
    if file.stamp != task.file_stamp:
        raise DecodingError("FILES_CHANGED", "the file has changed since its header was read")


def frame_bytes(task: Task) -> bytes:
    """The encoded bytes of one frame, its fragments joined. Raises DecodingError, OSError."""
    if task.offset is None:
        raise undecodable("the file holds no pixels")
    with OpenFile(Path(task.path)) as file:
        check_unchanged(file, task)
        if task.num_frames == 1:
            (fragments,) = _frames(file, task.offset, 1)
        else:
            fragments = _frames_of(task.path, task.offset, task.num_frames, task.file_stamp)[task.frame]
        parts = [file.read(fragment.offset, fragment.length) for fragment in fragments]
    return parts[0] if len(parts) == 1 else b"".join(parts)


@lru_cache(maxsize=1)
def _frames_of(path: str, offset: int, num_frames: int, stamp: tuple[int, ...]) -> list[list[Fragment]]:
    """Frames of one file come one after another: its items are walked once."""
    with OpenFile(Path(path)) as file:
        return _frames(file, offset, num_frames)


def _frames(file: OpenFile, offset: int, num_frames: int) -> list[list[Fragment]]:
    table, *fragments = _items(file, offset)
    if not fragments:
        raise undecodable("the pixels have no fragments")
    return split_frames(fragments, file.read(table.offset, table.length), num_frames)


def _items(file: OpenFile, offset: int) -> Iterator[Fragment]:
    """All items up to the delimiter; a file that ends between two items is told by its codestreams, if at all."""
    while head := file.read(offset, 10):
        if len(head) < 8:
            raise undecodable("the file ends inside the pixels")
        group, element, length = struct.unpack("<HHI", head[:8])
        if (group, element) == SEQUENCE_END:
            return
        if (group, element) != ITEM:
            raise undecodable("something else than an item between the fragments")
        if offset + 8 + length > file.size:
            raise undecodable("the file ends inside the pixels")
        yield Fragment(offset + 8, length, head[8:] in STARTS)
        offset += 8 + length


def split_frames(fragments: list[Fragment], table: bytes, num_frames: int) -> list[list[Fragment]]:
    """Which fragments are which frame's.

    By the offset table where there is one; else one each, as an extended offset table demands (PS3.3 C.7.6.3.1.8); else
    by the fragments that begin a codestream. For a single frame a table says nothing: some writers list its fragments.
    Raises DecodingError where they do not agree with ``num_frames``.
    """
    if num_frames == 1:
        if any(fragment.begins for fragment in fragments[1:]):
            raise undecodable("several codestreams found, the header says one frame")
        return [fragments]
    if table:
        starts = _starts_by_table(fragments, table)
    elif len(fragments) == num_frames:
        starts = list(range(num_frames))
    else:
        starts = [number for number, fragment in enumerate(fragments) if fragment.begins]
    if len(starts) != num_frames or starts[0] != 0:
        raise undecodable(f"{len(starts)} frames found, the header says {num_frames}")
    ends = [*starts[1:], len(fragments)]
    return [fragments[start:end] for start, end in zip(starts, ends, strict=True)]


def _starts_by_table(fragments: list[Fragment], table: bytes) -> list[int]:
    """Offsets in the table count from the first fragment's item."""
    if len(table) % 4:
        raise undecodable("the offset table is cut off")
    offsets = struct.unpack(f"<{len(table) // 4}I", table)
    number_at = {fragment.offset - fragments[0].offset: number for number, fragment in enumerate(fragments)}
    if list(offsets) != sorted(set(offsets)) or not set(offsets) <= set(number_at):
        raise undecodable("the offset table does not point at fragments, each once and in order")
    return [number_at[offset] for offset in offsets]
