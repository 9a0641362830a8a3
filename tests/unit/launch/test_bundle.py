"""Where the Flower app is found, and what of it travels."""

from __future__ import annotations

import hashlib
import tomllib
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from flwr.cli.build import build_fab_from_disk

from fedlung.errors import ConfigError
from fedlung.launch import bundle
from fedlung.launch.bundle import find_app, stage_app, toml_text

ROOT = Path(__file__).resolve().parents[3]

# Flower's build asks pathspec for a name that it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")


def make_app(folder: Path) -> Path:
    for name in ("fedlung", "sites", "server"):
        (folder / name).mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[tool.flwr.app]\npublisher = 'x'\n")
    return folder


def test_the_app_is_found_upward_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(tmp_path / "checkout")
    (app / "docs" / "deep").mkdir(parents=True)
    monkeypatch.chdir(app / "docs" / "deep")
    assert find_app() == app


def test_elsewhere_it_is_the_checkout_that_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_app() == ROOT


def test_with_none_anywhere_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bundle, "SOURCE_TREE", tmp_path)
    with pytest.raises(ConfigError, match="name one with --app"):
        find_app()


@pytest.mark.parametrize("text", [None, "[project]\nname = 'x'\n", "not toml ["])
def test_a_folder_that_is_no_app_is_refused(tmp_path: Path, text: str | None) -> None:
    app = make_app(tmp_path / "checkout")
    (app / "pyproject.toml").unlink()
    if text is not None:
        (app / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigError, match="is not a Flower app"):
        find_app(app)


def test_the_bundle_is_of_the_checkout_and_of_nothing_else(tmp_path: Path) -> None:
    staged = stage_app(ROOT, tmp_path / "a_folder_with_underscores")
    with zipfile.ZipFile(BytesIO(build_fab_from_disk(staged))) as fab:
        names = set(fab.namelist()) - {".info/CONTENT", "pyproject.toml"}
        assert {name.split("/")[0] for name in names} == {"fedlung", "sites", "server", "LICENSE"}
        for name in names:
            assert fab.read(name) == (ROOT / name).read_bytes(), name
        python = {p.relative_to(ROOT).as_posix() for top in bundle.TRAVELLING for p in (ROOT / top).rglob("*.py")}
        assert python <= names


def test_the_same_checkout_gives_the_same_bundle(tmp_path: Path) -> None:
    fabs = [build_fab_from_disk(stage_app(ROOT, tmp_path / name)) for name in ("one", "two")]
    assert hashlib.sha256(fabs[0]).digest() == hashlib.sha256(fabs[1]).digest()


def test_settings_survive_toml() -> None:
    flat = {
        "loss.gamma": 2.0,
        "optimizer.learning-rate": 1e-05,
        "seed": 3,
        "augment.flip": False,
        "folder": 'C:\\data "x"\nline\t\x7f é 😀',
        "name": "",
    }
    assert tomllib.loads(toml_text(flat)) == flat
