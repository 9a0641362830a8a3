"""NIfTI: voxels lie where the affine says, turned towards the patient, and an unsure header is refused."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest

from fedlung.ct import LeftOut, Series, Volume
from fedlung.ct.formats.nifti import find_nifti, image_file, is_nifti, read_nifti
from fedlung.errors import SeriesError

SHAPE_IJK = (3, 4, 5)
SPACING_MM = np.array([0.5, 1.0, 2.5])
# RAS affine of an axial scan as DICOM converters write it: to the left, to the front, to the head.
AXIAL_34 = np.array([[-0.5, 0, 0, 12.0], [0, 1.0, 0, -7.0], [0, 0, 2.5, -30.0]])
LPS = np.array([-1.0, -1.0, 1.0])
Hu = Callable[[np.ndarray], np.ndarray]
Write = Callable[..., Path]

# name: (format, offset) of the fields that the tests write, from nifti1.h and nifti2.h
FIELDS = {
    1: {
        "sizeof_hdr": ("i", 0), "dim": ("8h", 40), "intent_code": ("h", 68), "datatype": ("h", 70),
        "bitpix": ("h", 72), "pixdim": ("8f", 76), "vox_offset": ("f", 108), "scl_slope": ("f", 112),
        "scl_inter": ("f", 116), "xyzt_units": ("B", 123), "qform_code": ("h", 252), "sform_code": ("h", 254),
        "quatern": ("3f", 256), "qoffset": ("3f", 268), "srow": ("12f", 280), "magic": ("4s", 344),
    },
    2: {
        "sizeof_hdr": ("i", 0), "magic": ("8s", 4), "datatype": ("h", 12), "bitpix": ("h", 14), "dim": ("8q", 16),
        "pixdim": ("8d", 104), "vox_offset": ("q", 168), "scl_slope": ("d", 176), "scl_inter": ("d", 184),
        "qform_code": ("i", 344), "sform_code": ("i", 348), "quatern": ("3d", 352), "qoffset": ("3d", 376),
        "srow": ("12d", 400), "xyzt_units": ("i", 500), "intent_code": ("i", 504),
    },
}  # fmt: skip
MAGIC = {1: b"n+1\0", 2: b"n+2\0\r\n\x1a\n"}
SIZE = {1: 348, 2: 540}


@pytest.fixture
def write(tmp_path: Path, hu_at: Hu) -> Write:
    """``write(affine_34=..., dtype="i2", sform_code=2, ...)`` writes a file; its values follow ``hu_at`` in LPS."""

    def write_file(
        name: str = "1.2.3.nii",
        *,
        affine_34: np.ndarray = AXIAL_34,
        dtype: str = "i2",
        order: str = "<",
        version: int = 1,
        data: bytes | None = None,
        **changes: object,
    ) -> Path:
        fields = {**_fields(version, affine_34, np.dtype(dtype)), **changes}
        header = bytearray(SIZE[version] + 4)
        for key, (form, offset) in FIELDS[version].items():
            values = fields[key] if isinstance(fields[key], (tuple, list)) else (fields[key],)
            struct.pack_into(order + form, header, offset, *values)
        rescale = np.nan_to_num([fields["scl_slope"] or 1, fields["scl_inter"]])
        stored = (_values(hu_at, affine_34) - rescale[1]) / (rescale[0] or 1)
        content = bytes(header) + (stored.astype(order + dtype).tobytes() if data is None else data)
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write_file


def _fields(version: int, affine_34: np.ndarray, dtype: np.dtype) -> dict[str, object]:
    codes = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768, "i8": 1024, "u8": 1280}
    spacing_mm = np.linalg.norm(affine_34[:, :3], axis=0).tolist()
    return {
        "sizeof_hdr": SIZE[version],
        "magic": MAGIC[version],
        "dim": (3, *SHAPE_IJK, 1, 1, 1, 1),
        "pixdim": (1, *spacing_mm, 0, 0, 0, 0),
        "datatype": codes.get(dtype.str[1:], 128),
        "bitpix": 8 * dtype.itemsize,
        "vox_offset": SIZE[version] + 4,
        "scl_slope": 1,
        "scl_inter": 0,
        "xyzt_units": 2 | 8,
        "sform_code": 1,
        "srow": affine_34.ravel().tolist(),
        "qform_code": 0,
        "quatern": (0, 0, 0),
        "qoffset": (0, 0, 0),
        "intent_code": 0,
    }


def _values(hu_at: Hu, affine_34: np.ndarray) -> np.ndarray:
    """(K, J, I) HU where the standard puts the voxels: x = affine (i, j, k, 1) in RAS."""
    index_KJI3 = np.stack(np.indices(SHAPE_IJK[::-1])[::-1], axis=-1)
    return hu_at((index_KJI3 @ affine_34[:, :3].T + affine_34[:, 3]) * LPS)


def _read(path: Path) -> Volume:
    series = find_nifti(path)
    assert isinstance(series, Series), series
    return read_nifti(series)


def _code(path: Path) -> str:
    found = find_nifti(path)
    return found.code if isinstance(found, LeftOut) else "READ"


def _refusal(path: Path) -> str:
    series = find_nifti(path)
    if isinstance(series, LeftOut):
        return series.code  # a stream as short as these is inflated whole to find its header
    with pytest.raises(SeriesError) as caught:
        read_nifti(series)
    return caught.value.code


def _assert_in_place(volume: Volume, hu_at: Hu) -> None:
    index_N3 = np.indices(volume.geometry.shape_DHW).reshape(3, -1).T
    expected_DHW = hu_at(volume.index_to_world(index_N3)).reshape(volume.geometry.shape_DHW)
    np.testing.assert_allclose(volume.voxels_DHW, expected_DHW, atol=2e-3)
    assert np.linalg.det(volume.direction) == pytest.approx(1)


@pytest.mark.parametrize("name", ["1.2.3.nii", "1.2.3.nii.gz"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
def test_every_voxel_has_the_hu_of_its_place(write: Write, hu_at: Hu, name: str, order: str, version: int) -> None:
    volume = _read(write(name, order=order, version=version))
    _assert_in_place(volume, hu_at)
    assert volume.voxels_DHW.dtype == np.int16
    assert volume.spacing_mm == (2.5, 1.0, 0.5)
    assert volume.origin_mm == (-12.0, 4.0, -30.0)
    np.testing.assert_array_equal(volume.direction, np.eye(3))
    assert (volume.series_uid, volume.patient_id, volume.warnings) == ("1.2.3", "", ())


def test_a_series_names_its_file_and_the_places_of_its_slices(write: Write) -> None:
    path = write()
    series = find_nifti(path)
    assert isinstance(series, Series)
    assert (series.files, series.form) == ((path,), "nifti")
    assert series.positions_mm == (-30.0, -27.5, -25.0, -22.5, -20.0)


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_any_order_and_direction_of_the_axes_becomes_ours(write: Write, hu_at: Hu, order: tuple[int, ...]) -> None:
    for signs in product((1.0, -1.0), repeat=3):
        affine_34 = np.column_stack([np.diag(SPACING_MM * signs)[:, list(order)], [12.0, -7.0, -30.0]])
        volume = _read(write(affine_34=affine_34))
        _assert_in_place(volume, hu_at)
        np.testing.assert_array_equal(volume.direction, np.eye(3))
        assert volume.spacing_mm == (2.5, 1.0, 0.5)


def test_an_oblique_grid_keeps_its_direction(write: Write, hu_at: Hu) -> None:
    cosine, sine = np.cos(0.3), np.sin(0.3)
    turn_33 = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    affine_34 = np.column_stack([turn_33 @ AXIAL_34[:, :3], AXIAL_34[:, 3]])
    volume = _read(write(affine_34=affine_34, dtype="f4"))
    _assert_in_place(volume, hu_at)
    np.testing.assert_allclose(np.diag(volume.direction), [1, cosine, cosine], atol=1e-6)


@pytest.mark.parametrize("mirror", [1, -1])
def test_the_qform_alone_places_the_voxels(write: Write, hu_at: Hu, mirror: int) -> None:
    # The quaternion (0, 0, 0, 1) turns by 180 degrees about the patient's long axis: the same steps as AXIAL_34, but
    # for j; pixdim[0] = -1 turns k round.
    affine_34 = np.array([[-0.5, 0, 0, 12.0], [0, -1.0, 0, -7.0], [0, 0, 2.5 * mirror, -30.0]])
    path = write(
        affine_34=affine_34,
        sform_code=0,
        qform_code=1,
        quatern=(0, 0, 1),
        qoffset=(12, -7, -30),
        pixdim=(mirror, *SPACING_MM, 0, 0, 0, 0),
    )
    _assert_in_place(_read(path), hu_at)


@pytest.mark.parametrize(("unit", "per_mm"), [(1, 0.001), (3, 1000.0)])
def test_metres_and_micrometres_become_millimetres(write: Write, hu_at: Hu, unit: int, per_mm: float) -> None:
    path = write(
        xyzt_units=unit, pixdim=(1, *(SPACING_MM * per_mm), 0, 0, 0, 0), srow=(AXIAL_34 * per_mm).ravel().tolist()
    )
    _assert_in_place(_read(path), hu_at)


def test_an_unnamed_unit_is_told(write: Write, hu_at: Hu) -> None:
    volume = _read(write(xyzt_units=0))
    _assert_in_place(volume, hu_at)
    assert "unit" in volume.warnings[0]


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept", "expected"),
    [
        ("u2", 1, -1024, np.int16),
        ("i4", 1, 0, np.int16),
        ("i8", 1, 0, np.int16),
        ("u8", 1, -1024, np.int16),
        ("i2", 0.5, 0, np.float32),
        ("f4", 1, 0, np.float32),
        ("f8", 2, -1024, np.float32),
        ("i2", 0, 0, np.int16),
        ("i2", -1, 0, np.int16),
    ],
)
def test_every_number_type_and_rescale_gives_the_same_hu(
    write: Write, hu_at: Hu, dtype: str, slope: float, intercept: float, expected: type
) -> None:
    volume = _read(write(dtype=dtype, scl_slope=slope, scl_inter=intercept))
    _assert_in_place(volume, hu_at)
    assert volume.voxels_DHW.dtype == expected


def test_a_fourth_axis_of_one_volume_is_no_obstacle(write: Write, hu_at: Hu) -> None:
    _assert_in_place(_read(write(dim=(4, *SHAPE_IJK, 1, 0, 0, 0))), hu_at)


def test_extensions_before_the_voxels_are_skipped(write: Write, hu_at: Hu) -> None:
    for name in ("1.2.3.nii", "1.2.3.nii.gz"):
        data = bytes(32) + _values(hu_at, AXIAL_34).astype("<i2").tobytes()
        _assert_in_place(_read(write(name, data=data, vox_offset=384)), hu_at)


def test_a_gzip_file_of_several_members_is_one_stream(write: Write, hu_at: Hu) -> None:
    path = write()
    whole = path.read_bytes()
    packed = path.with_name("1.2.3.nii.gz")
    packed.write_bytes(b"".join(gzip.compress(whole[start : start + 100]) for start in range(0, len(whole), 100)))
    _assert_in_place(_read(packed), hu_at)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("NO_POSITION", {"sform_code": 0}),
        ("NO_POSITION", {"srow": [*AXIAL_34.ravel()[:-1], np.nan]}),
        ("NOT_PATIENT_SPACE", {"sform_code": 4}),
        ("NOT_PATIENT_SPACE", {"qform_code": 3}),
        ("AFFINES_DISAGREE", {"qform_code": 1, "quatern": (0, 0, 1), "qoffset": (12, -7, -30)}),
        ("BAD_ORIENTATION", {"qform_code": 1, "quatern": (1, 1, 1)}),
        ("BAD_ORIENTATION", {"qform_code": 1, "quatern": (np.nan, 0, 0)}),
        ("BAD_PIXEL_SPACING", {"srow": [0.0] * 12}),
        ("BAD_PIXEL_SPACING", {"srow": [np.nan] * 3 + AXIAL_34.ravel().tolist()[3:]}),
        ("BAD_PIXEL_SPACING", {"srow": [3e38] * 3 + AXIAL_34.ravel().tolist()[3:]}),
        ("BAD_PIXEL_SPACING", {"pixdim": (1, 1, 1, 1, 0, 0, 0, 0)}),
        ("BAD_PIXEL_SPACING", {"pixdim": (1, -0.5, 1, 2.5, 0, 0, 0, 0)}),
        ("BAD_PIXEL_SPACING", {"pixdim": (1, np.nan, 1, 2.5, 0, 0, 0, 0)}),
        ("BAD_PIXEL_SPACING", {"xyzt_units": 1}),
        ("BAD_PIXEL_SPACING", {"xyzt_units": 5}),
        ("SEVERAL_VOLUMES", {"dim": (4, *SHAPE_IJK, 2, 1, 1, 1)}),
        ("NOT_A_VOLUME", {"dim": (2, 12, 5, 1, 1, 1, 1, 1)}),
        ("TOO_FEW_SLICES", {"dim": (3, 6, 5, 2, 1, 1, 1, 1)}),
        ("DAMAGED_HEADER", {"dim": (3, 3, 4, -5, 1, 1, 1, 1)}),
        ("DAMAGED_HEADER", {"dim": (0, 3, 4, 5, 1, 1, 1, 1)}),
        ("DAMAGED_HEADER", {"dim": (1000, 3, 4, 5, 1, 1, 1, 1)}),
        ("DAMAGED_HEADER", {"sizeof_hdr": 349}),
        ("DAMAGED_HEADER", {"magic": b"\0\0\0\0"}),
        ("DAMAGED_HEADER", {"bitpix": 8}),
        ("DAMAGED_HEADER", {"vox_offset": 0}),
        ("DAMAGED_HEADER", {"vox_offset": 352.5}),
        ("DAMAGED_HEADER", {"vox_offset": np.nan}),
        ("DAMAGED_HEADER", {"vox_offset": 1e30}),
        ("NIFTI_PAIR", {"magic": b"ni1\0"}),
        ("UNSUPPORTED_VOXEL_TYPE", {"datatype": 128, "bitpix": 24}),
        ("UNSUPPORTED_VOXEL_TYPE", {"datatype": 32, "bitpix": 64}),
        ("NO_RESCALE", {"scl_slope": np.nan}),
        ("NO_RESCALE", {"scl_slope": np.inf}),
        ("NO_RESCALE", {"scl_slope": 0, "scl_inter": -1024}),
        ("NO_RESCALE", {"scl_inter": np.nan}),
        ("NOT_CT", {"intent_code": 1002}),
        ("PIXELDATA_SHORT", {"dim": (3, 3, 4, 6, 1, 1, 1, 1)}),
        ("PIXELDATA_LONG", {"dim": (3, 3, 4, 4, 1, 1, 1, 1)}),
        ("IMPLAUSIBLE_SIZE", {"dim": (3, 30000, 30000, 30000, 1, 1, 1, 1)}),
    ],
    ids=str,
)
def test_a_header_that_leaves_doubt_is_refused_by_name(write: Write, code: str, changes: dict[str, object]) -> None:
    assert _code(write(**changes)) == code


def test_a_sheared_affine_is_refused(write: Write) -> None:
    sheared_34 = AXIAL_34.copy()
    sheared_34[1, 2] = 0.5
    assert _code(write(affine_34=sheared_34, dtype="f4")) == "BAD_ORIENTATION"


def test_a_nearly_equal_qform_beside_the_sform_is_read(write: Write, hu_at: Hu) -> None:
    affine_34 = np.array([[-0.5, 0, 0, 12.0], [0, -1.0, 0, -7.0], [0, 0, 2.5, -30.0]])
    path = write(affine_34=affine_34, qform_code=1, quatern=(1e-5, 0, 1), qoffset=(12.001, -7, -30))
    _assert_in_place(_read(path), hu_at)


def test_a_pair_of_files_is_refused_by_name_and_claims_its_image(write: Write, tmp_path: Path) -> None:
    path = write("scan.hdr", magic=b"ni1\0")
    (tmp_path / "scan.img").write_bytes(bytes(120))
    found = find_nifti(path)
    assert isinstance(found, LeftOut)
    assert (found.what, found.code, found.num_files) == ("scan", "NIFTI_PAIR", 2)
    assert image_file(path) == tmp_path / "scan.img"


def test_names_and_for_hdr_first_bytes_decide_what_is_nifti(write: Write, tmp_path: Path) -> None:
    (tmp_path / "envi.hdr").write_text("ENVI\n")
    assert is_nifti(write("scan.hdr"))
    assert not is_nifti(tmp_path / "envi.hdr")
    names = ["a.nii", "a.NII.GZ", "a.gz", "nii", "a.img", "missing.hdr"]
    assert [is_nifti(Path(name)) for name in names] == [True, True, False, False, False, False]


def test_a_stream_that_inflates_to_more_than_declared_is_a_bomb(write: Write) -> None:
    assert _refusal(write("a.nii.gz", data=bytes(10_000_000))) == "DECOMPRESSION_BOMB"


def test_a_truncated_or_damaged_stream_is_refused(write: Write) -> None:
    path = write("a.nii.gz")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert _refusal(path) == "UNDECODABLE"
    path.write_bytes(whole[:-8] + bytes(8))
    assert _refusal(path) == "UNDECODABLE"
    path.write_bytes(whole[:-30])
    assert _refusal(path) == "PIXELDATA_SHORT"
    path.write_bytes(whole + b"rest")
    assert _refusal(path) == "UNDECODABLE"
    path.write_bytes(whole[:40])
    assert _code(path) == "DAMAGED_HEADER"


def test_a_mask_is_no_scan(write: Write) -> None:
    labels = np.arange(60, dtype="u1") % 3
    assert _refusal(write(dtype="u1", data=labels.tobytes())) == "NOT_HOUNSFIELD"


def test_a_wrong_rescale_is_implausible(write: Write) -> None:
    data = np.full(60, -1000, "<i2").tobytes()
    assert _refusal(write(data=data, scl_slope=100)) == "IMPLAUSIBLE_HU"
