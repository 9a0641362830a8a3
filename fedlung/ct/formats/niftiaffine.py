"""The affine map of a NIfTI header: its sform or its qform, from RAS to LPS, in millimetres; none is made up.

The standard's third method, spacing without a position, is refused, and so are two methods that disagree.
"""

from __future__ import annotations

import math

import numpy as np

from fedlung.ct.formats.affine import Affine, check_affine, check_spacing
from fedlung.ct.formats.niftiheader import NiftiHeader
from fedlung.ct.formats.onefile import refusal
from fedlung.ct.geometry import Float64Array

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # unknown, metre, millimetre, micrometre
UNKNOWN_UNIT = 0
# The scanner's coordinates, or another scan's of the patient. From 3 on they are those of a template.
PATIENT_CODES = (1, 2)
# Of a voxel: as far as slices may lie beside a regular grid.
AGREEMENT_VOXELS = 0.1
SPACING_TOLERANCE = 1e-3
# The quaternion is written as float32.
QUATERNION_TOLERANCE = 1e-4


def unit_of(header: NiftiHeader) -> int:
    """The code of the unit of length."""
    return header.xyzt_units & 7


def affine_of(header: NiftiHeader, shape: tuple[int, int, int]) -> Affine:
    """Where voxels lie, the sform before the qform. Raises SeriesError where the header leaves any doubt."""
    if unit_of(header) not in MM_PER_UNIT:
        raise refusal("BAD_PIXEL_SPACING", "the unit of length is none of metre, millimetre and micrometre.")
    codes = {"sform_code": header.sform_code, "qform_code": header.qform_code}
    if not any(codes.values()):
        raise refusal("NO_POSITION", "neither sform nor qform: the file does not say where the patient is.")
    if not set(codes.values()) <= {0, *PATIENT_CODES}:
        found = ", ".join(f"{name} {code}" for name, code in codes.items())
        raise refusal("NOT_PATIENT_SPACE", f"{found}: the coordinates are a template's, not the patient's.")
    with np.errstate(all="ignore"):  # what is not finite afterwards is refused
        affines = ([_sform(header, shape)] if header.sform_code else []) + (
            [_qform(header, shape)] if header.qform_code else []
        )
    for affine in affines:
        check_affine(affine)
    _check_agreement(header, affines)
    return affines[0]


def _sform(header: NiftiHeader, shape: tuple[int, int, int]) -> Affine:
    rows_34 = np.reshape(header.srow, (3, 4))
    return _affine(header, shape, rows_34[:, :3], rows_34[:, 3])


def _qform(header: NiftiHeader, shape: tuple[int, int, int]) -> Affine:
    # A negative pixdim[0] turns the third axis round; what else it may be, 0 among it, counts as 1.
    mirror = np.array([1.0, 1.0, -1.0 if header.pixdim[0] < 0 else 1.0])
    return _affine(header, shape, _rotation(header.quatern) * header.pixdim[1:4] * mirror, np.array(header.qoffset))


def _affine(header: NiftiHeader, shape: tuple[int, int, int], steps_33: Float64Array, origin: Float64Array) -> Affine:
    """Steps along i, j, k and origin in RAS and the header's unit -> ours, whose columns run k, j, i."""
    to_lps_mm = RAS_TO_LPS * MM_PER_UNIT[unit_of(header)]
    return Affine(shape, (to_lps_mm @ steps_33)[:, ::-1], to_lps_mm @ origin)


def _rotation(quatern: tuple[float, ...]) -> Float64Array:
    """(3, 3) of the unit quaternion whose first part, never negative, follows from the other three."""
    b, c, d = quatern
    rest = 1.0 - (b * b + c * c + d * d)
    if not rest > -QUATERNION_TOLERANCE:
        raise refusal("BAD_ORIENTATION", "the qform's quaternion is longer than 1.")
    a, b, c, d = np.array([math.sqrt(max(rest, 0.0)), b, c, d]) / math.sqrt(max(1.0, 1.0 - rest))
    return np.array([
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ])  # fmt: skip


def _check_agreement(header: NiftiHeader, affines: list[Affine]) -> None:
    """Raises SeriesError where pixdim and the affine, or the two affines, are not of the same grid."""
    first, last = affines[0], affines[-1]
    pixdim_mm = np.array(header.pixdim[3:0:-1]) * MM_PER_UNIT[unit_of(header)]
    check_spacing(pixdim_mm.tolist())
    if not np.allclose(pixdim_mm, first.spacing_mm, rtol=SPACING_TOLERANCE, atol=0):
        raise refusal("BAD_PIXEL_SPACING", "pixdim and the sform have different spacings.")
    apart_mm = np.linalg.norm(first.corners_mm() - last.corners_mm(), axis=1).max()
    if apart_mm > AGREEMENT_VOXELS * first.spacing_mm.min():
        raise refusal("AFFINES_DISAGREE", f"sform and qform put a corner {apart_mm:.3g} mm apart.")
