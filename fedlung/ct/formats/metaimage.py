"""MetaImage, the format of LUNA16: a text header (.mhd) with its voxels in .raw or .zraw, or both in one file (.mha).

The header's keys are those of MetaIO, as ITK writes them: ``TransformMatrix`` holds the unit vectors of x, y and z one
after another, ``Offset`` the position of the first voxel, both in LPS. Values are HU, for the format has no rescale.
Nothing gets a default that would change geometry or values, and no header can make us read another folder's file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from fedlung.ct.formats.affine import Affine, check_spacing, right_handed
from fedlung.ct.formats.metafields import Fields, parse_fields
from fedlung.ct.formats.onefile import StoredVolume, find_stored, read_stored, refusal
from fedlung.ct.formats.packed import Packed
from fedlung.ct.series import LeftOut, Series
from fedlung.ct.volume import Volume

MAX_HEADER_BYTES = 1 << 16
DTYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
# MetaIO ends its headers with this key; in an .mha the voxels begin on the next line.
_LAST_LINE = re.compile(rb"^ElementDataFile[ \t]*=[ \t]*([^\r\n]*?)[ \t]*(?:\r?\n|\Z)", re.MULTILINE)


def is_metaimage(path: Path) -> bool:
    """Whether a file's name says that it is a MetaImage header."""
    return path.suffix.lower() in (".mhd", ".mha")


def find_metaimage(path: Path) -> Series | LeftOut:
    """The series of a header, by the header and the size of its data file; or why it is none."""
    return find_stored(path, "metaimage", _parse, beside=data_file(path))


def read_metaimage(series: Series) -> Volume:
    """The volume in HU; a mirrored one has its slices reversed, so that they ascend along the normal.

    Raises SeriesError with a stable code.
    """
    return read_stored(series, _parse)


def data_file(path: Path) -> Path | None:
    """The file beside a header that the header claims for its voxels, refused or not; None where there is none."""
    try:
        name = os.fsdecode(_split(path)[1])
    except (OSError, ValueError):
        return None
    is_beside = name == Path(name).name and "\0" not in name and name.upper() != "LOCAL"
    return path.with_name(name) if is_beside and name not in ("", "..", path.name) else None


def _parse(path: Path) -> StoredVolume:
    """What the header says. Raises SeriesError, OSError."""
    try:
        lines, data_name, data_start = _split(path)
    except ValueError as error:
        raise refusal("DAMAGED_HEADER", f"{error}.") from error
    fields = parse_fields(lines)
    affine = _affine(fields)
    dtype = _dtype(fields)
    return StoredVolume(
        path=path,
        affine=affine,
        turn=right_handed(affine),
        voxels=_packed(path, fields, data_name, data_start, dtype.itemsize * int(np.prod(affine.shape, dtype=object))),
        dtype=dtype,
        warnings=_warnings(fields, affine),
    )


def _split(path: Path) -> tuple[bytes, bytes, int]:
    """The header's lines before its last, the data file's name, and where the bytes after the header begin."""
    with path.open("rb") as file:
        start = file.read(MAX_HEADER_BYTES)
    last = _LAST_LINE.search(start)
    if last is None:
        raise ValueError("the header has no line ElementDataFile")
    return start[: last.start()], last.group(1).removeprefix(b"./"), last.end()


def _affine(fields: Fields) -> Affine:
    shape_xyz = fields.sizes("DimSize")
    spacing_xyz_mm = fields.numbers("ElementSpacing", 3, code="BAD_PIXEL_SPACING")
    check_spacing(spacing_xyz_mm)
    origin_mm = fields.numbers("Offset", 3, code="NO_POSITION")
    cosines_33 = np.reshape(fields.numbers("TransformMatrix", 9, code="BAD_ORIENTATION"), (3, 3)).T
    if not np.allclose(np.linalg.norm(cosines_33, axis=0), 1, atol=1e-3):
        raise refusal("BAD_ORIENTATION", "TransformMatrix does not hold unit vectors.")
    z, y, x = reversed(shape_xyz)
    return Affine((z, y, x), (cosines_33 * spacing_xyz_mm)[:, ::-1], np.array(origin_mm))


