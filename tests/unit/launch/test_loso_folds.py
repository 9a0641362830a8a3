"""Folds side by side: which may start, what is kept, and that nothing outlives the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from fedlung.config import RunConfig
from fedlung.errors import ConfigError, RunError
from fedlung.evaluation.runrecord import CONFIG_FILE, EVENTS_FILE
from fedlung.launch.loso import _claim, _Todo
from fedlung.loso.folder import folds_folder
from fedlung.loso.plan import plan

CONFIG = RunConfig.from_run_config(
    {
        "federation.sites": "A,B,C",
        "federation.held-out": "",
        "protocol": "loso",
        "loso.methods": "fedavg",
        "loso.seeds": 1,
        "federation.rounds": 4,
    }
)


def ended(error: BaseException | None = None) -> Future[None]:
    future: Future[None] = Future()
    future.set_result(None) if error is None else future.set_exception(error)
    return future


def keep(run: Path, name: str, *lines: str) -> None:
    """A fold's folder with these events."""
    folder = folds_folder(run) / name
    folder.mkdir(parents=True)
    (folder / CONFIG_FILE).write_text(CONFIG.model_dump_json(by_alias=True))
    (folder / EVENTS_FILE).write_text("".join(f'{{"event": "{line}"}}\n' for line in lines))


def test_an_ensemble_waits_for_its_members_and_fails_with_them(tmp_path: Path) -> None:
    todo = _Todo(plan(CONFIG), CONFIG, tmp_path)
    by_name = {fold.name: fold for fold in plan(CONFIG)}
    first = todo.ready(100)
    assert not [fold for fold in first if fold.kind == "ensemble"]
    for fold in first:
        lost = fold.name == "alone.seed-0.A"
        todo.end(fold, ended(RunError("no answer") if lost else None))
    assert [fold.name for fold in todo.ready(100)] == ["ensemble.seed-0.without-A"]
    assert todo.outcome.failed == {
        "alone.seed-0.A": "no answer",
        "ensemble.seed-0.without-B": "alone.seed-0.A failed",
        "ensemble.seed-0.without-C": "alone.seed-0.A failed",
    }
    assert set(todo.outcome.finished) | set(todo.outcome.failed) | {"ensemble.seed-0.without-A"} == set(by_name)


def test_no_more_folds_start_than_there_are_places(tmp_path: Path) -> None:
    todo = _Todo(plan(CONFIG), CONFIG, tmp_path)
    assert [len(todo.ready(number)) for number in (2, 0, 1)] == [2, 0, 1]


def test_a_finished_fold_is_kept_and_an_unfinished_one_is_not(tmp_path: Path) -> None:
    keep(tmp_path, "oracle.seed-0", "run-started", "finished")
    keep(tmp_path, "alone.seed-0.A", "run-started", "round")
    todo = _Todo(plan(CONFIG), CONFIG, tmp_path)
    assert todo.outcome.kept == ["oracle.seed-0"]
    assert {fold.name for fold in plan(CONFIG)} - {fold.name for fold in todo.waiting} == {"oracle.seed-0"}


def test_work_that_is_done_is_counted_by_rounds(tmp_path: Path) -> None:
    todo = _Todo(plan(CONFIG), CONFIG, tmp_path)
    running = [fold for fold in plan(CONFIG) if fold.name == "fedavg.seed-0.without-A"]
    keep(tmp_path, "fedavg.seed-0.without-A", "run-started", "round", "round")
    done, total, said = todo.work_done(running)
    # Six federated runs of two sites, one of all three, three of one, and three ensembles; half of one run is done.
    assert (done, total) == (pytest.approx(1.0), pytest.approx(6 * 2 + 3 + 3 + 3 * 0.3))
    assert said == "0 of 13 folds"


def test_an_error_that_is_no_folds_own_is_raised(tmp_path: Path) -> None:
    todo = _Todo(plan(CONFIG), CONFIG, tmp_path)
    with pytest.raises(MemoryError):
        todo.end(plan(CONFIG)[0], ended(MemoryError()))


def test_a_folder_with_other_settings_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    _claim(tmp_path, CONFIG)
    _claim(tmp_path, CONFIG.model_copy(update={"name": "other", "folder": "elsewhere"}))
    before = (tmp_path / CONFIG_FILE).read_bytes()
    with pytest.raises(ConfigError, match="other settings"):
        _claim(tmp_path, CONFIG.model_copy(update={"seed": 1}))
    assert (tmp_path / CONFIG_FILE).read_bytes() == before


def test_a_process_of_folds_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    child = "import os, pathlib, sys, time; from fedlung.launch.loso import _enter; "
    child += "_enter({}, pathlib.Path('log')); pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(600)"
    parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(600)"
    started = subprocess.Popen([sys.executable, "-c", parent], cwd=tmp_path)
    pid = int(_read_when_there(tmp_path / "pid"))
    started.send_signal(signal.SIGKILL)
    started.wait()
    deadline = time.monotonic() + 30.0
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _is_alive(pid)


def _read_when_there(path: Path) -> str:
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        if path.is_file() and (text := path.read_text()):
            return text
        time.sleep(0.1)
    raise AssertionError(f"{path.name} was not written")


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] if os.name == "posix" else ""
        return state != "Z"
    except OSError:
        return False
