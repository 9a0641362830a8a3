"""What every launch shares."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from fedlung.config import RunConfig
from fedlung.errors import ConfigError, RunError
from fedlung.launch.run import (
    LONGEST_RAY_FOLDER,
    completed_config,
    resumed_config,
    run_folder,
    settings_of,
    short_folder,
    state_folder,
)
from fedlung.launch.simulate import site_names

DEFAULTS = RunConfig.from_run_config({})


def test_all_sites_take_part_unless_told_otherwise() -> None:
    names = ("A", "B", "C")
    config = completed_config(names, {"federation.held-out": "C"})
    assert config.federation.site_names == names
    assert completed_config(names, {"federation.held-out": "", "federation.sites": "A"}).federation.site_names == ("A",)


def test_without_the_default_held_out_site_one_must_be_named() -> None:
    with pytest.raises(ConfigError, match='Name one of A, B with --held-out NAME, or none with --held-out ""'):
        completed_config(("A", "B"), {})


def test_a_runs_folder_among_the_knobs_is_refused_and_not_overridden() -> None:
    with pytest.raises(ConfigError, match=r"'/x' would not be used here: .* --runs"):
        completed_config(("A", "B"), {"folder": "/x", "federation.held-out": ""})


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert run_folder(DEFAULTS, tmp_path, "mine") == tmp_path / "mine"
    (tmp_path / "mine" / "config.json").touch()
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        run_folder(DEFAULTS, tmp_path, "mine")


@pytest.mark.parametrize("name", ["../up", "a/b", "/abs", "..", "a b", "x" * 101])
def test_a_runs_name_is_one_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="a run's name"):
        run_folder(DEFAULTS, tmp_path, name)


def test_a_run_without_a_name_gets_one_with_its_task(tmp_path: Path) -> None:
    assert run_folder(DEFAULTS, tmp_path).name.startswith("nodule-20")


def test_the_server_is_told_the_runs_folder_in_absolute_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = settings_of(run_folder(DEFAULTS, Path("runs"), "x"), DEFAULTS)
    assert (settings["folder"], settings["name"]) == (str(tmp_path / "runs"), "x")
    assert RunConfig.from_run_config(settings).loss == DEFAULTS.loss


def begun(runs: Path, **knobs: str | int) -> RunConfig:
    """A run of some settings that was stopped before it said anything."""
    config = RunConfig.from_run_config({"name": "begun", **knobs})
    (runs / "begun").mkdir()
    (runs / "begun" / "config.json").write_text(config.model_dump_json(by_alias=True))
    (runs / "begun" / "rounds.jsonl").touch()
    return config


def test_a_run_that_is_gone_on_with_keeps_its_settings_which_may_be_repeated_and_not_changed(tmp_path: Path) -> None:
    config = begun(tmp_path, seed=5)
    assert resumed_config(tmp_path, "begun", {}) == resumed_config(tmp_path, "begun", {"seed": 5}) == config
    with pytest.raises(ConfigError, match="holds a run with other settings"):
        resumed_config(tmp_path, "begun", {"seed": 6})
    assert run_folder(config, tmp_path, "begun", resume=True) == tmp_path / "begun"
    with pytest.raises(ConfigError, match="holds a run with other settings"):
        run_folder(DEFAULTS, tmp_path, "begun", resume=True)


def test_a_run_that_is_not_there_or_has_finished_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no run 'nowhere'"):
        resumed_config(tmp_path, "nowhere", {})
    config = begun(tmp_path)
    (tmp_path / "begun" / "rounds.jsonl").write_text('{"event": "finished"}\n')
    with pytest.raises(RunError, match="has finished"):
        run_folder(config, tmp_path, "begun", resume=True)


def test_the_server_is_told_to_resume_a_single_run_and_a_plan_goes_on_by_itself(tmp_path: Path) -> None:
    plan = RunConfig.from_run_config({"protocol": "loso", "federation.held-out": ""})
    told = [settings_of(tmp_path / "x", config, resume=True)["resume"] for config in (DEFAULTS, plan)]
    assert told == [True, False]
    with pytest.raises(ConfigError, match="--resume NAME"):
        completed_config(("A", "B"), {"resume": True, "federation.held-out": ""})


def test_the_folder_of_rays_sockets_is_short_wherever_temporary_files_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with short_folder() as folder:
        assert folder.is_dir() and len(str(folder)) <= LONGEST_RAY_FOLDER
    assert not folder.exists()


def test_flowers_state_is_gone_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), state_folder(tmp_path) as home:
        (home / "apps").mkdir()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_sites_are_counted_in_the_order_of_their_folders(tmp_path: Path) -> None:
    for folder, name in (("b", "Zebra"), ("a", "Yak"), ("c", "Ant")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "site.toml").write_text(f'name = "{name}"')
    assert site_names(tmp_path) == ("Yak", "Zebra", "Ant")
    (tmp_path / "c" / "site.toml").write_text('name = "Yak"')
    with pytest.raises(ConfigError, match="more than one site"):
        site_names(tmp_path)


def test_a_folder_without_sites_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fedlung phantom OUT"):
        site_names(tmp_path)
