"""A run that was stopped goes on where it stopped, and ends in the digits in which it would have ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message

import fedlung
from fedlung.errors import ConfigError, RunError
from fedlung.evaluation.runrecord import load_run
from fedlung.protocol import TRAIN
from server.rounds import MAX_FAILED_ROUNDS
from sites.app import _worker

PLAIN_SGD = {"optimizer.name": "sgd", "optimizer.momentum": 0.0, "optimizer.weight-decay": 0.0}
LATE: dict[str, Any] = {"federation.strategy": "fedadam", "strategy.average-from": 1}
RUNS: dict[str, dict[str, Any]] = {
    "scaffold": {"federation.strategy": "scaffold", **PLAIN_SGD},
    "fedbn": {"federation.strategy": "fedbn", "model.norm": "batch"},
    "feddg-ga": {"federation.strategy": "feddg-ga"},
    "late averages": LATE,
}
FURTHER_RUNS = {name: {"federation.strategy": name} for name in ("fedavg", "fedadam", "groupdro", "fedavgm")}
ROUNDS = 3
ALPHA, BETA, OMEGA = 1000, 1001, 1003


class StoppedError(Exception):
    """The process ends here."""


@pytest.fixture
def small(federation, archive, monkeypatch) -> Iterator[Any]:
    """A federation of a few patients and three rounds, whose report has no page: that takes longer than the run."""
    monkeypatch.setattr("server.app.render_report", write_numbers)
    federation.write(archive(num_patients=8))
    grid = federation.grid
    federation.grid = lambda **knobs: grid(**{"federation.rounds": ROUNDS, **knobs})
    yield federation
    _worker.cache_clear()


def write_numbers(run: Path) -> None:
    (run / "report.json").write_text(load_run(run).judgement.model_dump_json(), encoding="utf-8")


def stops(kind: str, server_round: int, node: int = BETA) -> Callable[[int, Message], Message]:
    """Ends the server while a site answers."""

    def between(node_id: int, reply: Message) -> Message:
        metadata = reply.metadata
        if (node_id, metadata.message_type, metadata.group_id) == (node, kind, str(server_round)):
            raise StoppedError
        return reply

    return between


def stopped(small, where: Callable[[int, Message], Message], name: str = "run", **knobs: Any) -> Path:
    """The folder of a run that ended at ``where``; the sites' processes have ended, too."""
    grid = small.grid(**knobs)
    grid.between = where
    with pytest.raises(StoppedError):
        small.run(grid, name)
    _worker.cache_clear()
    return small.opened(name).path


def outcome(run) -> list[Any]:
    """All that a run shows, without its clock times."""
    weights = [run.weights(number) for number in range(ROUNDS + 1)]
    return [run.numbers, (run.path / "tests.npz").read_bytes(), run.events("selected")[-1]["selection"], weights]


@pytest.mark.parametrize(
    "knobs",
    [
        *(pytest.param(knobs, id=name) for name, knobs in RUNS.items()),
        *(pytest.param(knobs, id=name, marks=pytest.mark.slow) for name, knobs in FURTHER_RUNS.items()),
    ],
)
def test_a_run_that_was_stopped_ends_in_the_digits_of_one_that_was_not(small, knobs: dict[str, Any]) -> None:
    """Two runs of three rounds each, by all of the real code: seconds."""
    whole = small.run(small.grid(**knobs), "whole")
    stopped(small, stops(TRAIN, 3), **knobs)
    again = small.run(small.grid(**knobs, resume=True))
    assert outcome(again) == outcome(whole)
    assert [event["round"] for event in again.events("round")] == [1, 2, 3]
    assert [event["round"] for event in again.events("resumed")] == [2]


def test_it_does_so_however_often_it_was_stopped_and_in_whatever_half_of_a_round(small) -> None:
    whole = small.run(small.grid(**LATE), "whole")
    stopped(small, stops("evaluate", 1, ALPHA), **LATE)
    stopped(small, stops("evaluate", 2, OMEGA), **LATE, resume=True)
    stopped(small, stops(TRAIN, 3), **LATE, resume=True)
    again = small.run(small.grid(**LATE, resume=True))
    assert outcome(again) == outcome(whole)
    assert [event["round"] for event in again.events("resumed")] == [0, 1, 2]


def test_what_is_kept_to_go_on_from_is_small_and_gone_when_the_run_has_finished(small) -> None:
    path = stopped(small, stops(TRAIN, 3), **LATE)
    kept = {file.name: file.stat().st_size for file in (path / "resume").iterdir()}
    assert sorted(kept) == [
        "lock",
        "round-0001.replies.safetensors",
        "round-0002.late.safetensors",
        "round-0002.replies.safetensors",
    ]
    assert kept["round-0001.replies.safetensors"] < 20_000
    run = small.run(small.grid(**LATE, resume=True))
    assert not (run.path / "resume").exists()


