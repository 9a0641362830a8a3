"""Values of a header: parsed strictly, and absent where they cannot be parsed."""

from __future__ import annotations

import math
import os
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from fedlung.ct.dicom.headers import TAGS, DamagedHeaderError, Header, read_header, read_headers
from fedlung.errors import SeriesError

Write = Callable[..., Path]


@pytest.fixture
def header_of(ct: Write) -> Callable[..., Header]:
    """``header_of(edit)``: the header of one slice whose data set was edited before it was written."""

    def read(edit: Callable[[Dataset], None] = lambda dataset: None, **settings: object) -> Header:
        folder = ct(num_slices=1, edit=lambda dataset, number: edit(dataset), **settings)
        return read_header(next(folder.iterdir()))

    return read


@pytest.fixture
def header_with(ct: Write) -> Callable[..., Header]:
    """``header_with(PatientID=b"x")``: the header of a slice in which these values are written as they are."""

    def read(**raw: bytes) -> Header:
        def without(dataset: Dataset, number: int) -> None:
            for keyword in raw:
                dataset.pop(keyword, None)

        path = next(ct(num_slices=1, syntax=ImplicitVRLittleEndian, edit=without).iterdir())
        content = path.read_bytes()
        pixels = content.index(b"\xe0\x7f\x10\0")
        path.write_bytes(content[:pixels] + b"".join(map(element, raw, raw.values())) + content[pixels:])
        return read_header(path)

    return read


def element(keyword: str, value: bytes) -> bytes:
    """In implicit VR little endian."""
    return struct.pack("<HHI", TAGS[keyword] >> 16, TAGS[keyword] & 0xFFFF, len(value)) + value


def test_the_facts_of_a_slice_are_those_that_were_written(header_of: Callable[..., Header]) -> None:
    header = header_of()
    assert (header.modality, header.patient_id, header.kernel) == ("CT", "P1", "B30f")
    assert header.image_type == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert header.position_mm == (-12.0, 7.0, -30.0)
    assert header.orientation == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    assert (header.slope, header.intercept, header.padding) == (1.0, -1024.0, None)
    assert (header.shape_HW, header.num_frames, header.high_bit) == ((6, 8), 1, 15)
    assert header.transfer_syntax == ExplicitVRLittleEndian
    assert header.pixels is not None and (header.pixels.length, header.pixels.available) == (96, 96)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"2.5", 2.5), (b" 2.5 ", 2.5), (b"2.5\0", 2.5), (b"+2.5E+0", 2.5), (b".5", 0.5), (b"-3.", -3.0),
        (b"2,5", None), (b"nan", None), (b"inf", None), (b"1e999", None), (b"1_0", None), (b"", None),
        (b"0x10", None), (b"2.5mm", None), (b"2 5", None), (b"\xd9\xa3", None), (b"2\\3", None),
    ],
)  # fmt: skip
def test_a_number_is_a_number_only_as_dicom_writes_it(
    header_with: Callable[..., Header], text: bytes, found: float | None
) -> None:
    slope = header_with(RescaleSlope=text).slope
    assert math.isnan(slope) if found is None else slope == found


def test_the_first_of_two_tube_currents_is_taken_but_never_of_two_slopes(header_with: Callable[..., Header]) -> None:
    header = header_with(XRayTubeCurrent=b"200\\300")
    assert header.tube_current_ma == 200.0


@pytest.mark.parametrize("text", [b"1\\2", b"1\\2\\3\\4", b"1\\x\\3", b"1\\\\3", b"1\\2\\nan"])
def test_a_position_is_three_numbers_or_none(header_with: Callable[..., Header], text: bytes) -> None:
    assert header_with(ImagePositionPatient=text).position_mm == ()


@pytest.mark.parametrize(
    ("text", "found"), [(b"7", 7), (b"7.0", 7), (b"7.5", None), (b"99999999999", None), (b"-1", -1), (b"x", None)]
)
def test_whole_numbers_are_whole_and_of_32_bits(
    header_with: Callable[..., Header], text: bytes, found: int | None
) -> None:
    assert header_with(InstanceNumber=text).instance_number == found


