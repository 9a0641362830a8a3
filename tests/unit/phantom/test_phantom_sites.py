"""What is written is real DICOM, the same to the byte each time, and never mixes with anything else."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

import numpy as np
import pydicom
import pytest

from fedlung.ct import find_series, read_series
from fedlung.ct.annotations import read_annotations_csv
from fedlung.ct.phantom import PROFILES, PhantomConfig, write_phantom
from fedlung.errors import ConfigError, StoreError

CFG = PhantomConfig(seed=3, patients_per_site=2, matrix=176, coverage_mm=60.0, nodule_free=0.0, smallest_vessel_mm=1.0)
TINY = PhantomConfig(seed=3, patients_per_site=1, matrix=64, coverage_mm=40.0, nodule_free=0.0, smallest_vessel_mm=2.0)


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("federation")
    write_phantom(folder, CFG, workers=1)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_phantom(folder, TINY, workers=1)
    return folder


@pytest.mark.parametrize("site", PROFILES)
def test_the_reader_takes_every_series_and_leaves_nothing_out(federation: Path, site: str) -> None:
    series, left_out = find_series(federation / site / "dicom")
    assert left_out == []
    assert len(series) == CFG.patients_per_site
    volume = read_series(series[0])
    profile = PROFILES[site]
    assert volume.acquisition.synthetic
    assert volume.acquisition.manufacturer == profile.manufacturer
    assert volume.spacing_mm[0] in [pytest.approx(protocol.increment_mm, abs=1e-4) for protocol in profile.protocols]
    assert volume.spacing_mm[1] == pytest.approx(profile.fov_mm / CFG.matrix, abs=1e-6)
    assert volume.voxels_DHW.min() >= -1024


@pytest.mark.parametrize("site", PROFILES)
def test_annotated_centres_are_brighter_than_the_lung(federation: Path, site: str) -> None:
    nodules = read_annotations_csv(federation / site / "annotations.csv")
    assert nodules
    for series in find_series(federation / site / "dicom")[0]:
        volume = read_series(series)
        for nodule in nodules.get(series.series_uid, ()):
            index = volume.world_to_index([nodule.center_mm])
            assert volume.geometry.contains(index).all()
            z, y, x = np.rint(index[0]).astype(int)
            near = volume.voxels_DHW[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2]
            assert near.max() > -860 + 120, (nodule, near)


def test_every_header_says_synthetic_and_names_nobody(tiny: Path) -> None:
    paths = list(tiny.rglob("*.dcm"))
    assert len(paths) > 60
    for path in paths:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        assert header.ImageComments.startswith("SYNTHETIC")
        assert str(header.PatientName).startswith("PHANTOM^")
        assert header.StudyDate == "20000101"
        assert header.file_meta.MediaStorageSOPInstanceUID == header.SOPInstanceUID
        assert header.SOPInstanceUID.is_valid


def test_uids_are_all_different(tiny: Path) -> None:
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in tiny.rglob("*.dcm")]
    assert len({header.SOPInstanceUID for header in headers}) == len(headers)
    assert len({header.SeriesInstanceUID for header in headers}) == len(PROFILES)


@pytest.mark.parametrize(
    ("site", "intercept", "signed", "position"),
    [("GE", -1024, 1, "HFS"), ("SIEMENS", -1024, 0, "FFS"), ("Philips", -1000, 0, "HFS"), ("TOSHIBA", 0, 1, "HFS")],
)
def test_each_vendor_has_its_habits(tiny: Path, site: str, intercept: int, signed: int, position: str) -> None:
    slices = [pydicom.dcmread(path) for path in sorted((tiny / site).rglob("*.dcm"))]
    first = slices[0]
    assert (first.RescaleIntercept, first.PixelRepresentation, first.PatientPosition) == (intercept, signed, position)
    assert (first.pixel_array[0, 0] == -2000) == (site == "GE")
    z = [float(header.ImagePositionPatient[2]) for header in slices]
    assert z not in (sorted(z), sorted(z, reverse=True)), "file names give the order away"
    by_number = [header.ImagePositionPatient[2] for header in sorted(slices, key=lambda header: header.InstanceNumber)]
    assert by_number == sorted(z, reverse=position == "HFS")


def test_a_site_alone_is_the_same_to_the_byte_as_with_the_others(tiny: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path, TINY, sites=["SIEMENS"], workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["SIEMENS"]
    assert digests(tmp_path / "SIEMENS") == digests(tiny / "SIEMENS")


@pytest.mark.slow
def test_the_number_of_processes_changes_no_byte(tiny: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path, TINY, workers=2)
    assert digests(tmp_path) == digests(tiny)


def test_a_complete_site_is_kept_and_an_unfinished_one_made_again(tiny: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_phantom(
        tmp_path, TINY, sites=["TOSHIBA"], workers=1, progress=lambda done, total: calls.append((done, total))
    )
    write_phantom(
        tmp_path, TINY, sites=["TOSHIBA"], workers=1, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(1, 1)], "the second call found everything there"
    site = tmp_path / "TOSHIBA"
    (site / "phantom.json").rename(site / "phantom.unfinished")
    next(site.rglob("*.dcm")).unlink()
    write_phantom(tmp_path, TINY, sites=["TOSHIBA"], workers=1)
    assert digests(site) == digests(tiny / "TOSHIBA")


def test_another_phantom_in_the_folder_is_refused_with_both_fingerprints(tmp_path: Path) -> None:
    site = tmp_path / "GE"
    site.mkdir()
    (site / "phantom.json").write_text(json.dumps({"fingerprint": "0123456789abcdef"}))
    with pytest.raises(StoreError, match=f"0123456789abcdef, and {TINY.fingerprint()}"):
        write_phantom(tmp_path, TINY, sites=["GE"], workers=1)


def test_a_folder_of_somebody_elses_data_is_never_touched(tmp_path: Path) -> None:
    precious = tmp_path / "GE" / "dicom" / "precious.dcm"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"data")
    with pytest.raises(StoreError, match="holds no phantom"):
        write_phantom(tmp_path, TINY, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["GE"], "nothing was begun for the other sites either"
    assert precious.read_bytes() == b"data"


def test_an_unknown_site_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean SIEMENS"):
        write_phantom(tmp_path, TINY, sites=["SIEMANS"], workers=1)


def test_the_profile_is_what_a_site_needs(tiny: Path) -> None:
    for name in PROFILES:
        profile = tomllib.loads((tiny / name / "site.toml").read_text())
        assert profile == {
            "name": name,
            "dicom": "dicom",
            "annotations": "annotations.csv",
            "store": "cases",
            "device": "auto",
            "synthetic": True,
        }


def test_every_knob_is_in_the_fingerprint() -> None:
    fingerprints = {
        PhantomConfig().fingerprint(),
        PhantomConfig(seed=1).fingerprint(),
        PhantomConfig(matrix=512).fingerprint(),
    }
    assert len(fingerprints) == 3
