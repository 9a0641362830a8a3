"""The command line: verbs, exit codes, and settings with the types of their knobs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedlung.cli import main
from fedlung.cli.app import app
from fedlung.cli.settings import parsed_settings
from fedlung.cli.tables import left_out_table
from fedlung.ct.series import LeftOut
from fedlung.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def fedlung(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command as a shell would; gives its exit code and all that it printed."""

    def run(*words: str | Path) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["fedlung", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), re.sub(r"\s+", " ", printed.out + printed.err)

    return run


def test_settings_take_the_type_of_their_knob() -> None:
    settings = ["federation.rounds=3", "loss.gamma=1", "augment.enabled=false", "federation.held-out=A,B", "seed=7"]
    assert parsed_settings(settings) == {
        "federation.rounds": 3,
        "loss.gamma": 1,
        "augment.enabled": False,
        "federation.held-out": "A,B",
        "seed": 7,
    }


def test_a_setting_goes_before_the_option_of_the_same_knob() -> None:
    assert parsed_settings(["seed=7"], seed=3, task__name="scan", federation__held_out=None) == {
        "seed": 7,
        "task.name": "scan",
    }


def test_a_setting_without_a_sign_is_told_how_it_is_written() -> None:
    with pytest.raises(ConfigError, match="expected key=value"):
        parsed_settings(["federation.rounds"])


def test_a_wrong_knob_ends_with_two_and_the_nearest_one(fedlung) -> None:
    code, text = fedlung("config", "-s", "loss.gama=1")
    assert code == 2
    assert "did you mean loss.gamma?" in text


def test_a_folder_that_is_no_federation_ends_with_two_and_what_to_do(fedlung, tmp_path: Path) -> None:
    code, text = fedlung("simulate", tmp_path)
    assert code == 2
    assert "fedlung partition" in text


def test_a_run_that_is_none_ends_with_one(fedlung, tmp_path: Path) -> None:
    code, text = fedlung("report", tmp_path)
    assert code == 1
    assert str(tmp_path)[:20] in text


def test_the_way_from_dicom_to_sites_by_patient(fedlung, tmp_path: Path) -> None:
    sizes = ["--patients", "1", "--matrix", "64", "--workers", "1"]
    assert fedlung("phantom", tmp_path / "all", *sizes, "--site", "GE", "--site", "TOSHIBA")[0] == 0
    annotations = tmp_path / "all.csv"
    tables = [(tmp_path / "all" / name / "annotations.csv").read_text().splitlines() for name in ("GE", "TOSHIBA")]
    annotations.write_text("\n".join([*tables[0], *tables[1][1:]]) + "\n")
    code, text = fedlung("partition", tmp_path / "all", tmp_path / "sites", "--annotations", annotations)
    assert code == 0, text
    assert sorted(path.parent.name for path in (tmp_path / "sites").glob("*/site.toml")) == ["GE", "TOSHIBA"]
    assert "NOT_DICOM" in text, "tables and profiles beside the CT are rows"
    assert fedlung("partition", tmp_path / "all", tmp_path / "sites", "--annotations", annotations)[0] == 1


def test_a_folder_that_is_not_there_is_said_in_words(fedlung, tmp_path: Path) -> None:
    code, text = fedlung("partition", tmp_path / "nowhere", tmp_path / "out")
    assert code == 1
    assert "the DICOM folder does not exist" in text


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "cannot be read"),
        ("", "cannot be read"),
        ("site;patient_id\na;b\n", "separated by commas"),
        ("patient_id\nb\n", "a column site beside"),
    ],
)
def test_an_own_table_that_cannot_be_used_is_refused_before_any_header_is_read(
    fedlung, tmp_path: Path, content: str | None, word: str
) -> None:
    if content is not None:
        (tmp_path / "own.csv").write_text(content)
    words = ["partition", tmp_path / "nowhere", tmp_path / "out", "--by", "table"]
    code, text = fedlung(*words, "--table", tmp_path / "own.csv")
    assert code == 1
    assert word in text
    assert "--table FILE go together" in fedlung(*words)[1]


