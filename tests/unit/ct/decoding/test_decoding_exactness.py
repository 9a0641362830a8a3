"""Every transfer syntax of compressed CT gives back the values that went in, with the header's sign and depth."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import jpeg_ls
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from fedlung.ct import find_series
from fedlung.ct.decoding import decode_stored
from fedlung.ct.dicom.header import Header
from fedlung.ct.dicom.headers import read_headers
from fedlung.errors import SeriesError

JPEG_LS, NEAR_LOSSLESS, RLE, PLAIN, DEFLATED = "4.80", "4.81", "5", "1.98", "1.99"


class Write(Protocol):
    def __call__(self, fragments: list[bytes], like_HW: np.ndarray, syntax: str, **others: object) -> Header: ...


def noise(dtype: str, bits: int, shape_HW: tuple[int, int] = (33, 47)) -> np.ndarray:
    """Values over the whole range of ``bits``, both ends among them."""
    signed = dtype.startswith("i")
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    values_HW = np.random.default_rng(bits).integers(low, high, shape_HW, endpoint=True).astype(dtype)
    values_HW[0, :2] = low, high
    return values_HW


def jpegls(values_HW: np.ndarray, bits: int, max_error: int = 0) -> bytes:
    unsigned_HW = (values_HW.astype(np.int32) & ((1 << bits) - 1)).astype(f"u{values_HW.itemsize}")
    return bytes(jpeg_ls.encode_buffer(unsigned_HW.tobytes(), *values_HW.shape, 1, bits, max_error))


def by_simpleitk(values_HW: np.ndarray, compressor: str, folder: Path) -> tuple[bytes, str]:
    """The codestream that SimpleITK writes, and its transfer syntax."""
    path = folder / f"{compressor}.dcm"
    writer = SimpleITK.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(path))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(SimpleITK.GetImageFromArray(values_HW[None]))
    dataset = pydicom.dcmread(path)
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    path.unlink()
    return stream, dataset.file_meta.TransferSyntaxUID.removeprefix("1.2.840.10008.1.2.")


def plain_dataset(frames_NHW: np.ndarray) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames_NHW.shape
    dataset.BitsAllocated = dataset.BitsStored = 8 * frames_NHW.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(frames_NHW.dtype.kind == "i")
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    icon = Dataset()
    icon.add_new("PixelData", "OB", b"not the pixels")
    dataset.IconImageSequence = [icon]
    dataset.add_new("PixelData", "OW" if frames_NHW.itemsize == 2 else "OB", frames_NHW.tobytes())
    return dataset


@pytest.mark.parametrize("bits", [2, 7, 8, 10, 12, 13, 15, 16])
@pytest.mark.parametrize("sign", ["i", "u"])
def test_jpegls_of_any_depth_and_sign_is_exact(slice_file: Write, bits: int, sign: str) -> None:
    values_HW = noise(f"{sign}{1 if bits <= 8 else 2}", bits)
    header = slice_file([jpegls(values_HW, bits)], values_HW, JPEG_LS, bits_stored=bits)
    (decoded_HW,) = decode_stored([header])
    assert decoded_HW.dtype == values_HW.dtype
    np.testing.assert_array_equal(decoded_HW, values_HW)


@pytest.mark.parametrize("max_error", [1, 3])
def test_near_lossless_stays_within_its_bound(slice_file: Write, max_error: int) -> None:
    values_HW = noise("u2", 12)
    header = slice_file([jpegls(values_HW, 12, max_error)], values_HW, NEAR_LOSSLESS, bits_stored=12)
    (decoded_HW,) = decode_stored([header])
    errors_HW = np.abs(decoded_HW.astype(int) - values_HW)
    assert errors_HW.max() == max_error


@pytest.mark.parametrize(
    ("dtype", "compressor", "ending"),
    [
        ("i2", "JPEG", "4.70"),
        ("u2", "JPEG", "4.70"),
        ("i2", "JPEG2000", "4.90"),
        ("u2", "JPEG2000", "4.90"),
        ("u1", "JPEG2000", "4.90"),
    ],
)
def test_lossless_jpeg_and_jpeg2000_are_exact(
    slice_file: Write, tmp_path: Path, dtype: str, compressor: str, ending: str
) -> None:
    values_HW = noise(dtype, 8 * np.dtype(dtype).itemsize)
    stream, syntax = by_simpleitk(values_HW, compressor, tmp_path)
    assert syntax == ending
    (decoded_HW,) = decode_stored([slice_file([stream], values_HW, syntax)])
    assert decoded_HW.dtype == values_HW.dtype
    np.testing.assert_array_equal(decoded_HW, values_HW)


RAMP_HW = (100 * np.indices((32, 32))[0] + 17 * np.indices((32, 32))[1]).astype(np.uint16)
"""What the streams below hold, in 12 bits: encoded by OpenJPEG (less 1700, signed), OpenJPH and libjpeg-turbo."""

STREAMS = {
    "4.91": (
        "/0//UQApAAAAAAAgAAAAIAAAAAAAAAAAAAAAIAAAACAAAAAAAAAAAAABiwEB/1IADAAAAAEABQQEAAH/XAATQGBoaHBoaHBoaHBo"
        "aHBoaHD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjL/kAAKAAAAAAB1AAH/k8fsBAbNwfmBR/IEBBEABcD8"
        "ASH7AoANAfffCzf+fe/AfaDQfmDAIhoIY+3fA35hi38bwD6giB+AUDahma5joKYNPaYu1lrUsWirj8AfOJgPtDBfp8eItoaoBg+d"
        "rCldS9itAMFahx//2Q=="
    ),
    "4.201": (
        "/0//UQApQAAAAAAgAAAAIAAAAAAAAAAAAAAAIAAAACAAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCI"
        "kJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAMAAAf+TwAAmofcFB3QAwAATQAATAGz+Agd0"
        "AEj+Awd0AMAAE0AAE4A2NgGCdAAiF/kAo1QAwAAVMAAFWBqNRvOqcQJ1AI47duz4wEIB7LYAwAAV0AAFpIqiKIqiKOfKenpwgngA"
        "wIGBgYGBgYH9jGB79jGB7LoAwAAteAAF0IAAAAAAAAAAAAAA+f8Kenp6enp6cAJ9AMZGo9FoNBqNRqPRaDQa/3hghAe/YhAe/YhA"
        "e/YhAeyzAf/Z"
    ),
    "4.51": (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAEBAQEBAQEBAQEBAQEBAQIBAQEBAQIBAQECAgICAgICAgIDAwQDAwMDAwICAwQDAwQE"
        "BAQEAgMFBQQEBQQEBAT/wQALDAAgACABAREA/8QAFgABAQEAAAAAAAAAAAAAAAAACwwO/8QAHBAAAAYDAAAAAAAAAAAAAAAAAAkL"
        "KDZGU2Nx/9oACAEBAAA/AMZllkocMeaBio3NQRALJQ4Y80DFRuagiAWShwx5oGKjc1BEAslDhjzQMVG5qFiAWShwx5oGKjc1BEAs"
        "lDhjzQMVG5qCIBZKHDHmgYqNzUEQCyUOGPNAxUbmoWIBZKHDHmgYqNzUEQCyUOGPNAxUbmoIgFkocMeaBio3NQRALJQ4Y80DFRua"
        "hYgFkocMeaBio3NQRALJQ4Y80DFRuagiAWShwx5oGKjc1BEAslDhjzQMVG5qH//Z"
    ),
}


@pytest.mark.parametrize("syntax", STREAMS)
def test_streams_of_other_encoders_are_exact(slice_file: Write, syntax: str) -> None:
    values_HW = RAMP_HW.astype(np.int16) - 1700 if syntax == "4.91" else RAMP_HW
    header = slice_file([b64decode(STREAMS[syntax])], values_HW, syntax, bits_stored=12)
    (decoded_HW,) = decode_stored([header])
    np.testing.assert_array_equal(decoded_HW, values_HW)


@pytest.mark.parametrize("dtype", ["i2", "u2", "u1", "i1"])
def test_run_lengths_are_exact(slice_file: Write, dtype: str) -> None:
    values_HW = noise(dtype, 8 * np.dtype(dtype).itemsize)
    values_HW[5:9] = 3
    dataset = plain_dataset(values_HW[None])
    dataset.compress(RLELossless)
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    (decoded_HW,) = decode_stored([slice_file([stream], values_HW, RLE)])
    assert decoded_HW.dtype == values_HW.dtype
    np.testing.assert_array_equal(decoded_HW, values_HW)


@pytest.mark.parametrize("dtype", ["i2", "u2", "u1", "i1"])
def test_encapsulated_plain_pixels_are_exact(slice_file: Write, dtype: str) -> None:
    values_HW = noise(dtype, 8 * np.dtype(dtype).itemsize)
    (decoded_HW,) = decode_stored([slice_file([values_HW.tobytes()], values_HW, PLAIN)])
    np.testing.assert_array_equal(decoded_HW, values_HW)


@pytest.mark.parametrize("dtype", ["i2", "u2", "u1"])
def test_the_frames_of_a_deflated_file_are_exact(
    tmp_path: Path, header_like: Callable[..., Header], dtype: str
) -> None:
    frames_NHW = np.stack([noise(dtype, bits) for bits in (5, 6, 7)])
    dataset, path = plain_dataset(frames_NHW), tmp_path / "deflated.dcm"
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    headers = [header_like(path, frames_NHW[0], DEFLATED, num_frames=3, frame=frame) for frame in (2, 0, 1)]
    np.testing.assert_array_equal(list(decode_stored(headers)), frames_NHW[[2, 0, 1]])


@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_the_stored_ones_are_given_as_they_were_written(slice_file: Write, signed: bool) -> None:
    values_HW = noise("i2" if signed else "u2", 12)
    dirty_HW = ((values_HW.astype(int) & 0x0FFF) | 0x5000).astype(np.uint16)
    headers = [
        slice_file([jpegls(dirty_HW, 16)], values_HW, JPEG_LS, bits_stored=12),
        slice_file([dirty_HW.tobytes()], values_HW, PLAIN, bits_stored=12),
    ]
    for decoded_HW in decode_stored(headers):
        np.testing.assert_array_equal(decoded_HW, dirty_HW.astype(values_HW.dtype))


def test_a_stream_with_fewer_bits_than_a_signed_header_is_read_where_its_sign_is_plain(slice_file: Write) -> None:
    values_HW = noise("u2", 11).astype(np.int16)
    header = slice_file([jpegls(values_HW, 12)], values_HW, JPEG_LS, bits_stored=16)
    (decoded_HW,) = decode_stored([header])
    np.testing.assert_array_equal(decoded_HW, values_HW)
    negative_HW = noise("i2", 12)
    with pytest.raises(SeriesError, match=r"UNDECODABLE.*12 bits a pixel, the header 16, signed"):
        list(decode_stored([slice_file([jpegls(negative_HW, 12)], negative_HW, JPEG_LS, bits_stored=16)]))


def test_negative_values_under_an_unsigned_header_are_refused(slice_file: Write, tmp_path: Path) -> None:
    values_HW = noise("i2", 16)
    stream, syntax = by_simpleitk(values_HW, "JPEG2000", tmp_path)
    with pytest.raises(SeriesError, match=r"UNDECODABLE.*negative"):
        list(decode_stored([slice_file([stream], values_HW.astype(np.uint16), syntax)]))


@pytest.mark.parametrize("cut", ["one each", "table", "starts"])
def test_frames_are_found_by_the_table_by_one_each_and_by_their_starts(slice_file: Write, cut: str) -> None:
    frames = [noise("u2", bits) for bits in (9, 11, 12)]
    streams = [jpegls(frame, 12) + b"\0" * (len(jpegls(frame, 12)) % 2) for frame in frames]
    fragments, table = streams, b""
    if cut != "one each":
        fragments = [half for stream in streams for half in (stream[:100], stream[100:])]
    if cut == "table":
        offsets = np.cumsum([0] + [len(stream) + 16 for stream in streams[:-1]])
        table = offsets.astype("<u4").tobytes()
    headers = [
        slice_file(fragments, frames[0], JPEG_LS, bits_stored=12, table=table, num_frames=3, frame=frame)
        for frame in (1, 2, 0)
    ]
    np.testing.assert_array_equal(list(decode_stored(headers)), [frames[1], frames[2], frames[0]])


def test_more_slices_than_are_decoded_ahead_come_in_order(slice_file: Write) -> None:
    constant = [np.full((8, 8), number, np.uint16) for number in range(100)]
    headers = [slice_file([jpegls(slice_HW, 12)], slice_HW, JPEG_LS, bits_stored=12) for slice_HW in constant]
    decoded = list(decode_stored(headers))
    assert [slice_HW[0, 0] for slice_HW in decoded] == list(range(100))
    decoded[0][:] = 7
    assert decoded[4][0, 0] == 4, "each array is the caller's own"


def test_slices_of_other_sizes_and_types_share_a_decoder(slice_file: Write) -> None:
    values = [noise("u1", 8, (20, 30)), noise("i2", 12, (300, 200)), noise("u2", 16, (9, 20))]
    headers = [
        slice_file([jpegls(slice_HW, bits)], slice_HW, JPEG_LS, bits_stored=bits)
        for slice_HW, bits in zip(values, (8, 12, 16), strict=True)
    ]
    for decoded_HW, slice_HW in zip(decode_stored(headers), values, strict=True):
        np.testing.assert_array_equal(decoded_HW, slice_HW)


def test_a_file_name_that_is_not_utf8_is_read(slice_file: Write, tmp_path: Path) -> None:
    values_HW = noise("u2", 12)
    header = slice_file([jpegls(values_HW, 12)], values_HW, JPEG_LS, bits_stored=12)
    odd = Path(str(tmp_path), b"s\xe9rie \n.dcm".decode("utf-8", "surrogateescape"))
    header.path.rename(odd)
    (decoded_HW,) = decode_stored([replace(header, path=odd)])
    np.testing.assert_array_equal(decoded_HW, values_HW)


@pytest.mark.lidc
def test_a_real_series_is_what_simpleitk_reads(lidc_folder: Path) -> None:
    (series,), _ = find_series(lidc_folder / "LIDC-IDRI-0063")
    headers = [header for path in series.files[:8] for header in read_headers(path)]
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames([str(header.path) for header in headers])
    hu_DHW = SimpleITK.GetArrayFromImage(reader.Execute())
    for decoded_HW, header, hu_HW in zip(decode_stored(headers), headers, hu_DHW, strict=True):
        np.testing.assert_array_equal(decoded_HW * int(header.slope) + int(header.intercept), hu_HW)
