"""MetaImage: voxels lie where the file says, and no header makes us read what it does not own."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedlung.ct import LeftOut, Series, Volume
from fedlung.ct.formats.metaimage import data_file, find_metaimage, is_metaimage, read_metaimage
from fedlung.errors import SeriesError

SHAPE_ZYX = (5, 4, 3)
SPACING_XYZ_MM = (0.5, 1.0, 2.5)
OFFSET_MM = (-12.0, 7.0, -30.0)
IDENTITY = "1 0 0 0 1 0 0 0 1"
TURNED = "0 1 0 -1 0 0 0 0 1"
Hu = Callable[[np.ndarray], np.ndarray]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, hu_at: Hu) -> Write:
    """``write(ElementType="MET_INT", ...)`` writes a header and its data; a field that is None is left out."""

    def write_files(name: str = "1.2.3.mhd", data: bytes | None = None, pack: bool = False, **changes: object) -> Path:
        matrix = str(changes.get("TransformMatrix") or IDENTITY)
        content = _values(hu_at, matrix).astype("<i2").tobytes() if data is None else data
        content = zlib.compress(content) if pack else content
        path = tmp_path / name
        local = path.suffix == ".mha"
        data_name = "LOCAL" if local else f"{path.stem}.{'zraw' if pack else 'raw'}"
        fields = {**_fields(pack, matrix), **changes}
        fields["ElementDataFile"] = fields.pop("ElementDataFile", data_name)  # ORDER: MetaIO reads no further
        text = "".join(f"{key} = {value}\n" for key, value in fields.items() if value is not None)
        path.write_bytes(text.encode() + (content if local else b""))
        if not local:
            (tmp_path / data_name).write_bytes(content)
        return path

    return write_files


def _fields(pack: bool, matrix: str) -> dict[str, object]:
    return {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": str(pack),
        "TransformMatrix": matrix,
        "Offset": " ".join(map(str, OFFSET_MM)),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": " ".join(map(str, SPACING_XYZ_MM)),
        "DimSize": " ".join(map(str, reversed(SHAPE_ZYX))),
        "ElementType": "MET_SHORT",
    }


def _values(hu_at: Hu, matrix: str) -> np.ndarray:
    """(D, H, W) HU where MetaIO puts the voxels: offset + sum of index x spacing x the axis' own triple."""
    axes_33 = np.array(matrix.split(), dtype=float).reshape(3, 3) * np.array(SPACING_XYZ_MM)[:, None]
    index_DHW3 = np.stack(np.indices(SHAPE_ZYX)[::-1], axis=-1)
    return hu_at(index_DHW3 @ axes_33 + np.array(OFFSET_MM))


def _read(path: Path) -> Volume:
    series = find_metaimage(path)
    assert isinstance(series, Series), series
    return read_metaimage(series)


def _code(path: Path) -> str:
    found = find_metaimage(path)
    return found.code if isinstance(found, LeftOut) else "READ"


def _assert_in_place(volume: Volume, hu_at: Hu) -> None:
    index_N3 = np.indices(volume.geometry.shape_DHW).reshape(3, -1).T
    expected_DHW = hu_at(volume.index_to_world(index_N3)).reshape(volume.geometry.shape_DHW)
    np.testing.assert_allclose(volume.voxels_DHW, expected_DHW, atol=1e-3)
    assert np.linalg.det(volume.direction) == pytest.approx(1)


@pytest.mark.parametrize("name", ["1.2.3.mhd", "1.2.3.mha"])
@pytest.mark.parametrize("pack", [False, True])
def test_every_voxel_has_the_hu_of_its_place(write: Write, hu_at: Hu, name: str, pack: bool) -> None:
    volume = _read(write(name, pack=pack))
    _assert_in_place(volume, hu_at)
    assert volume.voxels_DHW.dtype == np.int16
    assert volume.spacing_mm == (2.5, 1.0, 0.5)
    assert volume.origin_mm == OFFSET_MM
    assert volume.series_uid == "1.2.3"
    assert volume.patient_id == ""
    assert volume.warnings == ()


@pytest.mark.parametrize("pack", [False, True])
def test_a_series_names_its_files_and_the_places_of_its_slices(write: Write, pack: bool) -> None:
    path = write(pack=pack)
    series = find_metaimage(path)
    assert isinstance(series, Series)
    assert series.files == (path, path.with_suffix(".zraw" if pack else ".raw"))
    assert series.positions_mm == (-30.0, -27.5, -25.0, -22.5, -20.0)
    assert series.form == "metaimage"


