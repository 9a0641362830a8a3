"""Transfer syntaxes: every one that occurs, right; and compressed pixels that are torn, lie or explode."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK

from corpus import dicom
from corpus.dicom import PIXEL_DATA, Encapsulated
from corpus.jpegls import encode_jpegls
from corpus.kinds import kind, read, variants
from corpus.scan import Slice, scan

Codec = Callable[[npt.NDArray], bytes]


# --- encoders -------------------------------------------------------------------------------------


def rle(pixels_HW: npt.NDArray) -> bytes:
    """One RLE frame of 16-bit pixels: two segments, high bytes first, literal runs alone (PS3.5 annex G)."""
    planes = [(pixels_HW >> 8).astype(np.uint8).tobytes(), (pixels_HW & 0xFF).astype(np.uint8).tobytes()]
    segments = [b"".join(_literal(plane[at : at + 128]) for at in range(0, len(plane), 128)) for plane in planes]
    offsets = [64, 64 + len(segments[0]) + len(segments[0]) % 2, *[0] * 13]
    return struct.pack("<16I", 2, *offsets) + b"".join(part + b"\0" * (len(part) % 2) for part in segments)


def _literal(part: bytes) -> bytes:
    return bytes([len(part) - 1]) + part


def gdcm(pixels_HW: npt.NDArray, compressor: str) -> bytes:
    """One frame as GDCM compresses it through SimpleITK."""
    return _gdcm(pixels_HW.astype(np.uint16).tobytes(), pixels_HW.shape, compressor)


@cache
def _gdcm(pixels: bytes, shape_HW: tuple[int, int], compressor: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        writer = SimpleITK.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(str(Path(folder, "one.dcm")))
        writer.SetUseCompression(True)
        writer.SetCompressor(compressor)
        writer.Execute(SimpleITK.GetImageFromArray(np.frombuffer(pixels, np.uint16).reshape(1, *shape_HW)))
        return next(
            pydicom.encaps.generate_frames(pydicom.dcmread(Path(folder, "one.dcm")).PixelData, number_of_frames=1)
        )


def jpeg_lossless(pixels_HW: npt.NDArray) -> bytes:
    """Lossless JPEG, first-order prediction."""
    return gdcm(pixels_HW, "JPEG")


def jpeg_2000(pixels_HW: npt.NDArray) -> bytes:
    """Reversible JPEG 2000."""
    return gdcm(pixels_HW, "JPEG2000")


def compressed(one: Slice, codec: Codec, syntax: str) -> None:
    """One slice with its pixels compressed."""
    encapsulate(one, syntax, Encapsulated([codec(one.stored_HW)]))


def encapsulate(one: Slice, syntax: str, pixels: Encapsulated) -> None:
    """One slice with these fragments as pixels."""
    one.meta.set(TransferSyntaxUID=syntax)
    one.elements.put(PIXEL_DATA, "OB", pixels)


# --- sound ----------------------------------------------------------------------------------------

PLAIN = {
    "implicit-little-endian": ("Implicit VR, little endian: DICOM's default.", dicom.IMPLICIT),
    "explicit-big-endian": ("Explicit VR, big endian: retired and still in archives.", dicom.BIG_ENDIAN),
    "deflated": ("The whole data set is deflated.", dicom.DEFLATED),
}
CODECS: dict[str, tuple[str, tuple[Codec, str]]] = {
    "rle": ("RLE.", (rle, dicom.RLE)),
    "jpeg-lossless": ("Lossless JPEG, process 14, first-order prediction.", (jpeg_lossless, dicom.JPEG_LOSSLESS_SV1)),
    "jpeg-lossless-any-predictor": ("Lossless JPEG, process 14.", (jpeg_lossless, dicom.JPEG_LOSSLESS)),
    "jpeg-2000": ("JPEG 2000, lossless.", (jpeg_2000, dicom.JPEG_2000)),
    "jpeg-2000-either": ("JPEG 2000 that may be lossy and is not.", (jpeg_2000, "1.2.840.10008.1.2.4.91")),
    "jpeg-ls": ("JPEG-LS, lossless.", (encode_jpegls, dicom.JPEG_LS)),
    "jpeg-ls-either": ("JPEG-LS that may be near-lossless and is not.", (encode_jpegls, "1.2.840.10008.1.2.4.81")),
}


@variants(PLAIN, read())
def plain_syntax(folder: Path, syntax: str) -> None:
    """Plain numbers in each syntax."""
    scan(syntax=syntax).write(folder)


@variants(CODECS, read())
def codec_syntax(folder: Path, how: tuple[Codec, str]) -> None:
    """Compressed pixels in each syntax."""
    scan().each(lambda one: compressed(one, *how)).write(folder)


@kind(read())
def big_endian_with_padding(folder: Path) -> None:
    """Big endian, signed, twelve bits."""
    scan(syntax=dicom.BIG_ENDIAN, signed=True, intercept=0.0).write(folder)


@kind(read())
def mixed_transfer_syntaxes(folder: Path) -> None:
    """An archive that compressed some slices on the way: seven syntaxes in one series."""
    how = [(rle, dicom.RLE), (jpeg_2000, dicom.JPEG_2000), (encode_jpegls, dicom.JPEG_LS)]
    whole = scan()
    for number, (codec, syntax) in enumerate(how):
        whole.edit(4 * number + 1, partial(compressed, codec=codec, syntax=syntax))
    for number, (_, plain) in enumerate(PLAIN.values()):
        whole.edit(4 * number + 2, partial(set_syntax, syntax=plain))
    whole.write(folder)


@kind(read())
def signed_and_compressed(folder: Path) -> None:
    """Signed pixels under RLE."""
    whole = scan(signed=True, intercept=0.0)
    whole.each(lambda one: encapsulate(one, dicom.RLE, Encapsulated([rle(one.stored_HW & 0xFFFF)]))).write(folder)


@kind(read())
def compressed_in_many_fragments(folder: Path) -> None:
    """One frame in fragments of 200 bytes, as network devices cut it."""
    scan().each(lambda one: _in_fragments(one, 200)).write(folder)


@kind(read())
def compressed_with_an_offset_table(folder: Path) -> None:
    """The basic offset table is filled."""
    scan().each(lambda one: encapsulate(one, dicom.RLE, Encapsulated([rle(one.stored_HW)], bytes(4)))).write(folder)


@kind(read())
def rescale_of_each_slice_compressed(folder: Path) -> None:
    """Every slice has its own intercept, under JPEG 2000."""
    whole = scan()
    for one in whole.slices:
        one.set(RescaleIntercept=str(-1024 - one.number)).store(one.stored_HW + one.number)
    whole.each(lambda one: compressed(one, jpeg_2000, dicom.JPEG_2000)).write(folder)


@kind(read())
def twelve_bits_compressed(folder: Path) -> None:
    """JPEG-LS streams of 12 bits in 16."""
    whole = scan().set(BitsStored=12, HighBit=11)
    whole.each(lambda one: encapsulate(one, dicom.JPEG_LS, Encapsulated([encode_jpegls(one.stored_HW, 12)]))).write(
        folder
    )


@kind(read(tolerance_hu=4.0))
def eight_bits_compressed(folder: Path) -> None:
    """JPEG-LS streams of 8 bits with a slope of 8."""
    whole = scan(bits=8, slope=8.0)
    whole.each(lambda one: encapsulate(one, dicom.JPEG_LS, Encapsulated([encode_jpegls(one.stored_HW, 8)]))).write(
        folder
    )


def set_syntax(one: Slice, syntax: str) -> None:
    one.syntax = syntax
    one.meta.set(TransferSyntaxUID=syntax)


def _in_fragments(one: Slice, size: int) -> None:
    stream = jpeg_2000(one.stored_HW)
    parts = [stream[at : at + size] for at in range(0, len(stream), size)]
    encapsulate(one, dicom.JPEG_2000, Encapsulated(parts))
