"""Following a run by its lines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from fedlung.errors import RunError
from fedlung.launch.events import EventReader, follow


@dataclass
class StubSuperLink:
    log: Path
    is_running: bool = True

    def status(self) -> str:
        return "finished:failed"


@dataclass
class StubSubmission:
    """A run that writes its next line whenever it is waited for."""

    rounds: Path
    lines: list[str]

    @property
    def ended(self) -> bool:
        return not self.lines

    def wait(self, timeout_s: float) -> None:
        if self.lines:
            with self.rounds.open("a") as file:
                file.write(self.lines.pop(0))


def followed(tmp_path: Path, *lines: str, is_running: bool = True) -> list[str]:
    seen: list[str] = []
    (tmp_path / "flower.log").write_text("the last words\n")
    submission = StubSubmission(tmp_path / "rounds.jsonl", list(lines))
    superlink = StubSuperLink(tmp_path / "flower.log", is_running)
    follow(superlink, submission, tmp_path, lambda event: seen.append(event["event"]))  # type: ignore[arg-type]
    return seen


def line(event: str, **fields: str) -> str:
    return json.dumps({"event": event, **fields}) + "\n"


def test_the_lines_of_an_earlier_process_are_passed_over_and_its_failure_is_not_this_ones(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    path.write_text(line("round") + line("failed", reason="stopped") + '{"event": "rou')
    told = EventReader(path).skip()
    path.write_text(line("round") + line("failed", reason="stopped") + line("resumed"))
    seen: list[str] = []
    (tmp_path / "flower.log").touch()
    submission = StubSubmission(path, [line("finished")])
    superlink = StubSuperLink(tmp_path / "flower.log")
    follow(superlink, submission, tmp_path, lambda event: seen.append(event["event"]), told=told)  # type: ignore[arg-type]
    assert seen == ["resumed", "finished"]


def test_a_line_that_is_still_being_written_waits(tmp_path: Path) -> None:
    path, whole = tmp_path / "rounds.jsonl", line("round") + line("judged")
    reader = EventReader(path)
    assert list(reader.new()) == []
    path.write_text(whole[:25])
    assert [event["event"] for event in reader.new()] == ["round"]
    path.write_text(whole)
    assert [event["event"] for event in reader.new()] == ["judged"]


def test_every_event_is_passed_on_once_until_the_run_has_finished(tmp_path: Path) -> None:
    assert followed(tmp_path, line("run-started"), line("round") + line("round"), line("finished")) == [
        "run-started",
        "round",
        "round",
        "finished",
    ]


def test_a_failed_run_is_an_error_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the run failed: no source site"):
        followed(tmp_path, line("run-started"), line("failed", reason="no source site"))


def test_a_run_that_ends_without_a_word_is_an_error_with_flowers_status_and_log(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"Flower says: finished:failed[\s\S]*the last words"):
        followed(tmp_path, line("run-started"))


def test_a_superlink_that_dies_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="SuperLink ended by itself"):
        followed(tmp_path, line("run-started"), line("round"), is_running=False)