def test_axes_turned_within_the_plane_stay_as_they_are(write: Write, hu_at: Hu) -> None:
    volume = _read(write(TransformMatrix=TURNED))
    _assert_in_place(volume, hu_at)
    np.testing.assert_array_equal(volume.direction, [[0, -1, 0], [1, 0, 0], [0, 0, 1]])


def test_a_mirrored_grid_has_its_slices_reversed_and_every_voxel_in_place(write: Write, hu_at: Hu) -> None:
    volume = _read(write(TransformMatrix="1 0 0 0 1 0 0 0 -1"))
    _assert_in_place(volume, hu_at)
    np.testing.assert_array_equal(volume.direction, np.eye(3))
    assert volume.origin_mm == (-12.0, 7.0, -40.0)


@pytest.mark.parametrize(
    ("element_type", "dtype", "expected"),
    [
        ("MET_INT", "i4", np.int16),
        ("MET_LONG_LONG", "i8", np.int16),
        ("MET_FLOAT", "f4", np.float32),
        ("MET_DOUBLE", "f8", np.float32),
    ],
)
@pytest.mark.parametrize("is_big", [False, True])
def test_every_number_type_in_both_byte_orders_is_read(
    write: Write, hu_at: Hu, element_type: str, dtype: str, expected: type, is_big: bool
) -> None:
    data = _values(hu_at, IDENTITY).astype(f"{'>' if is_big else '<'}{dtype}").tobytes()
    volume = _read(write(data=data, ElementType=element_type, BinaryDataByteOrderMSB=is_big))
    _assert_in_place(volume, hu_at)
    assert volume.voxels_DHW.dtype == expected


def test_what_lies_below_air_becomes_air(write: Write) -> None:
    data = np.full(SHAPE_ZYX, -3024, "<i2").tobytes()
    np.testing.assert_array_equal(_read(write(data=data)).voxels_DHW, np.full(SHAPE_ZYX, -1024))


def test_a_header_of_the_data_file_is_skipped(write: Write, hu_at: Hu) -> None:
    data = b"1234567" + _values(hu_at, IDENTITY).astype("<i2").tobytes()
    _assert_in_place(_read(write(data=data, HeaderSize=7)), hu_at)


def test_other_names_of_a_field_and_notes_are_read(write: Write, hu_at: Hu) -> None:
    path = write(
        Offset=None,
        Position=" ".join(map(str, OFFSET_MM)),
        Comment="of a phantom",
        **{"0008|0060": "CT", "TransformMatrix": None, "Orientation": IDENTITY},
    )
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    _assert_in_place(_read(path), hu_at)


