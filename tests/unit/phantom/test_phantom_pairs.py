"""Paired scans: the same patient at every site, who has another name at each."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pydicom
import pytest

from fedlung.ct.annotations import read_annotations_csv
from fedlung.ct.phantom import PROFILES, PhantomConfig, read_pairs, write_phantom
from fedlung.ct.phantom.donors import donor_series, hand_of
from fedlung.ct.phantom.field import Grid
from fedlung.ct.phantom.patient import virtual_patient

SMALL = {"patients_per_site": 2, "matrix": 64, "coverage_mm": 40.0, "smallest_vessel_mm": 2.5, "nodule_free": 0.0}
PAIRED = PhantomConfig.for_control("null", paired=True, **SMALL)


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paired")
    write_phantom(folder, PAIRED, workers=1)
    return folder


def volumes(folder: Path) -> dict[str, np.ndarray]:
    """The stored values of every series by PatientID, ascending in z."""
    found = {}
    for series in sorted(folder.glob("*/dicom/*/CT")):
        slices = sorted(map(pydicom.dcmread, series.iterdir()), key=lambda header: header.ImagePositionPatient[2])
        found[slices[0].PatientID] = np.stack([one.pixel_array for one in slices])
    return found


def test_a_virtual_patient_is_the_same_at_every_site_voxel_for_voxel() -> None:
    cfg, grid = PhantomConfig(paired=True, **SMALL), Grid.centred((36.0, 300.0, 300.0), (3.0, 4.0, 4.0))
    hand = hand_of(donor_series(cfg, 2), 1, 2)
    patients = [virtual_patient(site, 1, cfg, hand) for site in ("GE", "TOSHIBA")]
    assert np.array_equal(*(patient.render(grid) for patient in patients))
    other = virtual_patient("GE", 0, cfg, hand)
    assert not np.array_equal(other.render(grid), patients[0].render(grid))


def test_two_scans_of_a_pair_under_one_scanner_differ_by_noise_and_phase_alone(paired: Path) -> None:
    scans = volumes(paired)
    one, other = (scans[f"PHANTOM-{site}-0000"].astype(float) for site in ("GE", "TOSHIBA"))
    stranger = scans["PHANTOM-GE-0001"].astype(float)
    assert one.shape == other.shape
    assert not np.array_equal(one, other)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99 > np.corrcoef(one.ravel(), stranger.ravel())[0, 1]


def test_no_identifier_of_one_site_occurs_at_another(paired: Path) -> None:
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(paired.rglob("*.dcm"))]
    keywords = ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    for keyword in keywords:
        assert len({str(header[keyword].value) for header in headers}) == 2 * len(PROFILES), keyword
    assert len({header.SOPInstanceUID for header in headers}) == len(headers)
    assert all(header.ImageComments.startswith("SYNTHETIC") for header in headers)


def test_a_pair_has_the_same_nodules_and_its_table_lies_elsewhere_at_each_site(paired: Path) -> None:
    tables = {site: read_annotations_csv(paired / site / "annotations.csv") for site in PROFILES}
    rows = [row for row in read_pairs(paired) if row.virtual_patient == 0]
    nodules = [tables[row.site][row.series_uid] for row in rows]
    assert len(rows) == len(PROFILES) and len(nodules[0]) > 0
    nowhere = [[dataclasses.replace(nodule, center_mm=(0, 0, 0)) for nodule in own] for own in nodules]
    assert nowhere.count(nowhere[0]) == len(PROFILES)
    assert len({own[0].center_mm for own in nodules}) == len(PROFILES)


def test_the_table_names_every_patient_once_and_joins_those_who_are_one(paired: Path) -> None:
    rows = read_pairs(paired)
    names = {header.PatientID for header in map(_first_header, sorted(paired.glob("*/dicom/*")))}
    assert {row.patient_id for row in rows} == names
    assert len(names) == len(rows) == 2 * len(PROFILES)
    assert [(row.virtual_patient, row.site) for row in rows] == [(who, site) for who in (0, 1) for site in PROFILES]


def test_the_table_is_the_same_whichever_sites_are_written(paired: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path, PAIRED, sites=["Philips"], workers=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Philips", "pairs.csv"]
    assert (tmp_path / "pairs.csv").read_bytes() == (paired / "pairs.csv").read_bytes()


def _first_header(patient: Path) -> pydicom.Dataset:
    return pydicom.dcmread(min((patient / "CT").iterdir()), stop_before_pixels=True)
