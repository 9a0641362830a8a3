"""Headers that are well formed and that only the pixels contradict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus import dicom
from corpus.dicom import Encapsulated
from corpus.jpegls import encode_jpegls
from corpus.kinds import kind, refused, variants
from corpus.scan import Slice, scan
from corpus.syntaxes import encapsulate, rle

# --- bits and bytes -------------------------------------------------------------------------------


@kind(refused("WRONG_BYTE_ORDER"))
def bytes_exchanged(folder: Path) -> None:
    """The bytes of 12-bit pixels were exchanged on the way: what is left of them in 12 bits could be HU."""
    whole = scan().set(BitsStored=12, HighBit=11)
    whole.each(_exchange_bytes).write(folder)


@kind(refused("WRONG_BYTE_ORDER"))
def bytes_exchanged_in_sixteen_bits(folder: Path) -> None:
    """The same where all 16 bits count."""
    scan().each(_exchange_bytes).write(folder)


def _exchange_bytes(one: Slice) -> None:
    one.store(one.stored_HW.astype(np.uint16).byteswap())


@kind(refused("UNSUPPORTED_BITS"))
def bits_stored_far_too_few(folder: Path) -> None:
    """BitsStored says 8: cut so, all values lie between -1024 and -769 HU and none is implausible."""
    scan().set(BitsStored=8, HighBit=7).write(folder)


# --- rescale --------------------------------------------------------------------------------------


@kind(refused("IMPLAUSIBLE_HU"))
def slope_of_next_to_nothing(folder: Path) -> None:
    """A slope of 1e-30, above zero as it should be: every voxel is air."""
    scan().set(RescaleSlope="1e-30").write(folder)


@kind(refused("RESCALE_CONTRADICTED"))
def intercept_of_one_slice_applied_twice(folder: Path) -> None:
    """One slice says -2048 where the others say -1024, and its numbers are as theirs."""
    scan().edit(6, lambda one: one.set(RescaleIntercept="-2048")).write(folder)


@kind(refused("RESCALE_CONTRADICTED", "SLICES_OUT_OF_ORDER"))
def intercepts_that_alternate(folder: Path) -> None:
    """Every second slice says -1000 where the others say -1024, and the numbers know nothing of it."""
    scan().edit(range(0, 16, 2), lambda one: one.set(RescaleIntercept="-1000")).write(folder)


# --- zeros that are no tail -----------------------------------------------------------------------

ZEROED_ROWS: dict[str, tuple[str, slice]] = {
    "zeros-at-the-begin": ("The first half of one slice is zeros.", slice(0, 16)),
    "zeros-in-the-middle": ("A lost block: eight rows in the middle of one slice are zeros.", slice(12, 20)),
}


@variants(ZEROED_ROWS, refused("STUCK_PIXELS"))
def zeroed_rows(folder: Path, rows: slice) -> None:
    """Rows of zeros, which would be air, where both neighbours have a chest."""

    def clear(one: Slice) -> None:
        stored_HW = one.stored_HW.copy()
        stored_HW[rows] = 0
        one.store(stored_HW)

    scan().edit(6, clear).write(folder)


# --- codestreams ----------------------------------------------------------------------------------

Encode = Callable[[npt.NDArray], bytes]
OTHER_IMAGES: dict[str, tuple[str, tuple[str, Encode]]] = {
    "rle-longer-than-the-slice": (
        "An RLE frame that holds twice the rows; its first half fills the slice.",
        (dicom.RLE, lambda image: rle(np.concatenate([image, image]))),
    ),
    "jpeg-ls-of-eight-bits": (
        "A preview of 8 bits in the place of one slice's 16.",
        (dicom.JPEG_LS, lambda image: encode_jpegls(image >> 4, bits=8)),
    ),
    "jpeg-ls-with-loss-under-the-lossless-syntax": (
        "The scan's header allows an error of 3, the transfer syntax none.",
        (dicom.JPEG_LS, lambda image: _near(encode_jpegls(image), 3)),
    ),
}


@variants(OTHER_IMAGES, refused("UNDECODABLE"))
def other_image(folder: Path, how: tuple[str, Encode]) -> None:
    """One slice's codestream decodes, and is not the slice."""
    syntax, encode = how
    scan().edit(5, lambda one: encapsulate(one, syntax, Encapsulated([encode(one.stored_HW)]))).write(folder)


def _near(stream: bytes, near: int) -> bytes:
    """NEAR is the byte after the scan's one component (T.87 C.2.3)."""
    place = stream.index(b"\xff\xda") + 7
    return stream[:place] + bytes([near]) + stream[place + 1 :]


@kind(refused("UNDECODABLE"))
def two_frames_and_no_number_of_frames(folder: Path) -> None:
    """One file holds two frames by its offset table, and says nothing of a second one."""

    def doubled(one: Slice) -> None:
        frame: Any = encode_jpegls(one.stored_HW)
        frame += b"\0" * (len(frame) % 2)
        offsets = (0).to_bytes(4, "little") + (8 + len(frame)).to_bytes(4, "little")
        encapsulate(one, dicom.JPEG_LS, Encapsulated([frame, frame], offsets))

    scan().edit(5, doubled).write(folder)


# --- images that are not what lies there ----------------------------------------------------------

MATRICES: dict[str, tuple[str, tuple[int, int]]] = {
    "rows-joined-in-pairs": ("Half the rows and twice the columns: each row of the matrix is two.", (16, 48)),
    "rows-cut-in-halves": ("Twice the rows and half the columns: each row of the matrix is half of one.", (64, 12)),
}


@variants(MATRICES, refused("WRONG_MATRIX"))
def other_matrix(folder: Path, shape_HW: tuple[int, int]) -> None:
    """As many pixels, in rows of another length, on every slice."""
    scan().set(Rows=shape_HW[0], Columns=shape_HW[1]).write(folder)


Change = Callable[[npt.NDArray], npt.NDArray]
STRAYS: dict[str, tuple[str, Change]] = {
    "one-slice-shifted-by-half-its-rows": ("Rows of one slice are rolled by 16.", lambda image: np.roll(image, 16, 0)),
    "one-slice-shifted-by-half-its-columns": (
        "Columns of one slice are rolled by 16.",
        lambda image: np.roll(image, 16, 1),
    ),
    "one-slice-transposed": ("Rows of one slice stand where its columns should.", lambda image: image.T),
    "one-slice-turned-by-a-quarter": ("One slice is turned by 90 degrees.", np.rot90),
    "one-slice-reshaped": (
        "One slice was read with rows of half the length.",
        lambda image: image.reshape(64, 16)[::2].repeat(2, axis=1),
    ),
    "one-slice-with-even-rows-first": (
        "One slice holds its even rows and below them the odd ones.",
        lambda image: np.concatenate([image[::2], image[1::2]]),
    ),
}


@variants(STRAYS, refused("STRAY_SLICE", "FLIPPED_SLICE", "SLICES_OUT_OF_ORDER"))
def stray(folder: Path, change: Change) -> None:
    """One slice of a sound scan shows its image in another place, and its header says nothing of it."""
    whole = scan(shape_HW=(32, 32))
    whole.edit(7, lambda one: one.store(change(one.stored_HW))).write(folder)


@kind(refused("SLICES_OUT_OF_ORDER"))
def pixels_of_two_slices_exchanged(folder: Path) -> None:
    """Two slices beside one another hold each other's pixels."""
    whole = scan()
    one, other = whole.slices[8].stored_HW, whole.slices[9].stored_HW
    whole.edit(8, lambda slice_: slice_.store(other)).edit(9, lambda slice_: slice_.store(one)).write(folder)
