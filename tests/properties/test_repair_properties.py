"""A linear field of HU comes out of any repair exact, wherever its slices truly were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian
from scipy.spatial.transform import Rotation

from fedlung.ct.audit import Slices, audit_series, needed_repairs
from fedlung.ct.dicom.headers import Header, PixelSpan
from fedlung.ct.geometry import Geometry
from fedlung.ct.repair import OUTSIDE_HU, repair_volume
from fedlung.ct.series import Repair

H, W = 9, 7
SPACING_MM = (0.8, 0.6)
FIELD = np.array([1.5, -2.0, 3.0])
ALL_REPAIRS: frozenset[Repair] = frozenset({"missing-slices", "uneven-steps", "tilt", "in-plane-jitter"})
HEADER = Header(
    path=Path("0.dcm"), transfer_syntax=ExplicitVRLittleEndian, pixels=PixelSpan(0, 2 * H * W, 2 * H * W),
    file_class="", series_uid="1.2", study_uid="1.3", patient_id="P", frame_uid="1.4", modality="CT", image_type=(),
    photometric="MONOCHROME2", manufacturer="", scanner_model="", kernel="", comments="", shape_HW=(H, W),
    num_samples=1, num_frames=1, bits_allocated=16, bits_stored=16, signed=False, position_mm=(0.0, 0.0, 0.0),
    orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), pixel_spacing_mm=SPACING_MM, slope=1.0, intercept=-1024.0,
    padding=None, slice_thickness_mm=2.5, kvp=120.0, tube_current_ma=100.0,
)  # fmt: skip


@st.composite
def displaced_series(draw: st.DrawFn) -> Slices:
    """Up to 30 slices in any direction, sheared, shaken in and along their plane, and up to a twelfth of them gone."""
    num_slices = draw(st.integers(12, 30))
    rotation = Rotation.from_euler("zyx", draw(st.tuples(*[st.floats(-90.0, 90.0)] * 3)), degrees=True).as_matrix()
    shear_2 = draw(st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)))
    size_mm = draw(st.floats(0.0, 2.0))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    along_mm = 2.0 * np.arange(num_slices) + draw(st.floats(0.0, 0.2)) * rng.uniform(-1, 1, num_slices)
    shift_N2 = np.outer(along_mm, shear_2) + size_mm * rng.uniform(-1, 1, (num_slices, 2))
    gone = rng.choice(np.arange(1, num_slices - 1), draw(st.integers(0, num_slices // 12)), replace=False)
    kept = np.setdiff1d(np.arange(num_slices), gone)
    position_N3 = np.column_stack([shift_N2, along_mm])[kept] @ rotation.T + 17.0
    orientation = tuple(rotation[:, :2].T.ravel().tolist())
    headers = [replace(HEADER, position_mm=tuple(place.tolist()), orientation=orientation) for place in position_N3]
    return Slices(tuple(headers[i] for i in rng.permutation(len(headers))))


def grid_of(slices: Slices) -> Geometry:
    row, column = np.reshape(slices.headers[0].orientation, (2, 3))
    direction = tuple(zip(row.tolist(), column.tolist(), slices.normal.tolist(), strict=True))
    return Geometry((len(slices.headers), H, W), (1.0, *SPACING_MM), slices.ascending[0].position_mm, direction)


def true_hu(slices: Slices) -> np.ndarray:
    """(N, H, W) the linear field at the true place of every pixel that was read."""
    row, column = np.reshape(slices.headers[0].orientation, (2, 3))
    rows, columns = np.indices((H, W))
    in_plane_HW3 = columns[..., None] * SPACING_MM[1] * row + rows[..., None] * SPACING_MM[0] * column
    places_N3 = np.array([header.position_mm for header in slices.ascending])
    return ((places_N3[:, None, None] + in_plane_HW3) @ FIELD).astype(np.float32)


@settings(max_examples=60)
@given(displaced_series())
def test_a_linear_field_is_exact_under_any_tilt_jitter_and_gaps(slices: Slices) -> None:
    assert audit_series(slices.headers, repair=ALL_REPAIRS) is None
    out_DHW, geometry = repair_volume(true_hu(slices), slices, grid_of(slices))
    assert out_DHW.shape == geometry.shape_DHW
    index_N3 = np.argwhere(out_DHW != OUTSIDE_HU)
    # Slices nearer than a thousandth of a step to the grid are taken as they are.
    np.testing.assert_allclose(out_DHW[tuple(index_N3.T)], geometry.index_to_world(index_N3) @ FIELD, atol=0.03)
    assert len(index_N3) > 0.3 * H * W * geometry.shape_DHW[0]


@settings(max_examples=60)
@given(displaced_series())
def test_a_series_that_needs_no_repair_passes_without_one_and_the_others_do_not(slices: Slices) -> None:
    assert (audit_series(slices.headers) is None) == (needed_repairs(slices.headers) == ())
