"""Headers that are damaged, cut, lying or built to do damage, and files that are hardly DICOM."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from corpus import dicom
from corpus.dicom import PIXEL_DATA, UNDEFINED, Elements, nested, text_element
from corpus.headers import patched
from corpus.kinds import kind, nothing, read, refused, variants
from corpus.scan import UID_ROOT, Slice, scan

BEFORE_IMAGE = 0x00200000
"""A tag before all that places an image: what goes wrong here is met before anything is known of the geometry."""


# --- values under the wrong type: read right or refused, never by half ----------------------------

WRONG_TYPES: dict[str, tuple[str, Callable[[Slice], object]]] = {
    "rows-of-four-bytes": ("Rows is a number of four bytes.", lambda one: one.elements.put(0x00280010, "UL", 32)),
    "rows-of-one-byte": ("Rows is one byte long.", lambda one: one.elements.put(0x00280010, "US", b" ")),
    "rows-of-two-values": ("Rows has two values.", lambda one: one.elements.put(0x00280010, "US", [32, 16])),
}


@variants(WRONG_TYPES, nothing(NO_PIXELS=16))
def wrong_type(folder: Path, edit: Callable[[Slice], object]) -> None:
    """Rows that are not one number of two bytes."""
    scan().each(edit).write(folder)


@kind(refused("PIXELDATA_SHORT"))
def rows_as_text(folder: Path) -> None:
    """Rows is a text of two characters, which make a number of two bytes: 12,851."""
    scan().each(lambda one: one.elements.put(0x00280010, "IS", "32")).write(folder)


@kind(read())
def two_tube_currents(folder: Path) -> None:
    """A scanner of two tubes writes two values of current and voltage."""
    scan().set(XRayTubeCurrent="200\\140", KVP="100\\140").write(folder)


@kind(refused("PIXELDATA_SHORT"))
def pixel_data_twice(folder: Path) -> None:
    """One slice has pixel data twice: an empty one before the true one."""
    empty = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 0)
    scan().edit(5, lambda one: one.elements.raw.update({PIXEL_DATA: empty})).write(folder)


@kind(refused("BAD_PIXEL_SPACING"))
def spacing_as_binary_doubles(folder: Path) -> None:
    """PixelSpacing is written as two binary doubles under the VR FD."""
    scan().each(lambda one: one.elements.put(0x00280030, "FD", [0.75, 1.0])).write(folder)


@kind(refused("NONUNIFORM_OR_MISSING_SLICES", beside={"DAMAGED_HEADER": 1}))
def spacing_twice_with_different_values(folder: Path) -> None:
    """One slice has PixelSpacing twice, and they differ."""
    raw = text_element("PixelSpacing", b"0.5 \\0.7 ")
    scan().edit(5, lambda one: one.elements.raw.update({0x00280031: raw})).write(folder)


@kind(nothing(DAMAGED_HEADER=16))
def position_twice_with_different_values(folder: Path) -> None:
    """Every slice has ImagePositionPatient twice, and they differ by a step that grows."""

    def again(one: Slice) -> None:
        x_mm, y_mm, z_mm = one.position_mm.tolist()
        raw = text_element("ImagePositionPatient", f"{x_mm}\\{y_mm}\\{z_mm + one.number:.3f}".encode())
        one.elements.raw[0x00200033] = raw

    scan().each(again).write(folder)


# --- damage ---------------------------------------------------------------------------------------


CUTS = {f"file-cut-at-{size}": (f"The last slice's file ends after {size} bytes.", size) for size in (1, 100, 131)}
CUTS_IN_THE_META = {
    f"file-cut-at-{size}": (f"The last slice's file ends after {size} bytes, before its series.", size)
    for size in (140, 200, 400)
}


@variants(CUTS, read(15, beside={"NOT_DICOM": 1}))
def cut_before_the_header(folder: Path, size: int) -> None:
    """A copy that stopped at once: a plausible shorter scan is left, and a row; whose file it was is not known."""
    _cut_last(folder, size)


@variants(CUTS_IN_THE_META, read(15, beside={"DAMAGED_HEADER": 1}))
def cut_before_the_series(folder: Path, size: int) -> None:
    """A copy that stopped where the header has not said yet which series it is."""
    _cut_last(folder, size)


@kind(refused("DAMAGED_HEADER", beside={"DAMAGED_HEADER": 1}))
def file_cut_after_its_series(folder: Path) -> None:
    """A copy that stopped where the header has said its series: the series is known to lack a slice."""
    _cut_last(folder, 700)


def _cut_last(folder: Path, size: int) -> None:
    scan().edit(15, lambda one: one.damaged(lambda data: data[:size])).write(folder)


@kind(refused("NONUNIFORM_OR_MISSING_SLICES", beside={"DAMAGED_HEADER": 1}))
def middle_file_cut_in_its_header(folder: Path) -> None:
    """A file in the middle ends in its header."""
    scan().edit(7, lambda one: one.damaged(lambda data: data[:500])).write(folder)


LYING_LENGTHS = {
    "length-beyond-the-file": ("An element's length reaches far beyond the file.", 0x7FFFFFF0),
    "length-of-four-gigabytes": ("An element's length is FFFFFFF0.", 0xFFFFFFF0),
    "length-undefined-without-end": ("A private OB of undefined length that never ends.", UNDEFINED),
}


@variants(LYING_LENGTHS, refused("NONUNIFORM_OR_MISSING_SLICES", beside={"DAMAGED_HEADER": 1}))
def lying_length(folder: Path, length: int) -> None:
    """One slice's private element swallows what follows."""
    raw = struct.pack("<HH2sHI", 0x0019, 0x1001, b"OB", 0, length) + b"data"
    scan().edit(7, lambda one: one.elements.raw.update({BEFORE_IMAGE - 0x10000: raw})).write(folder)