@pytest.mark.parametrize(("text", "found"), [(b"1", 1), (b"", 1), (b"inf", 0), (b"x", 0), (b"40", 40)])
def test_frames_that_are_no_number_are_not_one_frame(
    header_with: Callable[..., Header], text: bytes, found: int
) -> None:
    assert header_with(NumberOfFrames=text).num_frames == found


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian])
def test_padding_is_in_the_pixels_own_numbers(header_of: Callable[..., Header], syntax: str) -> None:
    def pad(dataset: Dataset) -> None:
        dataset.add_new("PixelPaddingValue", "US", 63536)
        dataset.add_new("PixelPaddingRangeLimit", "US", 63546)

    signed = header_of(pad, signed=True, syntax=syntax)
    assert (signed.padding, signed.padding_limit) == (-2000, -1990)
    assert header_of(pad, signed=False, syntax=syntax).padding == 63536


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [("ISO_IR 100", "latin-1"), ("ISO_IR 192", "utf-8"), ("ISO_IR 144", "iso8859-5"), ("GB18030", "gb18030")],
)
def test_texts_are_read_in_their_character_set(header_with: Callable[..., Header], charset: str, encoding: str) -> None:
    name = {"iso8859-5": "Люкceмбypг", "gb18030": "王小东"}.get(encoding, "Müller-1")
    header = header_with(SpecificCharacterSet=charset.encode(), PatientID=name.encode(encoding))
    assert header.patient_id == name


@pytest.mark.parametrize("charset", [b"NOBODYS SET\\ISO 9", b"unicode_escape", b"zlib", b"GB18\x000", b"\xff", b""])
def test_an_unknown_character_set_still_tells_patients_apart_and_warns_nobody(
    header_with: Callable[..., Header], charset: bytes
) -> None:
    names = (b"A\xff", b"B\xfe", b"\x1b$Bxx", b"\xff\\x41")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [header_with(SpecificCharacterSet=charset, PatientID=name).patient_id for name in names]
    assert len(set(found)) == len(names) and all(found)


def test_padded_texts_and_uids_are_stripped(header_with: Callable[..., Header]) -> None:
    header = header_with(SeriesInstanceUID=b"1.2.3\0\0")
    assert header.series_uid == "1.2.3"
    assert header_with(Modality=b" CT ").modality == "CT"


def test_a_file_without_group_2_takes_its_class_from_the_data_set(ct: Write) -> None:
    path = next(ct(num_slices=1, syntax=ImplicitVRLittleEndian).iterdir())
    whole, content = read_header(path), path.read_bytes()
    path.write_bytes(content[132 + 12 + int.from_bytes(content[140:144], "little") :])
    bare = read_header(path)
    assert bare.file_class == whole.file_class and bare.series_uid == whole.series_uid
    assert bare.transfer_syntax == ImplicitVRLittleEndian and bare.is_native


def test_floating_point_pixels_are_told(header_of: Callable[..., Header]) -> None:
    def floats(dataset: Dataset) -> None:
        del dataset.PixelData
        dataset.FloatPixelData = np.zeros((6, 8), np.float32).tobytes()

    header = header_of(floats)
    assert header.has_float_pixels and header.pixels is None


def test_deflated_files_have_no_span_and_compressed_ones_no_length(ct: Write) -> None:
    deflated = read_header(next(ct("deflated", num_slices=1, syntax=DeflatedExplicitVRLittleEndian).iterdir()))
    assert deflated.pixels is None and deflated.is_deflated and not deflated.is_native
    folder = ct("rle", num_slices=1, edit=lambda dataset, number: dataset.compress(RLELossless))
    compressed = read_header(next(folder.iterdir()))
    assert compressed.pixels is not None and compressed.pixels.length is None and not compressed.is_native


def test_plain_pixels_in_a_compressed_syntax_are_damage(ct: Write) -> None:
    path = next(ct(num_slices=1).iterdir())
    content = path.read_bytes()
    claims = str(JPEGLSLossless).encode().ljust(22, b"\0")
    start = content.index(b"1.2.840.10008.1.2.1\0")
    path.write_bytes(content[: start - 2] + len(claims).to_bytes(2, "little") + claims + content[start + 20 :])
    with pytest.raises(DamagedHeaderError, match="against its transfer syntax"):
        read_header(path)


def test_a_damaged_header_tells_its_series_as_far_as_it_is_known(ct: Write) -> None:
    path = next(ct(num_slices=1).iterdir())
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\x28\0\x30\0") + 10])
    with pytest.raises(DamagedHeaderError) as caught:
        read_headers(path)
    assert caught.value.code == caught.value.public == "DAMAGED_HEADER"
    assert caught.value.series_uid.endswith("20.1")


def test_another_file_is_not_dicom_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("no DICOM" * 100)
    with pytest.raises(SeriesError, match="NOT_DICOM"):
        read_headers(tmp_path / "notes")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_headers(tmp_path / "pipe")


def test_the_stamp_changes_with_the_content(ct: Write) -> None:
    path = next(ct(num_slices=1).iterdir())
    before = read_header(path).file_stamp
    assert read_header(path).file_stamp == before
    os.utime(path, ns=(0, 1))
    assert read_header(path).file_stamp != before
