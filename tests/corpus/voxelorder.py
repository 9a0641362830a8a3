"""MetaImage and NIfTI: voxels in an order that the header tells, in rare ways or wrongly."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from corpus.kinds import kind, read, refused
from corpus.metaimages import fields, voxels, write_metaimage
from corpus.niftis import Nifti, affine_ras, write_nifti
from corpus.scan import scan


def _voxels() -> np.ndarray:
    return voxels(scan(signed=True, intercept=0.0))


# --- MetaImage ------------------------------------------------------------------------------------


@kind(read())
def metaimage_with_its_voxels_at_the_end(folder: Path) -> None:
    """HeaderSize -1: whatever comes before the voxels is to be passed over."""
    write_metaimage(folder, b"a header of its own" + _voxels().tobytes(), HeaderSize=-1)


@kind(read())
def metaimage_with_data_in_this_folder(folder: Path) -> None:
    """The data file is ./scan.raw."""
    write_metaimage(folder)
    path = folder / "scan.mhd"
    path.write_bytes(path.read_bytes().replace(b"= scan.raw", b"= ./scan.raw"))


@kind(read())
def metaimage_with_exponents(folder: Path) -> None:
    """Numbers as 7.5e-01."""
    numbers = [float(number) for number in fields()["Offset"].split()]
    offset = " ".join(f"{number:.6e}" for number in numbers)
    write_metaimage(folder, ElementSpacing="1.0E+00 7.5e-01 2.5", Offset=offset)


@kind(refused("WRONG_MATRIX"))
def metaimage_written_the_other_way_round(folder: Path) -> None:
    """A program's array of x, y, z was written as it lay in memory, under the sizes x, y and z."""
    write_metaimage(folder, np.ascontiguousarray(_voxels().transpose(2, 1, 0)).tobytes())


@kind(refused("WRONG_MATRIX"))
def metaimage_with_two_sizes_exchanged(folder: Path) -> None:
    """DimSize has the rows before the columns."""
    write_metaimage(folder, DimSize="32 24 16")


# --- NIfTI ----------------------------------------------------------------------------------------


@kind(refused("WRONG_MATRIX"))
def nifti_with_two_sizes_exchanged(folder: Path) -> None:
    """dim has the rows before the columns, and so has pixdim."""
    write_nifti(folder, Nifti(shape=(3, 32, 24, 16, 1, 1, 1, 1)))


@kind(read())
def nifti_stored_by_columns_of_slices(folder: Path) -> None:
    """The axes run to the head, to the left and to the back, in this order."""
    affine = affine_ras(scan())[:3, [2, 0, 1, 3]]
    header = Nifti(
        shape=(3, 16, 24, 32, 1, 1, 1, 1),
        pixdim=(1.0, 2.5, 1.0, 0.75, 0.0, 0.0, 0.0, 0.0),
        rows=tuple(affine.reshape(-1).tolist()),
    )
    write_nifti(folder, header, np.ascontiguousarray(_voxels().transpose(1, 2, 0)).tobytes())


@kind(read())
def nifti_packed_in_two_members(folder: Path) -> None:
    """Two gzip streams one after the other are one file (RFC 1952)."""
    folder.mkdir(parents=True)
    data = Nifti().encode() + _voxels().tobytes()
    (folder / "scan.nii.gz").write_bytes(gzip.compress(data[:5000], mtime=0) + gzip.compress(data[5000:], mtime=0))


@kind(read())
def nifti_of_the_second_version(folder: Path) -> None:
    """NIfTI-2: 540 bytes of header, sizes in 64 bits (nifti2.h)."""
    start = struct.pack("<i8shh", 540, b"n+2\0\r\n\x1a\n", 4, 16)
    sizes = struct.pack("<8q3d8dq2d", 3, 24, 32, 16, 1, 1, 1, 1, 0, 0, 0, 1, 1.0, 0.75, 2.5, 0, 0, 0, 0, 544, 1, 0)
    shown = struct.pack("<4d2q80x24x", 0, 0, 0, 0, 0, 0)
    place = struct.pack("<ii6d12d", 0, 1, *(0.0,) * 6, *affine_ras(scan())[:3].reshape(-1))
    header = start + sizes + shown + place + struct.pack("<iii16xB15x", 0, 2, 0, 0)
    folder.mkdir(parents=True)
    (folder / "scan.nii").write_bytes(header.ljust(544, b"\0") + _voxels().tobytes())
