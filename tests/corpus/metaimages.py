"""MetaImage (.mhd with .raw or .zraw, .mha): sound, and with files and sizes that are not what they say."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from corpus.dicom import zeros_packed
from corpus.kinds import kind, read, refused, variants
from corpus.scan import Scan, scan

SECRET = "secret.bin"


def voxels(whole: Scan) -> np.ndarray:
    """(D, H, W) stored values of a scan as int16; a scan of signed HU is written with an intercept of zero."""
    return np.stack([one.stored_HW for one in whole.slices]).astype(np.int16)


def fields(**changes: Any) -> dict[str, Any]:
    """A header of the sound scan, in the order in which it is written; None leaves a field out."""
    first_mm = scan(3).slices[0].position_mm - np.array([0.0, 0.0, 2.5 * 6.5])
    sound = {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": False,
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": " ".join(map(str, first_mm.tolist())),
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": "RAI",
        "ElementSpacing": "1.0 0.75 2.5",
        "DimSize": "24 32 16",
        "ElementType": "MET_SHORT",
        "ElementDataFile": "scan.raw",
    }
    data_file = changes.pop("ElementDataFile", sound.pop("ElementDataFile"))
    return {**sound, **changes, "ElementDataFile": data_file}


def write_metaimage(folder: Path, data: bytes | None = None, *, name: str = "scan", **changes: Any) -> None:
    """``scan.mhd`` and its data file where that is a name within the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    header = fields(**changes)
    lines = [f"{key} = {value}\n" for key, value in header.items() if value is not None]
    (folder / f"{name}.mhd").write_text("".join(lines), encoding="utf-8")
    if data is None:
        data = voxels(_signed()).tobytes()
    if header["ElementDataFile"] in ("scan.raw", "scan.zraw", "sub/scan.raw"):
        (folder / header["ElementDataFile"]).parent.mkdir(exist_ok=True)
        (folder / header["ElementDataFile"]).write_bytes(data)


def _signed(**settings: Any) -> Scan:
    return scan(signed=True, intercept=0.0, **settings)


# --- sound ----------------------------------------------------------------------------------------


@kind(read())
def metaimage(folder: Path) -> None:
    """A sound .mhd with its .raw."""
    write_metaimage(folder)


@kind(read())
def metaimage_compressed(folder: Path) -> None:
    """A sound .mhd with a zlib-compressed .zraw, as LUNA16's."""
    data = zlib.compress(voxels(_signed()).tobytes())
    write_metaimage(folder, data, CompressedData=True, CompressedDataSize=len(data), ElementDataFile="scan.zraw")


@kind(read())
def metaimage_big_endian(folder: Path) -> None:
    """Most significant byte first."""
    write_metaimage(folder, voxels(_signed()).astype(">i2").tobytes(), BinaryDataByteOrderMSB=True)


@kind(read())
def metaimage_of_floats(folder: Path) -> None:
    """Single precision."""
    write_metaimage(folder, voxels(_signed()).astype("<f4").tobytes(), ElementType="MET_FLOAT")


@kind(read())
def metaimage_of_integers(folder: Path) -> None:
    """32-bit integers."""
    write_metaimage(folder, voxels(_signed()).astype("<i4").tobytes(), ElementType="MET_INT")


@kind(read())
def metaimage_mirrored(folder: Path) -> None:
    """Rows and columns run from left and from the back, as LUNA16's flipped series: -1 in the matrix."""
    prone = _signed(orientation=(-1.0, 0, 0, 0, -1.0, 0))
    first_mm = " ".join(map(str, prone.slices[0].position_mm.tolist()))
    write_metaimage(folder, voxels(prone).tobytes(), TransformMatrix="-1 0 0 0 -1 0 0 0 1", Offset=first_mm)


@kind(read())
def metaimage_oblique(folder: Path) -> None:
    """A rotated grid; each row of the matrix is an axis' direction."""
    cos, sin = float(np.cos(0.3)), float(np.sin(0.3))
    turned = _signed(orientation=(cos, sin, 0, -sin, cos, 0))
    matrix = f"{cos} {sin} 0 {-sin} {cos} 0 0 0 1"
    first_mm = " ".join(map(str, turned.slices[0].position_mm.tolist()))
    write_metaimage(folder, voxels(turned).tobytes(), TransformMatrix=matrix, Offset=first_mm)


@kind(read())
def metaimage_descending(folder: Path) -> None:
    """The third axis points to the feet: a left-handed grid."""
    down = _signed()
    down.slices.reverse()
    first_mm = " ".join(map(str, down.slices[0].position_mm.tolist()))
    write_metaimage(folder, voxels(down).tobytes(), TransformMatrix="1 0 0 0 1 0 0 0 -1", Offset=first_mm)


@kind(read())
def metaimage_in_one_file(folder: Path) -> None:
    """An .mha: header and data in one file."""
    folder.mkdir(parents=True)
    lines = [f"{key} = {value}\n" for key, value in fields(ElementDataFile="LOCAL").items()]
    (folder / "scan.mha").write_bytes("".join(lines).encode() + voxels(_signed()).tobytes())


