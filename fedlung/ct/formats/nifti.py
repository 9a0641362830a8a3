"""NIfTI-1 and NIfTI-2 in one file (.nii, .nii.gz) -> a volume; a pair of .hdr and .img is refused by name.

Writers store the axes in any order and direction, so that a file's own order says nothing: the axes are turned to lie
nearest to the patient's.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from fedlung.ct.formats.affine import nearest_to_patient
from fedlung.ct.formats.niftiaffine import UNKNOWN_UNIT, affine_of, unit_of
from fedlung.ct.formats.niftiheader import NiftiHeader, read_nifti_header, size_and_order
from fedlung.ct.formats.onefile import StoredVolume, find_stored, read_stored, refusal
from fedlung.ct.formats.packed import Packed
from fedlung.ct.series import LeftOut, Series
from fedlung.ct.volume import Volume

DTYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
# Extensions lie between header and voxels, and may hold a whole DICOM header.
MAX_VOX_OFFSET = 1 << 26
# Rescales to HU have slopes near 1 and intercepts near -1024; this bounds what the arithmetic must hold.
MAX_RESCALE = 1e6


def is_nifti(path: Path) -> bool:
    """Whether a file's name says that it is NIfTI. A ``.hdr`` may be many things: its first bytes must say so too."""
    name = path.name.lower()
    return name.endswith((".nii", ".nii.gz")) or (name.endswith(".hdr") and _begins_like_nifti(path))


def find_nifti(path: Path) -> Series | LeftOut:
    """The series of a file, by its header and, where it is not compressed, its size; or why it is none."""
    return find_stored(path, "nifti", _parse, beside=image_file(path))


def read_nifti(series: Series) -> Volume:
    """The volume in HU: slices towards the head, rows to the back, columns to the left, as nearly as the grid lies.

    Raises SeriesError with a stable code.
    """
    return read_stored(series, _parse)


def image_file(path: Path) -> Path | None:
    """The ``.img`` beside a ``.hdr``; None where there is none."""
    return path.with_suffix(".img") if path.suffix.lower() == ".hdr" else None


def _begins_like_nifti(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return bool(size_and_order(file.read(4))[0])
    except OSError:
        return False


def _parse(path: Path) -> StoredVolume:
    """What the header says. Raises SeriesError, OSError."""
    header = read_nifti_header(path)
    if header.intent_code:
        raise refusal("NOT_CT", f"intent code {header.intent_code}: labels or a result, not an image's intensities.")
    shape, dtype = _shape(header.dim), _dtype(header)
    affine = affine_of(header, shape)
    slope, intercept = _rescale(header)
    return StoredVolume(
        path=path,
        affine=affine,
        turn=nearest_to_patient(affine),
        voxels=Packed(path, dtype.itemsize * math.prod(shape), _vox_offset(header), deflated=header.deflated),
        dtype=dtype,
        slope=slope,
        intercept=intercept,
        warnings=_warnings(header),
    )


def _shape(dim: tuple[int, ...]) -> tuple[int, int, int]:
    """Voxels along k, j, i."""
    num_axes = dim[0]
    if not 1 <= num_axes <= 7 or min(dim[1 : num_axes + 1]) < 1:
        raise refusal("DAMAGED_HEADER", "the sizes of the axes are no sizes.")
    if num_axes < 3:
        raise refusal("NOT_A_VOLUME", f"{num_axes} axes, expected 3.")
    if num_volumes := math.prod(dim[4 : num_axes + 1]) - 1:
        raise refusal("SEVERAL_VOLUMES", f"{num_volumes + 1} volumes in one file, expected 1.", "Split it by phase.")
    return dim[3], dim[2], dim[1]


def _dtype(header: NiftiHeader) -> np.dtype:
    if header.datatype not in DTYPES:
        raise refusal("UNSUPPORTED_VOXEL_TYPE", f"data type {header.datatype}, expected one of whole or real numbers.")
    dtype = np.dtype(header.byte_order + DTYPES[header.datatype])
    if header.bitpix != 8 * dtype.itemsize:
        raise refusal("DAMAGED_HEADER", f"bitpix is {header.bitpix}, expected {8 * dtype.itemsize} for its data type.")
    return dtype


def _rescale(header: NiftiHeader) -> tuple[float, float]:
    """Slope and intercept; a slope of 0 means that there is no rescale."""
    slope, intercept = header.scl_slope, header.scl_inter
    if (slope, intercept) == (0, 0):
        return 1.0, 0.0
    if not (0 < abs(slope) <= MAX_RESCALE and abs(intercept) <= MAX_RESCALE):
        sentence = f"scl_slope is {slope:g} and scl_inter {intercept:g}, which is no rescale to Hounsfield units."
        raise refusal("NO_RESCALE", sentence)
    return slope, intercept


def _vox_offset(header: NiftiHeader) -> int:
    """Four bytes after the header say whether extensions follow; then there are voxels."""
    offset = header.vox_offset
    if not header.size + 4 <= offset <= MAX_VOX_OFFSET or int(offset) != offset:
        raise refusal("DAMAGED_HEADER", f"vox_offset is {offset:g}, expected {header.size + 4} or more.")
    return int(offset)


def _warnings(header: NiftiHeader) -> tuple[str, ...]:
    if unit_of(header) != UNKNOWN_UNIT:
        return ()
    return ("The header does not name its unit of length; the spacing is a CT's in millimetres, and was taken so.",)