def test_a_run_that_was_stopped_while_it_was_judged_trains_nothing(small, monkeypatch) -> None:
    whole = small.run(small.grid(), "whole")
    with monkeypatch.context() as patched:
        patched.setattr("server.course.judge", lambda *gathered: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            small.run(small.grid())
    grid = small.grid(resume=True)
    assert outcome(small.run(grid)) == outcome(whole)
    assert not [message for message in grid.sent if message.metadata.message_type == TRAIN]


def test_a_round_without_a_site_is_remembered_as_such(small) -> None:
    def absent(node_id: int, reply: Message) -> Message | None:
        lost = (node_id, reply.metadata.message_type, reply.metadata.group_id) == (ALPHA, TRAIN, "1")
        return None if lost else stops(TRAIN, 2)(node_id, reply)

    stopped(small, absent)
    run = small.run(small.grid(resume=True))
    assert [(row["site"], row["stage"]) for row in run.report["absences"]] == [("Alpha", "round 1, training")]
    assert [row["site"] for row in run.report["participation"] if row["server_round"] == 1] == ["Beta", "Gamma"]


def test_a_run_that_failed_for_want_of_sites_goes_on_from_its_last_round_that_counted(small) -> None:
    knobs = {"federation.rounds": 1 + MAX_FAILED_ROUNDS, **LATE}
    grid = small.grid(**knobs)
    grid.between = lambda node_id, reply: (
        None if reply.metadata.message_type == TRAIN and int(reply.metadata.group_id) > 1 else reply
    )
    with pytest.raises(RunError, match="3 rounds in a row"):
        small.run(grid)
    whole, again = small.run(small.grid(**knobs), "whole"), small.run(small.grid(**knobs, resume=True))
    assert again.events("resumed")[0]["round"] == 1
    assert all(event["committed"] for event in load_run(again.path).rounds)
    assert outcome(again) == outcome(whole)


def test_a_site_with_other_data_is_named_and_nothing_is_trained(small, archive) -> None:
    stopped(small, stops(TRAIN, 2))
    changed = archive(num_patients=8)
    changed.cubes_NDHW[changed.site_N == "Gamma"] //= 2
    small.write(changed)
    grid = small.grid(resume=True)
    with pytest.raises(RunError, match=r"Gamma has other data than in its rounds so far. Have the site put back"):
        small.run(grid)
    assert not [message for message in grid.sent if message.metadata.message_type == TRAIN]


def test_a_site_that_is_gone_is_named_and_the_run_waits_for_it(small) -> None:
    stopped(small, stops(TRAIN, 2))
    grid = small.grid(resume=True)
    grid.between = lambda node_id, reply: None if node_id == OMEGA else reply
    with pytest.raises(RunError, match=r"cannot go on without Omega.*did not answer the roll call.*resume again"):
        small.run(grid)
    assert small.run(small.grid(resume=True)).events("finished")


def test_a_site_that_was_not_there_before_is_left_out_with_a_row(small) -> None:
    def without_alpha(node_id: int, reply: Message) -> Message | None:
        return None if node_id == ALPHA else stops(TRAIN, 2)(node_id, reply)

    stopped(small, without_alpha)
    run = small.run(small.grid(resume=True))
    assert {row["site"] for row in run.report["participation"]} == {"Beta", "Gamma"}
    assert [(row["site"], row["reason"][:36]) for row in run.report["absences"]] == [
        ("Alpha", "was not in the run when it began; it")
    ]


def test_other_settings_and_runs_that_are_not_there_or_have_finished_are_refused(small) -> None:
    stopped(small, stops(TRAIN, 2))
    with pytest.raises(ConfigError, match="holds a run with other settings"):
        small.run(small.grid(seed=7, resume=True))
    with pytest.raises(RunError, match="there is no run 'nowhere'"):
        small.run(small.grid(resume=True), "nowhere")
    with pytest.raises(RunError, match="is there already"):
        small.run(small.grid())
    small.run(small.grid(resume=True))
    with pytest.raises(RunError, match="has finished; nothing is left to go on with"):
        small.run(small.grid(resume=True))


def test_rounds_of_another_version_are_told_of(small, monkeypatch, caplog) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(fedlung, "__version__", "0.0.9")
        stopped(small, stops(TRAIN, 2))
    with caplog.at_level(logging.WARNING):
        run = small.run(small.grid(resume=True))
    (warning,) = run.events("resumed")[0]["warnings"]
    assert warning.startswith("earlier rounds were run by fedlung 0.0.9") and warning in caplog.text


def test_a_round_whose_replies_were_damaged_is_not_gone_on_from(small) -> None:
    path = stopped(small, stops(TRAIN, 2))
    file = path / "resume" / "round-0001.replies.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(RunError, match=r"what its round 1 has brought cannot be read.*Begin again under another name"):
        small.run(small.grid(resume=True))


FOLD = "feddg-ga.seed-0.without-Omega"
ONE_FOLD = {
    "protocol": "loso",
    "federation.held-out": "",
    "loso.methods": "feddg-ga",
    "loso.seeds": 1,
    "loso.baselines": False,
    "loso.fold": FOLD,
}


def test_a_fold_that_failed_goes_on_from_its_last_whole_round(small) -> None:
    whole = small.run(small.grid(**ONE_FOLD), "whole").path / "folds" / FOLD
    stopped(small, stops(TRAIN, 3), **ONE_FOLD)
    _worker.cache_clear()
    grid = small.grid(**ONE_FOLD)
    again = small.run(grid).path / "folds" / FOLD
    trained = {message.metadata.group_id for message in grid.sent if message.metadata.message_type == TRAIN}
    assert trained == {"3"}
    assert [load_run(again).last(event)["event"] for event in ("failed", "resumed")] == ["failed", "resumed"]
    assert (again / "tests.npz").read_bytes() == (whole / "tests.npz").read_bytes()
    judged = [load_run(path).judgement.model_dump(exclude={"timings"}) for path in (again, whole)]
    assert judged[0] == judged[1]