@kind(read())
def metaimage_of_other_spellings(folder: Path) -> None:
    """Position, Orientation and ElementByteOrderMSB are older names of the same fields."""
    sound = fields()
    write_metaimage(
        folder,
        Offset=None,
        TransformMatrix=None,
        BinaryDataByteOrderMSB=None,
        ElementByteOrderMSB=False,
        Position=sound["Offset"],
        Orientation=sound["TransformMatrix"],
    )


@kind(refused("DATA_FILE_OUTSIDE", beside={"NOT_DICOM": 1}))
def metaimage_with_data_in_a_sub_folder(folder: Path) -> None:
    """The data file lies in a folder below: sound, but a header may name a file beside it alone."""
    write_metaimage(folder, ElementDataFile="sub/scan.raw")


@kind(read(16, 16))
def metaimage_beside_a_dicom_scan(folder: Path) -> None:
    """A DICOM scan and its export lie in one folder."""
    scan().write(folder)
    write_metaimage(folder)


@kind(read())
def metaimage_with_windows_line_ends(folder: Path) -> None:
    """Lines end as under Windows, keys have spaces around, and there is a comment of the writer's."""
    write_metaimage(folder, Comment="made elsewhere")
    path = folder / "scan.mhd"
    path.write_bytes(path.read_bytes().replace(b"\n", b"  \r\n"))


# --- data files that are not theirs ---------------------------------------------------------------

OUTSIDE = {
    "metaimage-escapes-upwards": ("The data file is ../secret.bin.", "../secret.bin"),
    "metaimage-escapes-absolutely": ("The data file is an absolute path.", "{folder}/../secret.bin"),
    "metaimage-escapes-in-the-middle": ("The data file is sub/../../secret.bin.", "sub/../../secret.bin"),
    "metaimage-reads-a-device": ("The data file is /dev/zero.", "/dev/zero"),
}
NO_DATA = ("DATA_FILE_OUTSIDE", "DATA_FILE_MISSING")


@variants(OUTSIDE, refused("DATA_FILE_OUTSIDE", beside={"NOT_DICOM": 1}))
def data_outside(folder: Path, data_file: str) -> None:
    """A header that would read any file of the machine as voxels; the secret lies beside the scan's folder."""
    inside = folder / "scan"
    (inside / "sub").mkdir(parents=True)
    (folder / SECRET).write_bytes(voxels(_signed()).tobytes())
    write_metaimage(inside, ElementDataFile=data_file.format(folder=inside))


@kind(refused("DATA_FILE_OUTSIDE", "DATA_FILE_MISSING", beside={"DUPLICATE_COPY": 1}))
def metaimage_escapes_through_a_link(folder: Path) -> None:
    """The data file is a link to a file in another folder."""
    inside = folder / "scan"
    inside.mkdir(parents=True)
    (folder / SECRET).write_bytes(voxels(_signed()).tobytes())
    (inside / "link.raw").symlink_to(Path("..", SECRET))
    write_metaimage(inside, ElementDataFile="link.raw")


DATA_FILES: dict[str, tuple[str, Any]] = {
    "metaimage-without-data": ("The data file is not there.", "gone.raw"),
    "metaimage-whose-data-is-a-folder": ("The data file is a folder.", "."),
    "metaimage-of-a-list": ("The data are a list of files.", "LIST"),
    "metaimage-of-a-pattern": ("The data are numbered files.", "slice%03d.raw 1 16 1"),
    "metaimage-of-itself": ("The data file is the header.", "scan.mhd"),
    "metaimage-with-an-empty-name": ("The data file has no name.", ""),
}


@variants(DATA_FILES, refused(*NO_DATA, "DATA_IN_SEVERAL_FILES", "PIXELDATA_SHORT", "DAMAGED_HEADER"))
def data_not_one_file(folder: Path, data_file: str) -> None:
    """The data are not one file beside the header."""
    write_metaimage(folder, ElementDataFile=data_file)


# --- headers and sizes that do not hold -----------------------------------------------------------