@kind(refused("NONUNIFORM_OR_MISSING_SLICES", beside={"DAMAGED_HEADER": 1}))
def header_bytes_zeroed(folder: Path) -> None:
    """A block of 64 bytes in one header is zero: a bad sector."""
    scan().edit(7, lambda one: one.damaged(lambda data: patched(data, 600, bytes(64)))).write(folder)


@kind(refused("NONUNIFORM_OR_MISSING_SLICES", beside={"DAMAGED_HEADER": 1}))
def header_bytes_random(folder: Path) -> None:
    """A block of 64 bytes in one header is noise."""
    noise = bytes((37 * n * n + 11 * n + 5) % 256 for n in range(64))
    scan().edit(7, lambda one: one.damaged(lambda data: patched(data, 600, noise))).write(folder)


@kind(refused("NONUNIFORM_OR_MISSING_SLICES", beside={"DAMAGED_HEADER": 1}))
def fifty_thousand_nested_sequences(folder: Path) -> None:
    """One slice opens a private sequence within itself 50,000 times: recursion ends the process."""
    scan().edit(7, lambda one: one.elements.raw.update({0x00091010: nested(50_000)})).write(folder)


@kind(refused("NONUNIFORM_OR_MISSING_SLICES", beside={"DAMAGED_HEADER": 1}))
def a_hundred_thousand_empty_items(folder: Path) -> None:
    """One slice has a private sequence of 100,000 empty items that never ends."""
    opening = struct.pack("<HH2sHI", 0x0009, 0x1010, b"SQ", 0, UNDEFINED)
    raw = opening + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 100_000
    scan().edit(7, lambda one: one.elements.raw.update({0x00091010: raw})).write(folder)


@kind(refused("PIXELDATA_LONG", "PIXELDATA_SHORT"))
def pixel_data_length_of_four_gigabytes(folder: Path) -> None:
    """One slice's pixel data claims FFFFFFF0 bytes."""
    scan().edit(5, lambda one: setattr(one.elements.by_tag[PIXEL_DATA], "length", 0xFFFFFFF0)).write(folder)


@kind(refused("NONUNIFORM_OR_MISSING_SLICES", beside={"DAMAGED_HEADER": 1}))
def plain_pixels_of_undefined_length(folder: Path) -> None:
    """One slice's plain pixel data claims an undefined length."""
    scan().edit(5, lambda one: setattr(one.elements.by_tag[PIXEL_DATA], "length", UNDEFINED)).write(folder)


# --- files that are hardly DICOM ------------------------------------------------------------------


@kind(read())
def no_preamble_no_meta(folder: Path) -> None:
    """A bare implicit data set, as before DICOM had a file format."""
    scan(syntax=dicom.IMPLICIT).each(
        lambda one: one.damaged(lambda data: dicom.encode(one.elements, dicom.IMPLICIT))
    ).write(folder)


@kind(read())
def no_preamble(folder: Path) -> None:
    """The file starts with its file meta information."""
    scan().each(lambda one: one.damaged(lambda data: data[132:])).write(folder)


@kind(read())
def no_file_meta(folder: Path) -> None:
    """A preamble and then the data set in explicit VR, without file meta information."""
    scan().each(lambda one: one.damaged(lambda data: data[:132] + dicom.encode(one.elements, dicom.EXPLICIT))).write(
        folder
    )


@kind(read())
def transfer_syntax_missing(folder: Path) -> None:
    """The file meta does not say the transfer syntax; the data set is plainly explicit."""
    scan().each(lambda one: one.meta.unset("TransferSyntaxUID")).write(folder)


@kind(read())
def transfer_syntax_padded_with_spaces(folder: Path) -> None:
    """The transfer syntax is padded with spaces and NUL bytes."""
    scan().each(lambda one: one.meta.set(TransferSyntaxUID=b"1.2.840.10008.1.2.1 \0\0\0")).write(folder)


@kind(nothing(NOT_DICOM=1, NOT_CT=2))
def hardly_anything(folder: Path) -> None:
    """A preamble alone, a preamble with a file meta alone, and a preamble that says DICN."""
    one = scan(1).slices[0]
    folder.mkdir(parents=True)
    (folder / "preamble").write_bytes(bytes(128) + b"DICM")
    (folder / "meta").write_bytes(dicom.file_bytes(one.meta, Elements(), dicom.EXPLICIT))
    (folder / "almost").write_bytes(bytes(128) + b"DICN" + one.file()[132:])


@kind(read())
def tags_out_of_order(folder: Path) -> None:
    """Patient and study come after the image's own tags, against the ascending order."""
    late = text_element("PatientID", b"C-0001") + text_element("SeriesInstanceUID", (UID_ROOT + "2.1").encode() + b"\0")

    def move(one: Slice) -> None:
        one.unset("PatientID", "SeriesInstanceUID").elements.raw[0x00280102] = late

    scan().each(move).write(folder)
