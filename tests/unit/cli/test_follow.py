"""A run's events as bars: each event is told what it does, and no bar stays open."""

from __future__ import annotations

from typing import Any

import pytest
from rich.progress import Progress

from fedlung.cli.follow import DRAWN, RunFollower
from fedlung.config import RunConfig
from fedlung.evaluation.runrecord import EVENTS

CONFIG = RunConfig.from_run_config({"federation.rounds": 3})
ROLL_CALL = {"event": "roll-call", "sources": ["A", "B"], "held_out": ["X"]}


@pytest.fixture
def progress() -> Progress:
    return Progress(disable=True)


def shown(progress: Progress) -> dict[str, tuple[float, float | None]]:
    """What each bar has done, and of how much."""
    return {task.description: (task.completed, task.total) for task in progress.tasks}


def told(progress: Progress, *events: dict[str, Any]) -> RunFollower:
    follower = RunFollower(progress, CONFIG)
    for event in events:
        follower(event)
    return follower


def test_every_event_of_a_run_is_drawn_but_its_failure() -> None:
    assert set(DRAWN) == {"listening", *EVENTS} - {"failed"}


def test_the_bar_of_the_rounds_is_there_before_the_first_round_has_ended(progress: Progress) -> None:
    told(progress, {"event": "run-started"}, ROLL_CALL, {"event": "prepared"}, {"event": "training"})
    assert shown(progress)["Rounds"] == (0, 3)


def test_the_bar_of_the_preparation_counts_who_came_and_closes_without_who_did_not_prepare(progress: Progress) -> None:
    follower = told(progress, ROLL_CALL, {"event": "prepared"})
    assert shown(progress)["Sites prepare their CT"] == (1, 3)
    follower({"event": "training"})
    assert shown(progress)["Sites prepare their CT"] == (1, 1)


def test_no_bar_stays_open_after_a_run(progress: Progress) -> None:
    rounds = [{"event": "round", "round": number} for number in (1, 2, 3)]
    events = [{"event": "run-started"}, ROLL_CALL, {"event": "prepared"}, {"event": "training"}, *rounds]
    told(progress, *events, {"event": "selected", "round": 2}, {"event": "judged"}, {"event": "finished"})
    assert all(task.finished for task in progress.tasks)


def test_the_rounds_that_were_done_before_are_done_in_the_bar_of_a_run_that_goes_on(progress: Progress) -> None:
    told(progress, {"event": "resumed", "round": 2}, ROLL_CALL, {"event": "prepared"}, {"event": "training"})
    assert shown(progress)["Starting Flower"] == (1, 1)
    assert shown(progress)["Rounds"] == (2, 3)


def test_an_event_of_a_later_version_is_passed_over(progress: Progress) -> None:
    told(progress, {"event": "unheard-of"})