BAD_FIELDS: dict[str, tuple[str, dict[str, Any]]] = {
    "metaimage-without-spacing": ("No ElementSpacing.", {"ElementSpacing": None}),
    "metaimage-spacing-zero": ("ElementSpacing of zero.", {"ElementSpacing": "1.0 0.75 0"}),
    "metaimage-spacing-negative": ("A negative ElementSpacing.", {"ElementSpacing": "1.0 0.75 -2.5"}),
    "metaimage-spacing-with-commas": ("ElementSpacing with decimal commas.", {"ElementSpacing": "1,0 0,75 2,5"}),
    "metaimage-spacing-of-two": ("ElementSpacing of two numbers.", {"ElementSpacing": "1.0 0.75"}),
    "metaimage-spacing-not-a-number": ("ElementSpacing of NaN.", {"ElementSpacing": "nan nan nan"}),
    "metaimage-without-offset": ("No Offset.", {"Offset": None}),
    "metaimage-offset-not-a-number": ("An Offset of NaN.", {"Offset": "nan 0 0"}),
    "metaimage-without-matrix": ("No TransformMatrix.", {"TransformMatrix": None}),
    "metaimage-sheared": ("A sheared TransformMatrix.", {"TransformMatrix": "1 0 0 0 1 0 0 0.2 0.98"}),
    "metaimage-matrix-zero": ("A TransformMatrix of zeros.", {"TransformMatrix": "0 0 0 0 0 0 0 0 0"}),
    "metaimage-of-two-dimensions": ("NDims 2.", {"NDims": 2}),
    "metaimage-of-four-dimensions": ("NDims 4.", {"NDims": 4, "DimSize": "24 32 16 1"}),
    "metaimage-of-three-channels": ("Three channels.", {"ElementNumberOfChannels": 3}),
    "metaimage-of-an-unknown-type": ("An ElementType that nobody knows.", {"ElementType": "MET_QUAD"}),
    "metaimage-of-text": ("BinaryData False: numbers as text.", {"BinaryData": False}),
    "metaimage-of-a-giant": ("DimSize of 2^48 voxels.", {"DimSize": "65536 65536 65536"}),
    "metaimage-of-negative-size": ("A negative DimSize.", {"DimSize": "-24 -32 16"}),
    "metaimage-of-no-size": ("No DimSize.", {"DimSize": None}),
    "metaimage-with-one-slice-more": ("DimSize says one slice more than the data.", {"DimSize": "24 32 17"}),
    "metaimage-with-one-slice-less": ("DimSize says one slice less than the data.", {"DimSize": "24 32 15"}),
    "metaimage-called-compressed": ("CompressedData True over plain data.", {"CompressedData": True}),
    "metaimage-with-a-header-size": ("HeaderSize skips bytes that are voxels.", {"HeaderSize": 512}),
}
BAD_HEADER = ("DAMAGED_HEADER", "BAD_PIXEL_SPACING", "NO_POSITION", "BAD_ORIENTATION", "TILT_OR_INPLANE_SHIFT",
              "NOT_A_VOLUME", "UNSUPPORTED_VOXEL_TYPE", "PIXELDATA_SHORT", "PIXELDATA_LONG", "UNDECODABLE",
              "DECOMPRESSION_BOMB", "IMPLAUSIBLE_SIZE", "TOO_FEW_SLICES")  # fmt: skip


@variants(BAD_FIELDS, refused(*BAD_HEADER))
def bad_field(folder: Path, changes: dict[str, Any]) -> None:
    """A field that is missing or cannot be."""
    write_metaimage(folder, **changes)


@kind(refused(*BAD_HEADER))
def metaimage_torn(folder: Path) -> None:
    """The data file is a few bytes short."""
    write_metaimage(folder, voxels(_signed()).tobytes()[:-10])


@kind(refused(*BAD_HEADER))
def metaimage_compressed_and_torn(folder: Path) -> None:
    """The compressed data file ends early."""
    data = zlib.compress(voxels(_signed()).tobytes())[:-50]
    write_metaimage(folder, data, CompressedData=True, ElementDataFile="scan.zraw")


@kind(refused(*BAD_HEADER))
def metaimage_bomb(folder: Path) -> None:
    """A megabyte of compressed data that inflates to a gibibyte, where 24 kB are due."""
    write_metaimage(folder, zeros_packed(1.0, wbits=15), CompressedData=True, ElementDataFile="scan.zraw")


@kind(refused("NOT_HOUNSFIELD"))
def metaimage_of_stored_values(folder: Path) -> None:
    """Unsigned stored values that nobody has rescaled: air is 0 and water 1024."""
    write_metaimage(folder, voxels(scan()).astype("<u2").tobytes(), ElementType="MET_USHORT")


@kind(refused("IMPLAUSIBLE_HU", "NOT_HOUNSFIELD"))
def metaimage_rescaled_twice(folder: Path) -> None:
    """HU to which -1024 was added once more: water at -1024."""
    write_metaimage(folder, (voxels(_signed()) - 1024).tobytes())


@kind(refused("DAMAGED_HEADER"))
def metaimage_key_twice(folder: Path) -> None:
    """ElementSpacing stands there twice, with different values."""
    write_metaimage(folder)
    path = folder / "scan.mhd"
    path.write_bytes(b"ElementSpacing = 2 2 2\n" + path.read_bytes())


@kind(refused("IMPLAUSIBLE_HU", "NOT_HOUNSFIELD", "UNSUPPORTED_VOXEL_TYPE", "UNDECODABLE"))
def metaimage_with_a_hole(folder: Path) -> None:
    """Single precision with a NaN in it."""
    values = voxels(_signed()).astype("<f4")
    values[8, 16, 12] = np.nan
    write_metaimage(folder, values.tobytes(), ElementType="MET_FLOAT")


@kind(refused("DAMAGED_HEADER"))
def metaimage_of_noise(folder: Path) -> None:
    """A file called .mhd that holds noise."""
    folder.mkdir(parents=True)
    (folder / "scan.mhd").write_bytes(bytes(range(256)) * 8)
