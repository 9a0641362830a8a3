"""The app under the real Flower: by fedlung's launcher, and by ``flwr run .`` as it stands."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedlung.errors import RunError
from fedlung.evaluation.runrecord import load_run
from fedlung.launch.bundle import toml_text
from fedlung.launch.flower import executable, free_port
from fedlung.launch.processes import Children, process_table
from fedlung.launch.run import completed_config, resumed_config, short_folder
from fedlung.launch.simulate import simulate_run, site_names

ROOT = Path(__file__).resolve().parents[2]
SITES = ("Alpha", "Beta", "Gamma")
TINY = {
    "task.name": "malignancy",
    "patches.size": 16,
    "augment.enabled": False,
    "model.width": 4,
    "model.stem": "quarter",
    "federation.held-out": "Gamma",
    "federation.rounds": 1,
    "federation.roll-call-timeout-s": 240.0,
    "evaluate.replicates": 20,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with blanks and a long path."""
    folder = tmp_path / f"a hospital's {'long ' * 12}path"
    folder.mkdir()
    monkeypatch.setenv("FEDLUNG_SITES", "/nowhere")
    return folder


@pytest.fixture
def sites(folder: Path, archive: Callable[..., Any]) -> Path:
    """Three small sites of an archive on disk."""
    archive(SITES).save(folder / "archive.npz")
    for name in SITES:
        (folder / name).mkdir()
        profile = f'name = "{name}"\narchive = "../archive.npz"\ndevice = "cpu"\nsynthetic = true\n'
        (folder / name / "site.toml").write_text(profile, encoding="utf-8")
    return folder


def processes_that_know(path: Path) -> list[str]:
    """Command lines of the living processes with this path among their words or in their environment."""
    known = []
    for pid in process_table():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if str(path).encode() in words and pid != os.getpid():
            known.append(words.split(b"\0")[0].decode())
    return known


def report_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "report.json").read_text(encoding="utf-8")))


def test_a_simulated_federation_ends_with_a_report_and_leaves_nothing_behind_nor_any_name(folder, planted) -> None:
    """The log of the sites' processes ends in the run's folder, which is what a coordinator hands on."""
    hospital, seen = planted(folder, ("GE", "SIEMENS")), []
    knobs = {**TINY, "task.name": "nodule", "task.readers": 1, "federation.held-out": "SIEMENS"}
    config = completed_config(site_names(hospital.folder), knobs)
    run = simulate_run(
        hospital.folder, config, folder / "runs", name="tiny", on_event=lambda event: seen.append(event["event"])
    )
    assert seen[0] == "run-started" and seen[-1] == "finished" and seen.count("prepared") == 2
    assert {row["name"]: row["role"] for row in report_of(run)["sites"]} == {"GE": "source", "SIEMENS": "held-out"}
    assert not list(run.glob(".flower*"))
    assert processes_that_know(folder) == []
    assert "NOT_DICOM" in (run / "flower.log").read_text(encoding="utf-8"), "the sites' log is there"
    for path in filter(Path.is_file, run.rglob("*")):
        for secret in hospital.secrets:
            assert secret.encode() not in path.read_bytes(), f"{secret} in {path.relative_to(run)}"


@pytest.mark.slow
def test_a_run_that_fails_is_an_error_with_its_reason_and_leaves_nothing_behind(sites: Path) -> None:
    strangers = completed_config(SITES, {**TINY, "federation.sites": "Nobody,Gamma"})
    with pytest.raises(RunError, match="no source site answered"):
        simulate_run(sites, strangers, sites / "runs", name="strangers")
    assert processes_that_know(sites) == []


@pytest.mark.slow
def test_a_simulation_that_was_stopped_goes_on_with_the_next_round(sites: Path) -> None:
    """The server may well do another round before it is gone."""
    config = completed_config(SITES, {**TINY, "federation.rounds": 3})

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "round":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_run(sites, config, sites / "runs", name="stopped", on_event=stop)
    seen: list[str] = []
    run = simulate_run(
        sites,
        resumed_config(sites / "runs", "stopped", {}),
        sites / "runs",
        name="stopped",
        resume=True,
        on_event=lambda event: seen.append(event["event"]),
    )
    whole = simulate_run(sites, config, sites / "runs", name="whole")
    assert seen[0] == "resumed" and seen[-1] == "finished"
    assert [event["round"] for event in load_run(run).events if event["event"] == "round"] == [1, 2, 3]
    assert {**report_of(run), "timings": None} == {**report_of(whole), "timings": None}


def test_flwr_run_as_it_stands_downloads_nothing_and_names_the_missing_site(sites: Path, tmp_path: Path) -> None:
    """Flower's own defaults: two sites, a local SuperLink that stays, and ``uv sync`` of the app's dependencies."""
    settings = {**TINY, "federation.sites": ",".join(SITES), "federation.held-out": "Beta"}
    (tmp_path / "run.toml").write_text(toml_text({**settings, "folder": str(tmp_path / "runs"), "name": "plain"}))
    with short_folder() as short:
        environment = {
            **os.environ,
            "FLWR_HOME": str(tmp_path / "flwr"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(free_port()),
            "FEDLUNG_SITES": str(sites),
            "RAY_TMPDIR": str(short),
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
            "PATH": f"{Path(executable('flwr')).parent}{os.pathsep}{os.environ['PATH']}",
            "UV_OFFLINE": "1",
        }
        federation = "client-resources-num-cpus=1"
        command = ["flwr", "run", ".", "--stream", "--run-config", str(tmp_path / "run.toml")]
        with Children(environment) as children, (tmp_path / "log").open("wb") as log:
            child = children.start([*command, "--federation-config", federation], output=log, cwd=ROOT)
            try:
                child.wait(240)
            except subprocess.TimeoutExpired:
                pytest.fail((tmp_path / "log").read_text()[-3000:])
    assert (tmp_path / "runs" / "plain" / "report.json").is_file(), (tmp_path / "log").read_text()[-3000:]
    report = report_of(tmp_path / "runs" / "plain")
    assert [(row["site"], row["stage"]) for row in report["absences"]] == [("Gamma", "roll-call")]
    assert processes_that_know(tmp_path) == []
