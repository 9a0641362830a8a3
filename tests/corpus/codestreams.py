"""Compressed pixels that are torn or lie, syntaxes that are not what they say, and bombs."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus import dicom
from corpus.dicom import PIXEL_DATA, Elements, Encapsulated
from corpus.jpegls import encode_jpegls
from corpus.kinds import kind, nothing, read, refused, variants
from corpus.scan import Slice, scan
from corpus.syntaxes import compressed, encapsulate, jpeg_2000, jpeg_lossless, rle

# --- torn and lying -------------------------------------------------------------------------------

UNDECODABLE = ("UNDECODABLE", "PIXELDATA_SHORT", "DECODER_CRASHED", "DAMAGED_PIXELS")
TORN: dict[str, tuple[str, tuple[str, Callable[[npt.NDArray], bytes]]]] = {
    "rle-cut-off": ("An RLE frame that ends in its second segment.", (dicom.RLE, lambda image: rle(image)[:-300])),
    "rle-with-a-wrong-segment-offset": (
        "An RLE frame whose second segment starts beyond its end.",
        (dicom.RLE, lambda image: rle(image)[:8] + struct.pack("<I", 99_999) + rle(image)[12:]),
    ),
    "rle-with-one-segment": (
        "An RLE frame of one segment where 16 bits need two.",
        (dicom.RLE, lambda image: struct.pack("<I", 1) + rle(image)[4:]),
    ),
    "jpeg-2000-cut-off": ("A JPEG 2000 stream cut in half.", (dicom.JPEG_2000, lambda image: _half(jpeg_2000(image)))),
    "jpeg-lossless-cut-off": (
        "A lossless JPEG stream cut in half.",
        (dicom.JPEG_LOSSLESS_SV1, lambda image: _half(jpeg_lossless(image))),
    ),
    "jpeg-ls-cut-off": ("A JPEG-LS stream cut in half.", (dicom.JPEG_LS, lambda image: _half(encode_jpegls(image)))),
    "jpeg-ls-garbage": (
        "No JPEG-LS stream at all.",
        (dicom.JPEG_LS, lambda image: bytes(range(256)) * 4),
    ),
    "jpeg-2000-garbage": ("Noise where a JPEG 2000 stream should be.", (dicom.JPEG_2000, lambda image: b"\xa5" * 900)),
    "compressed-and-empty": ("A fragment without a byte.", (dicom.JPEG_2000, lambda image: b"")),
    "codestream-of-another-size": (
        "The codestream holds half the rows that the header says.",
        (dicom.JPEG_2000, lambda image: jpeg_2000(image[:16])),
    ),
    "codestream-larger-than-the-header": (
        "The codestream holds twice the rows that the header says.",
        (dicom.JPEG_2000, lambda image: jpeg_2000(np.concatenate([image, image]))),
    ),
    "codestream-of-another-codec": (
        "A JPEG-LS stream under JPEG 2000's transfer syntax.",
        (dicom.JPEG_2000, lambda image: encode_jpegls(image)),
    ),
    "codestream-that-declares-a-giant": (
        "A JPEG-LS stream that declares 65,535 x 65,535 pixels.",
        (dicom.JPEG_LS, lambda image: _declaring(encode_jpegls(image), 65535, 65535)),
    ),
}


@variants(TORN, refused(*UNDECODABLE, "DECOMPRESSION_BOMB", "DECODER_OUT_OF_MEMORY", "DECODER_TIMEOUT"))
def torn(folder: Path, how: tuple[str, Callable[[npt.NDArray], bytes]]) -> None:
    """One slice cannot be what it says."""
    syntax, encode = how
    scan().edit(5, lambda one: encapsulate(one, syntax, Encapsulated([encode(one.stored_HW)]))).write(folder)


def _half(stream: bytes) -> bytes:
    return stream[: len(stream) // 2]


def _declaring(stream: bytes, height: int, width: int) -> bytes:
    """A JPEG-LS stream with other sizes in its frame header."""
    return stream[:7] + struct.pack(">HH", height, width) + stream[11:]


@kind(refused(*UNDECODABLE))
def no_fragments_at_all(folder: Path) -> None:
    """Encapsulated pixel data with an offset table and no frame."""
    scan().edit(5, lambda one: encapsulate(one, dicom.RLE, Encapsulated([]))).write(folder)


@kind(refused(*UNDECODABLE))
def fragment_longer_than_the_file(folder: Path) -> None:
    """A fragment whose length reaches beyond the end of the file."""
    whole = scan().each(lambda one: compressed(one, rle, dicom.RLE))
    whole.edit(5, lambda one: one.damaged(lambda data: data[:-400])).write(folder)


@kind(read())
def sequence_delimiter_missing(folder: Path) -> None:
    """The last fragment is whole, but the delimiter after it was lost."""
    whole = scan()
    whole.each(lambda one: encapsulate(one, dicom.RLE, Encapsulated([rle(one.stored_HW)], delimited=False))).write(
        folder
    )


@kind(refused(*UNDECODABLE, "UNSUPPORTED_SYNTAX", "UNSUPPORTED_TRANSFER_SYNTAX"))
def video(folder: Path) -> None:
    """MPEG-4 video as the transfer syntax of a slice."""
    video_uid = "1.2.840.10008.1.2.4.102"
    scan().edit(5, lambda one: encapsulate(one, video_uid, Encapsulated([b"\0\0\1\xb3" * 99]))).write(folder)


@kind(refused(*UNDECODABLE, "UNSUPPORTED_SYNTAX", "UNSUPPORTED_TRANSFER_SYNTAX"))
def unknown_transfer_syntax_compressed(folder: Path) -> None:
    """A vendor's own compression."""
    scan().each(lambda one: encapsulate(one, "1.3.46.670589.33.1.4.1", Encapsulated([b"own" * 300]))).write(folder)


