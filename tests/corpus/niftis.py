"""NIfTI-1 (.nii, .nii.gz): its millimetres are RAS where DICOM's are LPS; sound files and ones that lie."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from corpus.dicom import zeros_packed
from corpus.kinds import kind, read, refused, variants
from corpus.metaimages import voxels
from corpus.scan import Scan, scan

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TYPES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512}


@dataclass(frozen=True)
class Nifti:
    """The fields of a NIfTI-1 header (nifti1.h) that say what the voxels are; ``quatern`` is b, c, d."""

    shape: tuple[int, ...] = (3, 24, 32, 16, 1, 1, 1, 1)
    datatype: int = 4
    bits: int = 16
    pixdim: tuple[float, ...] = (1.0, 1.0, 0.75, 2.5, 0.0, 0.0, 0.0, 0.0)
    vox_offset: float = 352.0
    slope: float = 1.0
    intercept: float = 0.0
    units: int = 2
    qform: int = 0
    sform: int = 1
    quatern: tuple[float, float, float] = (0.0, 0.0, 0.0)
    qoffset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rows: tuple[float, ...] = field(default_factory=lambda: tuple(affine_ras(scan())[:3].reshape(-1).tolist()))
    magic: bytes = b"n+1\0"
    size: int = 348

    def encode(self, order: str = "<") -> bytes:
        """348 bytes, and four that say that no extension follows."""
        start = struct.pack(f"{order}i35xB8h", self.size, 0, *self.shape) + struct.pack(f"{order}14x")
        kind = struct.pack(f"{order}hhh", self.datatype, self.bits, 0)
        scale = struct.pack(
            f"{order}8f3fhbB", *self.pixdim, self.vox_offset, self.slope, self.intercept, 0, 0, self.units
        )
        texts = struct.pack(f"{order}24x80x24x")
        place = struct.pack(f"{order}hh6f12f", self.qform, self.sform, *self.quatern, *self.qoffset, *self.rows)
        return start + kind + scale + texts + place + bytes(16) + self.magic + bytes(4)


def affine_ras(whole: Scan) -> np.ndarray:
    """(4, 4) from voxel (x, y, z) to RAS millimetres."""
    first, last = whole.slices[0], whole.slices[-1]
    columns = [first.points_mm[0, 1] - first.points_mm[0, 0], first.points_mm[1, 0] - first.points_mm[0, 0]]
    columns += [(last.position_mm - first.position_mm) / (len(whole.slices) - 1), first.position_mm]
    return LPS_TO_RAS @ np.vstack([np.stack(columns, axis=1), [0.0, 0.0, 0.0, 1.0]])


def _signed(**settings: Any) -> Scan:
    return scan(signed=True, intercept=0.0, **settings)


def _placed(whole: Scan) -> Nifti:
    return Nifti(rows=tuple(affine_ras(whole)[:3].reshape(-1).tolist()))


def write_nifti(
    folder: Path, header: Nifti, values: bytes | None = None, *, order: str = "<", name: str = "scan.nii"
) -> None:
    """One file, packed where its name says so."""
    folder.mkdir(parents=True, exist_ok=True)
    data = header.encode(order) + (voxels(_signed()).astype(f"{order}i2").tobytes() if values is None else values)
    (folder / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)


# --- sound ----------------------------------------------------------------------------------------


@kind(read())
def nifti(folder: Path) -> None:
    """A sound .nii that is placed by its sform."""
    write_nifti(folder, Nifti())


@kind(read())
def nifti_compressed(folder: Path) -> None:
    """A sound .nii.gz."""
    write_nifti(folder, Nifti(), name="scan.nii.gz")


@kind(read())
def nifti_big_endian(folder: Path) -> None:
    """Most significant byte first."""
    write_nifti(folder, Nifti(), order=">")


@kind(read())
def nifti_by_qform(folder: Path) -> None:
    """Placed by its quaternion alone: turned by 180 degrees about z, as RAS sees a patient on the back."""
    offset = tuple(affine_ras(scan())[:3, 3].tolist())
    write_nifti(folder, Nifti(qform=1, sform=0, quatern=(0.0, 0.0, 1.0), qoffset=offset, rows=(0.0,) * 12))


@kind(read())
def nifti_by_both(folder: Path) -> None:
    """Sform and qform say the same."""
    offset = tuple(affine_ras(scan())[:3, 3].tolist())
    write_nifti(folder, Nifti(qform=1, quatern=(0.0, 0.0, 1.0), qoffset=offset))


@kind(read())
def nifti_mirrored(folder: Path) -> None:
    """Voxels run as RAS does: right, anterior, superior."""
    prone = _signed(orientation=(-1.0, 0, 0, 0, -1.0, 0))
    write_nifti(folder, _placed(prone), voxels(prone).tobytes())


@kind(read())
def nifti_left_handed(folder: Path) -> None:
    """The third axis points to the feet; the qform would say so by a pixdim[0] of -1."""
    down = _signed()
    down.slices.reverse()
    write_nifti(folder, _placed(down), voxels(down).tobytes())


@kind(read())
def nifti_oblique(folder: Path) -> None:
    """A rotated grid."""
    cos, sin = float(np.cos(0.3)), float(np.sin(0.3))
    turned = _signed(orientation=(cos, sin, 0, -sin, cos, 0))
    write_nifti(folder, _placed(turned), voxels(turned).tobytes())


@kind(read())
def nifti_of_stored_values(folder: Path) -> None:
    """Unsigned values with scl_inter -1024."""
    header = replace(Nifti(), datatype=512, intercept=-1024.0)
    write_nifti(folder, header, voxels(scan()).astype("<u2").tobytes())


@kind(read())
def nifti_with_slope_zero(folder: Path) -> None:
    """A scl_slope of zero: no scaling (nifti1.h)."""
    write_nifti(folder, replace(Nifti(), slope=0.0))


@kind(read())
def nifti_of_floats(folder: Path) -> None:
    """Single precision."""
    write_nifti(folder, replace(Nifti(), datatype=16, bits=32), voxels(_signed()).astype("<f4").tobytes())


@kind(read())
def nifti_of_one_time(folder: Path) -> None:
    """Four dimensions, the fourth of one."""
    write_nifti(folder, replace(Nifti(), shape=(4, 24, 32, 16, 1, 1, 1, 1)))


@kind(read())
def nifti_with_an_extension(folder: Path) -> None:
    """An extension of 64 bytes lies between header and voxels."""
    extension = struct.pack("<ii", 64, 6) + bytes(56)
    header = replace(Nifti(), vox_offset=416.0)
    folder.mkdir(parents=True)
    data = header.encode()[:348] + b"\1\0\0\0" + extension + voxels(_signed()).tobytes()
    (folder / "scan.nii").write_bytes(data)


@kind(read())
def nifti_of_unknown_units(folder: Path) -> None:
    """The units are not told; every writer of CT means millimetres."""
    write_nifti(folder, replace(Nifti(), units=0))


@kind(read())
def nifti_called_packed_and_plain(folder: Path) -> None:
    """A plain file called .nii.gz: a browser unpacked it on the way and kept the name."""
    write_nifti(folder, Nifti())
    (folder / "scan.nii").rename(folder / "scan.nii.gz")


# --- unsound --------------------------------------------------------------------------------------

NAN = float("nan")
BAD_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "nifti-placed-by-nothing": ("Neither sform nor qform: origin and axes are unknown.", {"sform": 0}),
    "nifti-sform-not-a-number": ("NaN in the sform.", {"rows": (NAN,) * 12}),
    "nifti-sform-zero": ("An sform of zeros.", {"rows": (0.0,) * 12}),
    "nifti-sheared": (
        "A sheared sform.",
        {"rows": (-1.0, 0.0, 0.0, 8.0, 0.0, -0.75, 0.6, -30.0, 0.0, 0.0, 2.5, -113.0)},
    ),
    "nifti-forms-contradict": (
        "Sform and qform put the voxels in two places.",
        {"qform": 1, "quatern": (0.0, 0.0, 0.0), "qoffset": (1.0, 2.0, 3.0)},
    ),
    "nifti-pixdim-contradicts": (
        "The sform's steps are not the pixdims.",
        {"pixdim": (1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0)},
    ),
    "nifti-of-many-times": ("Four dimensions, the fourth of two.", {"shape": (4, 24, 32, 8, 2, 1, 1, 1)}),
    "nifti-of-two-dimensions": ("One slice.", {"shape": (2, 24, 32, 1, 1, 1, 1, 1)}),
    "nifti-of-colours": ("Datatype RGB.", {"datatype": 128, "bits": 24}),
    "nifti-of-complex-numbers": ("Datatype complex.", {"datatype": 32, "bits": 64}),
    "nifti-of-an-unknown-type": ("Datatype 999.", {"datatype": 999}),
    "nifti-of-a-giant": ("32767 voxels along every axis.", {"shape": (3, 32767, 32767, 32767, 1, 1, 1, 1)}),
    "nifti-of-negative-size": ("A negative dimension.", {"shape": (3, 24, -32, 16, 1, 1, 1, 1)}),
    "nifti-of-too-many-dimensions": ("dim[0] is 99.", {"shape": (99, 24, 32, 16, 1, 1, 1, 1)}),
    "nifti-with-one-slice-more": ("One slice more than the data.", {"shape": (3, 24, 32, 17, 1, 1, 1, 1)}),
    "nifti-with-one-slice-less": ("One slice less than the data.", {"shape": (3, 24, 32, 15, 1, 1, 1, 1)}),
    "nifti-whose-voxels-start-late": ("vox_offset lies beyond the file.", {"vox_offset": 1e9}),
    "nifti-whose-voxels-start-nowhere": ("vox_offset is NaN.", {"vox_offset": NAN}),
    "nifti-in-metres": ("The units are metres.", {"units": 1}),
    "nifti-in-microns": ("The units are micrometres.", {"units": 3}),
    "nifti-intercept-without-slope": ("A scl_slope of zero beside a scl_inter.", {"slope": 0.0, "intercept": 999.0}),
    "nifti-slope-not-a-number": ("scl_slope is NaN.", {"slope": NAN}),
    "nifti-rescaled-twice": ("scl_inter of -1024 over HU.", {"intercept": -1024.0}),
    "nifti-without-rescale": ("Stored values that nobody has rescaled.", {"datatype": 512}),
}
BAD = ("DAMAGED_HEADER", "NO_POSITION", "BAD_ORIENTATION", "BAD_PIXEL_SPACING", "TILT_OR_INPLANE_SHIFT", "NOT_A_VOLUME",
       "UNSUPPORTED_VOXEL_TYPE", "PIXELDATA_SHORT", "PIXELDATA_LONG", "IMPLAUSIBLE_SIZE", "IMPLAUSIBLE_HU",
       "NO_RESCALE", "AFFINES_DISAGREE", "SEVERAL_VOLUMES", "NOT_HOUNSFIELD", "UNDECODABLE", "DECOMPRESSION_BOMB",
       "IMPLAUSIBLE_GEOMETRY", "TOO_FEW_SLICES")  # fmt: skip


@variants(BAD_HEADERS, refused(*BAD))
def bad_header(folder: Path, changes: dict[str, Any]) -> None:
    """A header whose fields cannot be, or do not fit one another."""
    values = voxels(scan()).astype("<u2").tobytes() if changes == {"datatype": 512} else None
    write_nifti(folder, replace(Nifti(), **changes), values)


@kind(refused(*BAD))
def nifti_torn(folder: Path) -> None:
    """The file is a few bytes short."""
    write_nifti(folder, Nifti(), voxels(_signed()).tobytes()[:-10])


@kind(refused(*BAD))
def nifti_compressed_and_torn(folder: Path) -> None:
    """The packed file ends early."""
    write_nifti(folder, Nifti(), name="scan.nii.gz")
    path = folder / "scan.nii.gz"
    path.write_bytes(path.read_bytes()[:-400])


@kind(refused(*BAD))
def nifti_compressed_and_flipped(folder: Path) -> None:
    """One bit of the packed file has flipped: its checksum tells."""
    write_nifti(folder, Nifti(), name="scan.nii.gz")
    path = folder / "scan.nii.gz"
    data = bytearray(path.read_bytes())
    data[len(data) - 6] ^= 1
    path.write_bytes(data)


@kind(refused(*BAD))
def nifti_bomb(folder: Path) -> None:
    """A megabyte of packed data that inflates to a gibibyte, where 24 kB are due."""
    folder.mkdir(parents=True)
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(Nifti().encode()) + packer.flush(zlib.Z_FULL_FLUSH)
    (folder / "scan.nii.gz").write_bytes(head + zeros_packed(1.0, wbits=-15))


@kind(refused("DAMAGED_HEADER"))
def nifti_of_noise(folder: Path) -> None:
    """Files called .nii and .nii.gz that hold noise."""
    folder.mkdir(parents=True)
    for name in ("scan.nii", "scan.nii.gz"):
        (folder / name).write_bytes(bytes(range(256)) * 8)


@kind(refused("NIFTI_PAIR"))
def nifti_of_two_files(folder: Path) -> None:
    """An old pair of .hdr and .img."""
    folder.mkdir(parents=True)
    (folder / "scan.hdr").write_bytes(replace(Nifti(), magic=b"ni1\0", vox_offset=0.0).encode()[:348])
    (folder / "scan.img").write_bytes(voxels(_signed()).tobytes())
