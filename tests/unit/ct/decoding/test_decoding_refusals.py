"""Bombs, garbage and streams cut short: refused by code, quickly, and never a slice of another size."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jpeg_ls
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.encaps import generate_frames

from fedlung.ct.decoding import decode_stored, decode_with
from fedlung.ct.decoding.limits import MIB
from fedlung.ct.decoding.pool import DecoderPool
from fedlung.ct.dicom.header import Header
from fedlung.errors import SeriesError

Write = Callable[..., Header]

VALUES_HW = np.random.default_rng(1).integers(0, 4096, (40, 30)).astype(np.uint16)
STREAM = bytes(jpeg_ls.encode_buffer(VALUES_HW.tobytes(), 40, 30, 1, 12))


@pytest.fixture(scope="module")
def jpeg2000(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return by_simpleitk(tmp_path_factory.mktemp("jpeg2000") / "slice.dcm", "JPEG2000")


def by_simpleitk(path: Path, compressor: str) -> bytes:
    """``VALUES_HW`` in 16 bits."""
    writer = SimpleITK.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(path))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(SimpleITK.GetImageFromArray(VALUES_HW[None]))
    stream = next(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1))
    path.unlink()
    return stream


def code_of(*headers: Header) -> str:
    with pytest.raises(SeriesError) as caught:
        list(decode_stored(headers))
    assert caught.value.public == caught.value.code, "no more than the code may leave the site"
    return caught.value.code


def jpegls_header(rows: int, columns: int) -> bytes:
    """The stream's frame header with other dimensions: T.87 C.2.2, behind SOI, marker, length and precision."""
    at = STREAM.index(b"\xff\xf7") + 5
    return STREAM[:at] + struct.pack(">HH", rows, columns) + STREAM[at + 4 :]


def test_a_stream_that_is_larger_than_its_header_says_is_a_bomb(slice_file: Write) -> None:
    assert code_of(slice_file([jpegls_header(65535, 65535)], VALUES_HW, "4.80")) == "DECOMPRESSION_BOMB"


def test_a_jpeg2000_stream_that_is_larger_than_its_header_says_is_a_bomb(slice_file: Write, jpeg2000: bytes) -> None:
    stream = jpeg2000[:8] + struct.pack(">2I", 1 << 30, 1 << 30) + jpeg2000[16:]
    assert code_of(slice_file([stream], VALUES_HW, "4.90")) == "DECOMPRESSION_BOMB"


@pytest.mark.parametrize("shape_HW", [(30, 40), (40, 29), (20, 30), (0, 0)])
def test_a_stream_of_another_shape_is_refused(slice_file: Write, shape_HW: tuple[int, int]) -> None:
    assert code_of(slice_file([jpegls_header(*shape_HW)], VALUES_HW, "4.80")) == "UNDECODABLE"


@pytest.mark.parametrize(
    ("declared", "code"),
    [
        ({"shape_HW": (65535, 65535)}, "DECOMPRESSION_BOMB"),
        ({"shape_HW": (0, 512)}, "UNDECODABLE"),
        ({"bits_allocated": 32}, "UNDECODABLE"),
        ({"bits_allocated": 0, "bits_stored": 0}, "UNDECODABLE"),
        ({"bits_stored": 17}, "UNDECODABLE"),
        ({"frame": 1}, "UNDECODABLE"),
        ({"frame": -1}, "UNDECODABLE"),
        ({"pixels": None}, "UNDECODABLE"),
    ],
)
def test_what_no_ct_declares_is_refused(slice_file: Write, declared: dict[str, object], code: str) -> None:
    assert code_of(replace(slice_file([STREAM], VALUES_HW, "4.80"), **declared)) == code


def test_a_series_of_more_bytes_than_a_stated_cap_is_refused_before_it_is_read(slice_file: Write) -> None:
    header = replace(slice_file([STREAM], VALUES_HW, "4.80"), shape_HW=(4096, 4096))
    assert code_of(*[header] * 257) == "DECOMPRESSION_BOMB"


def deflated_file(path: Path, data_set: bytes, *, mebibytes_of_zeros: int = 0) -> Path:
    syntax = b"1.2.840.10008.1.2.1.99"
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", len(syntax)) + syntax
    length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta))
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflate.compress(data_set) + deflate.flush(zlib.Z_FULL_FLUSH)
    # Fully flushed blocks refer to nothing before them, so that one may be said many times.
    deflated += (deflate.compress(bytes(MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)) * mebibytes_of_zeros
    path.write_bytes(bytes(128) + b"DICM" + length + meta + deflated + deflate.flush())
    return path


def pixel_element(num_bytes: int) -> bytes:
    return struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, num_bytes)