def test_a_folder_without_a_usable_series_shows_what_was_left_out(fedlung, tmp_path: Path) -> None:
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "notes.txt").write_text("no DICOM")
    code, text = fedlung("partition", tmp_path / "ct", tmp_path / "out")
    assert code == 1
    assert "NOT_DICOM" in text and "no series to make sites of" in text
    assert not (tmp_path / "out").exists()


def test_a_wrong_knob_ends_the_demo_before_its_phantom_is_written(
    fedlung, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code, text = fedlung("demo", "-s", "foo=1")
    assert code == 2
    assert "foo: no such key" in text
    assert not list(tmp_path.iterdir())


def test_a_phantom_that_cannot_be_is_refused_in_words(fedlung, tmp_path: Path) -> None:
    code, text = fedlung("phantom", tmp_path / "out", "--matrix", "65")
    assert code == 2
    assert "1 mistake in the phantom's configuration: matrix:" in text
    code, text = fedlung("phantom", tmp_path / "out", "--site", "Nope")
    assert code == 2
    assert "no phantom site 'Nope'. The phantom's sites are" in text


def test_a_federation_without_the_default_held_out_site_is_told_the_option(fedlung, tmp_path: Path) -> None:
    for name in ("North", "South"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "site.toml").write_text(f'name = "{name}"')
    code, text = fedlung("simulate", tmp_path)
    assert code == 2
    assert 'with --held-out NAME, or none with --held-out ""' in text
    code, text = fedlung("simulate", tmp_path, "--held-out", "North", "-s", "folder=/x")
    assert code == 2
    assert "--runs" in text


def test_a_run_is_begun_or_gone_on_with_and_one_that_is_not_there_is_told(fedlung, tmp_path: Path) -> None:
    (tmp_path / "North").mkdir()
    (tmp_path / "North" / "site.toml").write_text('name = "North"')
    code, text = fedlung("simulate", tmp_path, "--runs", tmp_path, "--resume", "nowhere")
    assert code == 1
    assert "there is no run 'nowhere'" in text
    code, text = fedlung("simulate", tmp_path, "--resume", "one", "--name", "other")
    assert code == 2
    assert "give one of the two" in text


def test_a_kit_without_sites_is_told_the_option(fedlung, tmp_path: Path) -> None:
    code, text = fedlung("kit", tmp_path / "kit", "--server", "127.0.0.1:8000", "--sites", "")
    assert code == 2
    assert "name them with --sites, separated by commas" in text


def test_help_is_there_without_the_rooms_that_take_seconds_to_load() -> None:
    heavy = "import sys, fedlung.cli; print(sorted({'torch', 'pandas', 'flwr', 'SimpleITK'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", heavy], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_a_kit_is_written_for_each_site(fedlung, tmp_path: Path) -> None:
    code, text = fedlung("kit", tmp_path / "kit", "--server", "127.0.0.1:8000", "--sites", "North, South")
    assert code == 0
    assert "Hand to North" in text and "Hand to South" in text
    assert fedlung("kit", tmp_path / "kit", "--server", "127.0.0.1:8000", "--sites", "North")[0] == 1


def test_every_verb_that_the_readmes_show_is_there() -> None:
    pages = [ROOT / "README.md", ROOT / "docker" / "README.md", ROOT / "server" / "README.md"]
    verb_of = re.compile(r"\bfedlung ([a-z]+)(?: (start|build))?")
    shown = {tuple(words) for page in pages for words in verb_of.findall(page.read_text())}
    runner = CliRunner()
    for verb, part in sorted(shown):
        words = [verb, part] if part else [verb]
        assert runner.invoke(app, [*words, "--help"]).exit_code == 0, " ".join(words)


def test_what_was_left_out_is_counted_by_reason_and_by_file() -> None:
    rows = [LeftOut(uid, code, "", "Do.", files) for uid, code, files in (("1", "A", 3), ("2", "A", 4), ("3", "B", 0))]
    table = left_out_table(rows)
    assert list(zip(*(column.cells for column in table.columns), strict=True)) == [
        ("A", "2", "7", "Do."),
        ("B", "1", "0", "Do."),
    ]
    assert left_out_table([]).caption == "nothing"