def _dtype(fields: Fields) -> np.dtype:
    found = fields.text("ElementType")
    if found not in DTYPES:
        raise refusal("UNSUPPORTED_VOXEL_TYPE", f"ElementType is {found!r}, expected one of {', '.join(DTYPES)}.")
    dtype, is_big = np.dtype(DTYPES[found]), fields.flag("BinaryDataByteOrderMSB")
    if is_big is None and dtype.itemsize > 1:
        raise refusal("DAMAGED_HEADER", "the header does not say in which order the bytes are.")
    return dtype.newbyteorder(">" if is_big else "<")


def _packed(path: Path, fields: Fields, data_name: bytes, data_start: int, num_bytes: int) -> Packed:
    """Where the voxels are. Raises SeriesError unless it is the header's own file or one beside it."""
    deflated, skipped = bool(fields.flag("CompressedData")), fields.whole("HeaderSize", default=0)
    is_local = data_name.upper() == b"LOCAL"
    if skipped < -1 or (skipped and deflated) or (skipped < 0 and is_local):
        raise refusal("DAMAGED_HEADER", "HeaderSize leaves open where the voxels begin.")
    source, start = (path, data_start) if is_local else (_beside(path, os.fsdecode(data_name)), 0)
    if skipped == -1:  # MetaIO: whatever is too much lies before them
        skipped = max(0, source.stat().st_size - num_bytes)
    offset = skipped if deflated else start + skipped
    packed = Packed(source, num_bytes, offset, start if deflated else 0, deflated)
    declared, found = fields.whole("CompressedDataSize", default=None), source.stat().st_size - start
    if deflated and declared not in (None, found):
        code = "PIXELDATA_SHORT" if found < (declared or 0) else "PIXELDATA_LONG"
        raise refusal(code, f"{found} compressed bytes, expected {declared}.", "Copy it again.")
    return packed


def _beside(path: Path, name: str) -> Path:
    """The data file of that name in the header's own folder, links followed."""
    if name.upper().startswith("LIST") or "%" in name:
        raise refusal("DATA_IN_SEVERAL_FILES", "the voxels are spread over several files.", "Write them into one.")
    is_plain = name not in ("", ".", "..", path.name) and not set(name) & {"/", "\\", "\0"}
    # realpath follows links and takes loops of them as they are, where Path.resolve fails.
    if not is_plain or Path(os.path.realpath(path.with_name(name))).parent != Path(os.path.realpath(path.parent)):
        sentence = "ElementDataFile is not a plain name of another file in the header's own folder."
        raise refusal("DATA_FILE_OUTSIDE", sentence, "Put the data file beside its header, and name it there.")
    if not path.with_name(name).is_file():
        sentence = "the file that ElementDataFile names is not there."
        raise refusal("DATA_FILE_MISSING", sentence, "Copy the data file to the header's folder.")
    return path.with_name(name)


def _warnings(fields: Fields, affine: Affine) -> tuple[str, ...]:
    """Some writers name the end that an axis begins at (ITK's way), some the end that it runs to, some nothing."""
    said, axes = fields.text("AnatomicalOrientation"), affine.cosines_33[:, ::-1].T
    begins = "".join(("RL", "AP", "IS")[np.abs(axis).argmax()][int(axis[np.abs(axis).argmax()] < 0)] for axis in axes)
    ends = begins.translate(str.maketrans("RLAPIS", "LRPASI"))
    if said in ("", "???", begins, ends):
        return ()
    told = said if re.fullmatch("[RLAPIS]{3}", said) else "another value"  # which may be anything, a name as well
    return (f"AnatomicalOrientation says {told}, the matrix {begins}; the matrix was believed.",)