def peak_bytes(pid: int) -> int:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of a process's memory")
def test_a_mebibyte_that_inflates_to_a_gibibyte_is_refused_quickly_in_flat_memory(
    tmp_path: Path, header_like: Callable[..., Header], pool_of: Callable[..., DecoderPool]
) -> None:
    path = deflated_file(tmp_path / "bomb.dcm", pixel_element(2400), mebibytes_of_zeros=1024)
    assert path.stat().st_size < 1.1 * MIB
    pool = pool_of()
    began = time.monotonic()
    with pytest.raises(SeriesError, match="DECOMPRESSION_BOMB"):
        list(decode_with(pool.decode, [header_like(path, VALUES_HW, "1.99")]))
    assert time.monotonic() - began < 5
    (pid,) = pool.pids
    assert peak_bytes(pid) < 128 * MIB


@pytest.mark.parametrize(
    "data_set",
    [
        pixel_element(2400) + bytes(2398),
        pixel_element(2398) + bytes(2398),
        pixel_element(0xFFFFFFFF) + bytes(2400),
        struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) * 50_000,
        b"",
    ],
    ids=["short", "declared short", "undefined length", "nested 50,000 times", "empty"],
)
def test_a_deflated_file_without_its_pixels_is_refused(
    tmp_path: Path, header_like: Callable[..., Header], data_set: bytes
) -> None:
    path = deflated_file(tmp_path / "short.dcm", data_set)
    assert code_of(header_like(path, VALUES_HW, "1.99")) == "UNDECODABLE"


@pytest.mark.parametrize("kept", [0, 1, 3, 20, 40, 0.5, -4])
@pytest.mark.parametrize("syntax", ["4.80", "4.90", "5", "1.98"])
def test_a_stream_cut_short_is_refused(slice_file: Write, jpeg2000: bytes, kept: float, syntax: str) -> None:
    streams = {"4.80": STREAM, "4.90": jpeg2000, "5": run_lengths(VALUES_HW), "1.98": VALUES_HW.tobytes()}
    stream = streams[syntax].rstrip(b"\0")
    cut = stream[: int(len(stream) * kept)] if 0 < kept < 1 else stream[: int(kept)]
    if len(cut) % 2:
        cut = cut[:-1]
    assert code_of(slice_file([cut], VALUES_HW, syntax)) == "UNDECODABLE"


def test_a_jpegls_stream_without_its_end_marker_is_refused(slice_file: Write) -> None:
    assert code_of(slice_file([STREAM.rstrip(b"\0")[:-2]], VALUES_HW, "4.80")) == "UNDECODABLE"