def test_an_anatomical_orientation_that_contradicts_the_matrix_is_told(write: Write) -> None:
    assert _read(write(AnatomicalOrientation="RAI")).warnings == ()
    assert _read(write(AnatomicalOrientation="LPS")).warnings == ()
    assert "believed" in _read(write(AnatomicalOrientation="RAS")).warnings[0]


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("NO_POSITION", {"Offset": None}),
        ("NO_POSITION", {"Offset": "0 0"}),
        ("NO_POSITION", {"Offset": "nan 0 0"}),
        ("NO_POSITION", {"Offset": "1e300 0 0"}),
        ("BAD_ORIENTATION", {"TransformMatrix": None}),
        ("BAD_ORIENTATION", {"TransformMatrix": "0 0 0 0 0 0 0 0 0"}),
        ("BAD_ORIENTATION", {"TransformMatrix": "2 0 0 0 1 0 0 0 1"}),
        ("BAD_ORIENTATION", {"TransformMatrix": "1 0 0 0 1 0 0 0.25881905 0.96592583"}),
        ("BAD_ORIENTATION", {"CenterOfRotation": "0 0 10"}),
        ("BAD_PIXEL_SPACING", {"ElementSpacing": None}),
        ("BAD_PIXEL_SPACING", {"ElementSpacing": "0 1 2.5"}),
        ("BAD_PIXEL_SPACING", {"ElementSpacing": "-1 1 2.5"}),
        ("BAD_PIXEL_SPACING", {"ElementSpacing": "0,7 0,7 2,5"}),
        ("BAD_PIXEL_SPACING", {"ElementSpacing": "0.0007 0.0007 0.0025"}),
        ("BAD_PIXEL_SPACING", {"DistanceUnits": "um"}),
        ("NOT_A_VOLUME", {"NDims": 4}),
        ("NOT_AN_IMAGE", {"ObjectType": "Mesh"}),
        ("NOT_CT", {"Modality": "MET_MOD_MR"}),
        ("NOT_CT", {"0008|0060": "MR"}),
        ("NO_RESCALE", {"ElementToIntensityFunctionSlope": 2}),
        ("UNSUPPORTED_VOXEL_TYPE", {"ElementType": "MET_LONG"}),
        ("UNSUPPORTED_VOXEL_TYPE", {"ElementType": None}),
        ("UNSUPPORTED_VOXEL_TYPE", {"ElementNumberOfChannels": 3}),
        ("UNSUPPORTED_VOXEL_TYPE", {"BinaryData": "False"}),
        ("DAMAGED_HEADER", {"BinaryDataByteOrderMSB": None}),
        ("DAMAGED_HEADER", {"BinaryDataByteOrderMSB": "Maybe"}),
        ("DAMAGED_HEADER", {"DimSize": "3 4"}),
        ("DAMAGED_HEADER", {"DimSize": "3 4 -5"}),
        ("DAMAGED_HEADER", {"DimSize": "3 4 1_0"}),
        ("DAMAGED_HEADER", {"HeaderSize": -2}),
        ("DAMAGED_HEADER", {"ElementStride": 2}),
        ("DAMAGED_HEADER", {"Position": "0 0 0"}),
        ("DAMAGED_HEADER", {"ElementDataFile": None}),
        ("IMPLAUSIBLE_SIZE", {"DimSize": "4000 4000 4000"}),
        ("IMPLAUSIBLE_SIZE", {"DimSize": "3 4 99999999"}),
        ("TOO_FEW_SLICES", {"DimSize": "6 5 2"}),
        ("PIXELDATA_SHORT", {"DimSize": "3 4 6"}),
        ("PIXELDATA_LONG", {"DimSize": "3 4 4"}),
        ("PIXELDATA_SHORT", {"CompressedData": "True", "CompressedDataSize": "121"}),
        ("PIXELDATA_LONG", {"CompressedData": "True", "CompressedDataSize": "119"}),
        ("DATA_FILE_OUTSIDE", {"ElementDataFile": "../secret.raw"}),
        ("DATA_FILE_OUTSIDE", {"ElementDataFile": "/etc/hostname"}),
        ("DATA_FILE_OUTSIDE", {"ElementDataFile": "sub/secret.raw"}),
        ("DATA_FILE_OUTSIDE", {"ElementDataFile": "..\\secret.raw"}),
        ("DATA_FILE_OUTSIDE", {"ElementDataFile": ".."}),
        ("DATA_FILE_OUTSIDE", {"ElementDataFile": ""}),
        ("DATA_FILE_OUTSIDE", {"ElementDataFile": "1.2.3.mhd"}),
        ("DATA_FILE_OUTSIDE", {"ElementDataFile": "a\0b"}),
        ("DATA_FILE_MISSING", {"ElementDataFile": "other.raw"}),
        ("DATA_IN_SEVERAL_FILES", {"ElementDataFile": "LIST"}),
        ("DATA_IN_SEVERAL_FILES", {"ElementDataFile": "slice%03d.raw 1 5 1"}),
    ],
    ids=str,
)
def test_a_header_that_leaves_doubt_is_refused_by_name(write: Write, code: str, changes: dict[str, object]) -> None:
    assert _code(write(**changes)) == code


def test_a_field_that_is_there_twice_with_two_values_is_refused(write: Write) -> None:
    path = write()
    path.write_text("DimSize = 3 4 6\n" + path.read_text())
    assert _code(path) == "DAMAGED_HEADER"


def test_a_line_without_a_field_is_refused(write: Write) -> None:
    path = write()
    path.write_text("ObjectType: Image\n" + path.read_text())
    assert _code(path) == "DAMAGED_HEADER"


def test_a_data_file_that_is_a_link_out_of_the_folder_is_not_followed(write: Write, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "secret.raw").write_bytes(bytes(120))
    path = write(ElementDataFile="link.raw")
    (tmp_path / "link.raw").symlink_to(outside / "secret.raw")
    assert _code(path) == "DATA_FILE_OUTSIDE"


def test_a_link_within_the_folder_is_followed_and_a_loop_of_links_is_missing(write: Write, hu_at: Hu) -> None:
    path = write(ElementDataFile="link.raw")
    link = path.with_name("link.raw")
    link.symlink_to("1.2.3.raw")
    _assert_in_place(_read(path), hu_at)
    link.unlink()
    link.symlink_to("link.raw")
    assert _code(path) == "DATA_FILE_MISSING"