# --- file meta information that lies --------------------------------------------------------------


def _claims(folder: Path, claimed: str, *, truly: str = dicom.EXPLICIT) -> None:
    scan(syntax=truly).each(lambda one: one.meta.set(TransferSyntaxUID=claimed)).write(folder)


MAY_BE_SEEN_THROUGH = {
    "says-implicit-is-explicit": ("The file meta says implicit VR; the data set is explicit.", dicom.IMPLICIT),
    "says-explicit-is-implicit": ("The file meta says explicit VR; the data set is implicit.", dicom.EXPLICIT),
}


@variants(MAY_BE_SEEN_THROUGH, read())
def meta_that_lies_about_the_vr(folder: Path, claimed: str) -> None:
    """A router rewrote the data set and not the file meta."""
    _claims(folder, claimed, truly=dicom.EXPLICIT if claimed == dicom.IMPLICIT else dicom.IMPLICIT)


@kind(nothing(DAMAGED_HEADER=16))
def says_compressed_is_plain(folder: Path) -> None:
    """The file meta says JPEG 2000; the pixels are plain numbers."""
    _claims(folder, dicom.JPEG_2000)


@kind(nothing(DAMAGED_HEADER=16))
def says_plain_is_compressed(folder: Path) -> None:
    """The file meta says explicit little endian; the pixels are encapsulated JPEG 2000."""
    whole = scan().each(lambda one: compressed(one, jpeg_2000, dicom.JPEG_2000))
    whole.each(lambda one: one.meta.set(TransferSyntaxUID=dicom.EXPLICIT)).write(folder)


@kind(nothing(DAMAGED_HEADER=16))
def says_big_endian_is_little(folder: Path) -> None:
    """The file meta says big endian; the data set is little endian."""
    _claims(folder, dicom.BIG_ENDIAN)


@kind(nothing(DAMAGED_HEADER=16))
def says_deflated_is_plain(folder: Path) -> None:
    """The file meta says deflated; the data set is plain."""
    _claims(folder, dicom.DEFLATED)


