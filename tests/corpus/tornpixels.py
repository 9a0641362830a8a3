"""Pixels that are torn, empty, doubled or in the wrong place."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from corpus.dicom import PIXEL_DATA
from corpus.kinds import kind, nothing, refused
from corpus.scan import scan

# --- torn and empty pixels -------------------------------------------------------------------------


def _pixels_of_one(folder: Path, pixels: bytes) -> None:
    scan().edit(5, lambda one: one.elements.put(PIXEL_DATA, "OW", pixels)).write(folder)


@kind(refused("PIXELDATA_SHORT"))
def pixel_data_short(folder: Path) -> None:
    """One slice's pixel data is shorter than its matrix, and its length says so."""
    _pixels_of_one(folder, scan().slices[5].pixels[:-200])


@kind(refused("PIXELDATA_SHORT"))
def pixel_data_missing(folder: Path) -> None:
    """One slice has no pixel data at all."""
    scan().edit(5, lambda one: one.unset("PixelData")).write(folder)


@kind(refused("PIXELDATA_SHORT"))
def pixel_data_empty(folder: Path) -> None:
    """One slice's pixel data has no bytes."""
    _pixels_of_one(folder, b"")


@kind(refused("PIXELDATA_SHORT"))
def file_torn_in_its_pixels(folder: Path) -> None:
    """A copy that stopped: one file ends in the middle of its pixels."""
    scan().edit(5, lambda one: one.damaged(lambda data: data[:-700])).write(folder)


@kind(refused("PIXELDATA_SHORT"))
def last_file_torn_in_its_pixels(folder: Path) -> None:
    """The copy stopped in the last slice, where a plausible shorter scan would be left."""
    scan().edit(15, lambda one: one.damaged(lambda data: data[:-3])).write(folder)


@kind(refused("TRAILING_ZERO_ROWS"))
def tail_of_zeros(folder: Path) -> None:
    """A copy that reserved its space first: one file's second half is zeros, its size is right."""
    scan().edit(5, lambda one: one.damaged(_zero_tail)).write(folder)


@kind(refused("TRAILING_ZERO_ROWS"))
def tail_of_zeros_in_signed_pixels(folder: Path) -> None:
    """The same where zero is water, and looks like a body."""
    scan(signed=True, intercept=0.0).edit(5, lambda one: one.damaged(_zero_tail)).write(folder)


@kind(refused("IMPLAUSIBLE_HU"))
def tail_of_ones(folder: Path) -> None:
    """One file's second half is 0xFF, as from an erased block of flash."""
    scan().edit(5, lambda one: one.damaged(lambda data: data[:-768] + b"\xff" * 768)).write(folder)


@kind(refused("EMPTY_SLICE"))
def slice_all_zero(folder: Path) -> None:
    """One slice's pixels are all zero."""
    _pixels_of_one(folder, bytes(32 * 24 * 2))


@kind(refused("EMPTY_SLICE"))
def slice_all_one_value(folder: Path) -> None:
    """One slice is 40 HU all over: a decoder that gave up."""
    _pixels_of_one(folder, np.full(32 * 24, 1064, dtype=np.uint16).tobytes())


@kind(refused("EMPTY_SLICE"))
def all_slices_zero(folder: Path) -> None:
    """Every slice's pixels are zero: a shell of a scan."""
    scan().each(lambda one: one.store(np.zeros((32, 24)))).write(folder)


@kind(refused("DUPLICATE_PIXELS"))
def slice_repeated_at_the_next_position(folder: Path) -> None:
    """A stuck buffer: one slice holds its neighbour's pixels, byte for byte."""
    _pixels_of_one(folder, scan().slices[4].pixels)


@kind(refused("WRONG_BYTE_ORDER", "WRONG_SIGN", "IMPLAUSIBLE_HU"))
def bytes_swapped(folder: Path) -> None:
    """The pixels are big endian, the data set is not, and nothing says so."""
    whole = scan()
    whole.each(lambda one: one.elements.put(PIXEL_DATA, "OW", one.stored_HW.astype(">u2").tobytes())).write(folder)


@kind(refused("WRONG_MATRIX", "PIXELDATA_SHORT", "SLICES_OUT_OF_ORDER", "SHEARED_ROWS"))
def rows_and_columns_exchanged(folder: Path) -> None:
    """Rows and Columns are exchanged on every slice: as many pixels, in rows of the wrong length."""
    scan().set(Rows=24, Columns=32).write(folder)


@kind(refused("SLICES_OUT_OF_ORDER", "FLIPPED_SLICE", "INTENSITY_JUMP"))
def pixels_of_one_slice_upside_down(folder: Path) -> None:
    """One slice's pixels are upside down, and its orientation does not say so."""
    scan().edit(6, lambda one: one.store(one.stored_HW[::-1])).write(folder)


@kind(nothing(ENHANCED_MULTIFRAME_UNSUPPORTED=16))
def two_frames_in_a_classic_file(folder: Path) -> None:
    """A classic CT image that says two frames and holds two."""
    whole = scan().set(NumberOfFrames="2")
    whole.each(lambda one: one.elements.put(PIXEL_DATA, "OW", one.pixels * 2)).write(folder)


def _zero_tail(data: bytes) -> bytes:
    return data[:-768] + bytes(768)
