"""The run folder: nothing is overwritten, every event is a line on the disk."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
import torch

from fedlung.config import RunConfig
from fedlung.errors import ConfigError, RunError
from fedlung.evaluation.runrecord import load_run, run_name
from fedlung.training.checkpoint import load_checkpoint
from server.rundir import RunDir


def test_the_default_name_is_task_date_and_time() -> None:
    assert run_name("", RunConfig(), datetime(2026, 1, 2, 3, 4, 5)) == "nodule-20260102-030405"


def test_a_run_reads_back_as_it_was_written(tmp_path: Path) -> None:
    config = RunConfig.from_run_config({"seed": 7, "loss.gamma": 1.5})
    run = RunDir.create(tmp_path / "runs", "first", config)
    run.append("run-started", site="Zürich")
    run.append("round", round=1, loss=0.1 + 0.2)
    record = load_run(run.folder)
    assert record.config == config and not record.truncated
    assert [event["event"] for event in record.events] == ["run-started", "round"]
    assert record.events[1]["loss"] == 0.1 + 0.2
    assert datetime.fromisoformat(record.events[0]["time"]).tzinfo is not None


def test_a_run_of_the_same_name_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    RunDir.create(tmp_path, "twice", RunConfig()).append("run-started")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"'twice' is there already.*Give another name"):
        RunDir.create(tmp_path, "twice", RunConfig.from_run_config({"seed": 1}))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_that_the_launcher_has_made_is_no_run_yet(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "flower.log").touch()
    assert RunDir.create(tmp_path, "new", RunConfig()).name == "new"


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "a b", "x" * 101, "a\n"])
def test_a_name_that_is_no_plain_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="a run's name is made of"):
        RunDir.create(tmp_path, name, RunConfig())
    assert list(tmp_path.iterdir()) == []


def test_not_a_number_never_reaches_the_lines(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "nan", RunConfig())
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.append("round", loss=float("nan"))
    assert load_run(run.folder).events == ()


def test_a_line_cut_short_is_left_out_and_said(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "killed", RunConfig())
    run.append("run-started")
    with (run.folder / "rounds.jsonl").open("a") as file:
        file.write('{"event": "rou')
    record = load_run(run.folder)
    assert [event["event"] for event in record.events] == ["run-started"] and record.truncated


@pytest.mark.parametrize("line", ["not json", "[1, 2]", '{"time": "now"}'])
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, line: str) -> None:
    run = RunDir.create(tmp_path, "damaged", RunConfig())
    run.append("run-started")
    with (run.folder / "rounds.jsonl").open("a") as file:
        file.write(line + "\n")
    run.append("finished")
    with pytest.raises(RunError, match=r"rounds.jsonl, line 2"):
        load_run(run.folder)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is no run folder: it has no config\.json"):
        load_run(tmp_path)


def test_a_run_that_failed_has_no_judgement_and_says_why(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "failed", RunConfig())
    run.append("failed", reason="GE did not answer")
    with pytest.raises(RunError, match="it failed: GE did not answer"):
        _ = load_run(run.folder).judgement


def test_a_checkpoint_keeps_the_weights_and_the_settings_without_the_runs_place(tmp_path: Path) -> None:
    config = RunConfig.from_run_config({"seed": 3, "folder": str(tmp_path), "name": "kept"})
    run = RunDir.create(tmp_path, "kept", config)
    path = run.save_checkpoint(2, {"weight": torch.arange(3.0)})
    assert path == run.folder / "checkpoints" / "round-0002.safetensors"
    kept = load_checkpoint(path)
    assert torch.equal(kept.state["weight"], torch.arange(3.0))
    assert kept.metadata["server_round"] == 2
    assert kept.metadata["config"]["seed"] == 3 and str(tmp_path) not in json.dumps(kept.metadata)


def test_a_run_that_is_gone_on_with_loses_what_was_half_written_and_nothing_else(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "killed", RunConfig())
    run.append("run-started")
    whole = run.save_checkpoint(1, {"weight": torch.arange(3.0)}).read_bytes()
    with (run.folder / "rounds.jsonl").open("a") as file:
        file.write('{"event": "rou')
    (run.folder / "checkpoints" / ".round-0001.safetensors.77.unfinished").write_bytes(b"half")
    again = RunDir.resume(tmp_path, "killed", RunConfig())
    with again.alone():
        again.append("resumed", round=0)
    record = load_run(run.folder)
    assert [event["event"] for event in record.events] == ["run-started", "resumed"] and not record.truncated
    assert [path.read_bytes() for path in (run.folder / "checkpoints").iterdir()] == [whole]


def test_two_processes_do_not_write_one_run(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "running", RunConfig())
    with run.alone(), pytest.raises(RunError, match="another process is writing it"):
        RunDir.resume(tmp_path, "running", RunConfig()).alone().__enter__()
    with RunDir.resume(tmp_path, "running", RunConfig()).alone():
        pass


def test_a_round_is_counted_once_however_often_it_was_done(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "again", RunConfig())
    for event, number in (("round", 1), ("round", 2), ("resumed", 1), ("round", 2), ("resumed", 2)):
        run.append(event, round=number)
    assert [event["round"] for event in load_run(run.folder).rounds] == [1, 2]
    run.append("resumed", round=0)
    assert load_run(run.folder).rounds == ()


def test_what_a_strategy_carried_is_not_taken_from_a_round_that_was_done_again_without(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "again", RunConfig())
    run.save_memory(1, {"share": torch.tensor(0.5)})
    assert set(run.load_memory(1)) == {"share"}
    run.save_memory(1, {})
    assert run.load_memory(1) == {}