def test_a_pipe_in_the_data_files_place_does_not_hang(write: Write) -> None:
    path = write(ElementDataFile="pipe.raw")
    os.mkfifo(path.with_name("pipe.raw"))
    assert _code(path) == "DATA_FILE_MISSING"


def _refused_while_reading(path: Path) -> str:
    with pytest.raises(SeriesError) as caught:
        _read(path)
    return caught.value.code


@pytest.mark.parametrize("name", ["1.2.3.mhd", "1.2.3.mha"])
def test_a_stream_that_inflates_to_more_than_declared_is_a_bomb(write: Write, name: str) -> None:
    assert _refused_while_reading(write(name, data=bytes(10_000_000), pack=True)) == "DECOMPRESSION_BOMB"


def test_a_stream_that_inflates_to_less_than_declared_is_short(write: Write) -> None:
    assert _refused_while_reading(write(data=bytes(118), pack=True)) == "PIXELDATA_SHORT"


def test_a_header_that_declares_more_than_its_stream_can_hold_asks_for_no_memory(write: Write) -> None:
    assert _code(write(data=bytes(120), pack=True, DimSize="1024 1024 1024")) == "PIXELDATA_SHORT"


def test_a_damaged_or_truncated_stream_is_undecodable(write: Write) -> None:
    path = write(pack=True)
    data = path.with_suffix(".zraw")
    whole = data.read_bytes()
    data.write_bytes(whole[:20] + bytes([whole[20] ^ 0xFF]) + whole[21:])
    assert _refused_while_reading(path) in {"UNDECODABLE", "PIXELDATA_SHORT"}
    data.write_bytes(whole[:-4])
    assert _refused_while_reading(path) == "UNDECODABLE"
    data.write_bytes(whole[:-4] + b"abcd")
    assert _refused_while_reading(path) == "UNDECODABLE"


@pytest.mark.parametrize(
    ("code", "element_type", "values"),
    [
        ("IMPLAUSIBLE_HU", "MET_INT", np.full(SHAPE_ZYX, -40000, "<i4")),
        ("IMPLAUSIBLE_HU", "MET_ULONG_LONG", np.full(SHAPE_ZYX, 2**64 - 1, "<u8")),
        ("IMPLAUSIBLE_HU", "MET_FLOAT", np.full(SHAPE_ZYX, np.nan, "<f4")),
        ("IMPLAUSIBLE_HU", "MET_FLOAT", np.full(SHAPE_ZYX, np.inf, "<f4")),
        ("NOT_HOUNSFIELD", "MET_UCHAR", np.full(SHAPE_ZYX, 3, "u1")),
        ("NOT_HOUNSFIELD", "MET_USHORT", np.full(SHAPE_ZYX, 1024, "<u2")),
    ],
)
def test_values_that_are_no_hounsfield_units_are_refused(
    write: Write, code: str, element_type: str, values: np.ndarray
) -> None:
    assert _refused_while_reading(write(data=values.tobytes(), ElementType=element_type)) == code


def test_one_voxel_that_is_no_number_refuses_the_scan(write: Write) -> None:
    values = np.full(SHAPE_ZYX, -1000, "<f4")
    values[2, 1, 1] = np.nan
    assert _refused_while_reading(write(data=values.tobytes(), ElementType="MET_FLOAT")) == "IMPLAUSIBLE_HU"


def test_a_file_that_changes_after_it_was_found_is_judged_again(write: Write) -> None:
    path = write()
    series = find_metaimage(path)
    assert isinstance(series, Series)
    path.with_suffix(".raw").write_bytes(bytes(119))
    with pytest.raises(SeriesError, match="PIXELDATA_SHORT"):
        read_metaimage(series)
    path.unlink()
    with pytest.raises(SeriesError, match="FILES_CHANGED"):
        read_metaimage(series)


def test_the_data_file_of_a_refused_header_is_known_and_counted(write: Write) -> None:
    path = write(Offset=None)
    found = find_metaimage(path)
    assert isinstance(found, LeftOut)
    assert (found.what, found.num_files) == ("1.2.3", 2)
    assert data_file(path) == path.with_suffix(".raw")


def test_a_header_claims_no_file_of_another_folder(write: Write) -> None:
    for name in ("../secret.raw", "/etc/hostname", "..", "LOCAL", "1.2.3.mhd"):
        assert data_file(write(ElementDataFile=name)) is None


def test_names_decide_what_is_a_metaimage() -> None:
    names = ["a.mhd", "a.MHA", "a.raw", "a.zraw", "mhd", "a.mhd.txt"]
    assert [is_metaimage(Path(name)) for name in names] == [True, True, False, False, False, False]