@kind(nothing(DAMAGED_HEADER=16))
def vendor_syntax_of_swapped_pixels(folder: Path) -> None:
    """GE's own syntax of old: an implicit little endian data set whose pixels alone are big endian."""
    whole = scan(syntax=dicom.IMPLICIT).each(lambda one: one.meta.set(TransferSyntaxUID="1.2.840.113619.5.2"))
    whole.each(lambda one: one.elements.put(PIXEL_DATA, "OW", one.stored_HW.astype(">u2").tobytes())).write(folder)


@kind(nothing(DAMAGED_HEADER=16))
def deflated_with_a_zlib_header(folder: Path) -> None:
    """A writer that packed the data set with zlib's header, where raw deflate is due."""

    def pack(one: Slice) -> bytes:
        return zlib.compress(dicom.encode(one.elements, dicom.EXPLICIT))

    whole = scan(syntax=dicom.DEFLATED)
    whole.each(lambda one: one.damaged(lambda data: data[: -len(_packed(one))] + pack(one))).write(folder)


def _packed(one: Slice) -> bytes:
    return dicom.dataset_bytes(one.elements, dicom.DEFLATED)


@kind(refused("UNDECODABLE", "PIXELDATA_SHORT", "DAMAGED_HEADER", "NONUNIFORM_OR_MISSING_SLICES"))
def deflated_and_torn(folder: Path) -> None:
    """One deflated file ends in its packed pixels."""
    scan(syntax=dicom.DEFLATED).edit(5, lambda one: one.damaged(lambda data: data[:-400])).write(folder)


# --- bombs ----------------------------------------------------------------------------------------


@kind(refused("DECOMPRESSION_BOMB"))
def deflate_bomb(folder: Path) -> None:
    """One slice of a sound scan inflates from one megabyte to a gibibyte of pixel data."""
    whole = scan(syntax=dicom.DEFLATED)
    whole.edit(5, lambda one: _explode(one, 0x7FE00010)).write(folder)


@kind(refused("NONUNIFORM_OR_MISSING_SLICES", beside={"DAMAGED_HEADER": 1}))
def deflate_bomb_before_the_header(folder: Path) -> None:
    """The gibibyte lies in a private element that comes before all that a reader wants to know."""
    whole = scan(syntax=dicom.DEFLATED)
    whole.edit(5, lambda one: _explode(one, 0x00031001)).write(folder)


def _explode(one: Slice, tag: int) -> None:
    """One slice with a gibibyte of zeros under a tag."""
    kept = Elements({known: element for known, element in one.elements.by_tag.items() if known < tag})
    opening = struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"OW", 0, 1 << 30)
    packer = zlib.compressobj(9, wbits=-15)
    head = packer.compress(dicom.encode(kept, dicom.EXPLICIT) + opening) + packer.flush(zlib.Z_FULL_FLUSH)
    one.elements = Elements()
    one.damaged(lambda data: data[: -len(dicom.dataset_bytes(Elements(), dicom.DEFLATED))] + head + _gibibyte())


@cache
def _gibibyte() -> bytes:
    return dicom.zeros_packed(1.0, wbits=-15)


@kind(refused("PIXELDATA_SHORT", "NO_PIXELS", "UNDECODABLE"))
def declared_giant(folder: Path) -> None:
    """Every slice declares 65,535 x 65,535 pixels, 8.6 GB each, and holds 1.5 kB."""
    scan().set(Rows=65535, Columns=65535).write(folder)


@kind(refused("IMPLAUSIBLE_GEOMETRY"))
def declared_giant_compressed(folder: Path) -> None:
    """RLE slices that declare 65,535 x 65,535 pixels and hold a few."""
    scan().each(lambda one: compressed(one, rle, dicom.RLE)).set(Rows=65535, Columns=65535).write(folder)