def test_a_jpeg_stream_that_ends_in_the_middle_is_refused_though_its_codec_only_mutters(
    slice_file: Write, tmp_path: Path
) -> None:
    stream = by_simpleitk(tmp_path / "lossless.dcm", "JPEG").rstrip(b"\0")
    half = stream[: len(stream) // 2].rstrip(b"\xff") + b"\xff\xd9"
    assert code_of(slice_file([half], VALUES_HW, "4.70")) == "UNDECODABLE"
    np.testing.assert_array_equal(next(decode_stored([slice_file([stream], VALUES_HW, "4.70")])), VALUES_HW)


@pytest.mark.parametrize("padding", [b"\0", b"\xff", b"\0\0\0"])
def test_padding_behind_the_end_marker_is_forgiven(slice_file: Write, padding: bytes) -> None:
    header = slice_file([STREAM.rstrip(b"\0") + padding], VALUES_HW, "4.80", bits_stored=12)
    np.testing.assert_array_equal(next(decode_stored([header])), VALUES_HW)


def run_lengths(values_HW: np.ndarray) -> bytes:
    """Literal runs only: PS3.5 annex G."""
    planes = [values_HW.byteswap().view(np.uint8).reshape(*values_HW.shape, 2)[..., byte].tobytes() for byte in (0, 1)]
    segments = [b"".join(bytes([len(run) - 1]) + run for run in runs(plane)) for plane in planes]
    return struct.pack("<16I", 2, 64, 64 + len(segments[0]), *[0] * 13) + b"".join(segments)


def runs(plane: bytes) -> list[bytes]:
    return [plane[start : start + 128] for start in range(0, len(plane), 128)]


def test_flipped_bits_never_give_a_slice_of_another_size(slice_file: Write, jpeg2000: bytes) -> None:
    rng = np.random.default_rng(0)
    sources = [(STREAM, "4.80"), (jpeg2000, "4.90"), (run_lengths(VALUES_HW), "5")]
    num_refused = 0
    for number in range(90):
        stream, syntax = sources[number % 3]
        flipped = bytearray(stream)
        # Half of them in the headers, where they do most.
        position = rng.integers(0, 120 if number % 2 else len(flipped))
        flipped[position] ^= 1 << int(rng.integers(0, 8))
        try:
            (decoded_HW,) = decode_stored([slice_file([bytes(flipped)], VALUES_HW, syntax)])
        except SeriesError:
            num_refused += 1
        else:
            assert (decoded_HW.shape, decoded_HW.dtype) == (VALUES_HW.shape, VALUES_HW.dtype)
    assert 20 <= num_refused < 90


@pytest.mark.parametrize(
    "fragments",
    [[], [b""], [b"\xff\xd8"], [b"\0" * 64], [b"\xff" * 64], [STREAM[2:]]],
    ids=["none", "empty", "two bytes", "zeros", "ones", "no start"],
)
@pytest.mark.parametrize("syntax", ["4.50", "4.57", "4.80", "4.91", "4.201", "5", "1.98"])
def test_fragments_that_are_no_stream_are_refused(slice_file: Write, fragments: list[bytes], syntax: str) -> None:
    assert code_of(slice_file(fragments, VALUES_HW, syntax)) == "UNDECODABLE"


def test_a_file_cut_off_inside_its_pixels_is_refused(slice_file: Write, header_like: Callable[..., Header]) -> None:
    path = slice_file([STREAM], VALUES_HW, "4.80").path
    path.write_bytes(path.read_bytes()[:-20])
    assert code_of(header_like(path, VALUES_HW, "4.80")) == "UNDECODABLE"


def test_a_missing_delimiter_is_forgiven_where_the_stream_is_whole(slice_file: Write) -> None:
    (decoded_HW,) = decode_stored([slice_file([STREAM], VALUES_HW, "4.80", end=b"", bits_stored=12)])
    np.testing.assert_array_equal(decoded_HW, VALUES_HW)


@pytest.mark.parametrize(
    ("table", "num_frames"),
    [((0, 7), 2), ((0, 0), 2), ((0,), 2), ((0, 10**6), 2), ((0, 1), 2)],
    ids=["between", "twice", "too few", "beyond", "one off"],
)
def test_an_offset_table_that_lies_is_refused(slice_file: Write, table: tuple[int, ...], num_frames: int) -> None:
    packed = struct.pack(f"<{len(table)}I", *table)
    assert code_of(slice_file([STREAM] * 2, VALUES_HW, "4.80", table=packed, num_frames=num_frames)) == "UNDECODABLE"


def test_more_frames_than_fragments_are_refused(slice_file: Write) -> None:
    assert code_of(slice_file([STREAM] * 3, VALUES_HW, "4.80", num_frames=4)) == "UNDECODABLE"


def test_a_stream_in_colour_is_refused(slice_file: Write) -> None:
    colours = np.zeros((40, 30, 3), np.uint8)
    stream = bytes(jpeg_ls.encode_buffer(colours.tobytes(), 40, 30, 3, 8, 0, 2))
    assert code_of(slice_file([stream], VALUES_HW.astype(np.uint8), "4.80")) == "UNDECODABLE"


def test_a_transfer_syntax_without_a_codec_is_refused_by_name(slice_file: Write) -> None:
    with pytest.raises(SeriesError, match=r"UNDECODABLE: slice 1 of 1 \(MPEG2"):
        list(decode_stored([slice_file([STREAM], VALUES_HW, "4.100")]))


def test_the_slice_that_fails_is_named_and_those_before_it_are_given(slice_file: Write) -> None:
    good = slice_file([STREAM], VALUES_HW, "4.80", bits_stored=12)
    bad = slice_file([STREAM[:50]], VALUES_HW, "4.80")
    slices = decode_stored([good, good, bad, good])
    next(slices), next(slices)
    with pytest.raises(SeriesError, match="slice 3 of 4"):
        next(slices)


def test_a_file_that_is_another_by_now_is_not_read(slice_file: Write) -> None:
    header = slice_file([STREAM], VALUES_HW, "4.80")
    header.path.write_bytes(header.path.read_bytes() + b"\0\0")
    assert code_of(header) == "FILES_CHANGED"
    header.path.unlink()
    assert code_of(header) == "FILES_CHANGED"
