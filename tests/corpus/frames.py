"""Enhanced CT in several files, and frames in several fragments: what belongs together and what is left of it."""

from __future__ import annotations

import struct
from pathlib import Path

from corpus import dicom
from corpus.dicom import PIXEL_DATA, Encapsulated
from corpus.jpegls import encode_jpegls
from corpus.kinds import kind, read, refused, variants
from corpus.multiframe import enhanced
from corpus.scan import Scan, Slice, scan
from corpus.syntaxes import encapsulate

FRAMES_PER_PART, NUM_PARTS = 4, 4


def write_parts(folder: Path, parts: tuple[int, ...]) -> None:
    """These parts of a concatenation of four files (PS3.3 C.7.6.16.2.2.4)."""
    for part in parts:
        first = FRAMES_PER_PART * part
        one = enhanced(Scan(scan().slices[first : first + FRAMES_PER_PART]))
        one.one.name = f"part{part}.dcm"
        one.one.set(SOPInstanceUID=f"{one.one.elements.get('SOPInstanceUID')}.{part}", InConcatenationNumber=part + 1)
        one.one.set(InConcatenationTotalNumber=NUM_PARTS, ConcatenationFrameOffsetNumber=first)
        one.write(folder)


@kind(read())
def enhanced_in_four_parts_that_are_counted(folder: Path) -> None:
    """A concatenation of four files, each of which says that there are four."""
    write_parts(folder, (0, 1, 2, 3))


LOST = {
    "enhanced-without-its-last-part": ("The last file of a concatenation is not there: no gap tells.", (0, 1, 2)),
    "enhanced-without-its-first-part": ("The first file of a concatenation is not there.", (1, 2, 3)),
    "enhanced-without-a-part-between": ("A file in the middle of a concatenation is not there.", (0, 1, 3)),
}


@variants(LOST, refused("INCOMPLETE_SERIES"))
def part_lost(folder: Path, parts: tuple[int, ...]) -> None:
    """A concatenation of which a file is lost."""
    write_parts(folder, parts)


SYNTAXES = {
    "enhanced-deflated": ("Enhanced CT, deflated as a whole.", dicom.DEFLATED),
    "enhanced-big-endian": ("Enhanced CT, most significant byte first.", dicom.BIG_ENDIAN),
}


@variants(SYNTAXES, read())
def enhanced_in_a_rare_syntax(folder: Path, syntax: str) -> None:
    """Enhanced CT under a plain transfer syntax that few write."""
    made = enhanced(scan(syntax=syntax))
    if syntax == dicom.BIG_ENDIAN:
        values = b"".join(one.stored_HW.astype(">u2").tobytes() for one in scan().slices)
        made.one.elements.put(PIXEL_DATA, "OW", values)
    made.write(folder)


# --- fragments ------------------------------------------------------------------------------------


def _streams(whole: Scan) -> list[bytes]:
    streams = [encode_jpegls(one.stored_HW) for one in whole.slices]
    return [stream + b"\0" * (len(stream) % 2) for stream in streams]


def _cut(stream: bytes) -> list[bytes]:
    third = len(stream) // 6 * 2
    return [stream[:third], stream[third : 2 * third], stream[2 * third :]]


def _offsets(streams: list[bytes], items_each: int) -> list[int]:
    """Where each frame's first item begins after the table's."""
    starts = [0]
    for stream in streams[:-1]:
        starts.append(starts[-1] + len(stream) + 8 * items_each)
    return starts


def _write_frames(folder: Path, fragments: list[bytes], table: bytes = b"") -> None:
    made = enhanced(scan())
    made.one.meta.set(TransferSyntaxUID=dicom.JPEG_LS)
    made.one.elements.put(PIXEL_DATA, "OB", Encapsulated(fragments, table))
    made.write(folder)


@kind(read())
def enhanced_with_frames_in_fragments(folder: Path) -> None:
    """Three fragments a frame and no offset table: only the codestreams say where a frame begins."""
    _write_frames(folder, [part for stream in _streams(scan()) for part in _cut(stream)])


@kind(read())
def enhanced_with_frames_in_fragments_and_a_table(folder: Path) -> None:
    """Three fragments a frame, and a table of where each frame begins."""
    streams = _streams(scan())
    table = struct.pack(f"<{len(streams)}I", *_offsets(streams, 3))
    _write_frames(folder, [part for stream in streams for part in _cut(stream)], table)


TABLES = {
    "two-codestreams-where-one-frame-is-said": ("A second codestream behind the first; no table.", b""),
    "two-codestreams-and-a-table-of-one": ("A second codestream behind the first; the table knows of one.", bytes(4)),
}


@variants(TABLES, refused("UNDECODABLE"))
def second_codestream(folder: Path, table: bytes) -> None:
    """A classic slice of two images: nobody knows which is its own."""
    whole = scan()
    streams = _streams(whole)

    def pack(one: Slice) -> None:
        encapsulate(one, dicom.JPEG_LS, Encapsulated([streams[one.number], streams[(one.number + 5) % 16]], table))

    whole.each(pack).write(folder)
