"""Every strategy through a whole run of real sites, and what some of them must be equal to."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from flwr.app import Message

from fedlung.config import RunConfig
from fedlung.model.networks import norm_names
from fedlung.protocol import decode_weights, encode_state
from server.strategies import STRATEGIES

PLAIN_SGD = {"optimizer.name": "sgd", "optimizer.momentum": 0.0, "optimizer.weight-decay": 0.0}
NEEDS = {"scaffold": PLAIN_SGD, "fedbn": {"model.norm": "batch"}}


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_a_run_by_any_strategy_is_judged_at_every_site(federation, name: str) -> None:
    run = federation.run(federation.grid(**{"federation.strategy": name}, **NEEDS.get(name, {})))
    assert run.report["absences"] == []
    assert all(math.isfinite(row["brier"]["value"]) for row in run.report["sites"])
    for row in run.events("round"):
        assert sum(part["weight"] for part in row["participation"]) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["feddg-ga", "median", "scaffold"])
def test_an_update_that_is_not_finite_is_refused_by_name_and_the_run_is_as_if_it_were_lost(federation, name) -> None:
    runs = {}
    for what, disturbed in (("lost", lambda reply: None), ("not finite", spoilt)):
        grid = federation.grid(**{"federation.strategy": name}, **NEEDS.get(name, {}))
        grid.between = partial(of_beta, disturbed)
        runs[what] = federation.run(grid, what.replace(" ", "-"))
    rows = [row for row in runs["not finite"].report["absences"] if row["stage"].endswith("training")]
    assert [row["site"] for row in rows] == ["Beta", "Beta"]
    assert all("1 values that are not finite" in row["reason"] for row in rows)
    assert runs["not finite"].weights(2) == runs["lost"].weights(2)


def of_beta(disturbed: Callable[[Message], Message | None], node_id: int, reply: Message) -> Message | None:
    """Beta's updates, disturbed; everything else as it is."""
    return disturbed(reply) if (node_id, reply.metadata.message_type) == (1001, "train") else reply


def spoilt(reply: Message) -> Message:
    state = decode_weights(reply.content)
    state[sorted(name for name, values in state.items() if values.dtype == np.float32)[-1]].flat[-1] = np.inf
    reply.content["weights"] = encode_state(state)
    return reply


@pytest.mark.parametrize("name", ["scaffold", "feddg-ga"])
def test_a_run_by_a_strategy_with_a_memory_repeats(federation, name: str) -> None:
    knobs = {"federation.strategy": name, "federation.rounds": 3} | NEEDS.get(name, {})
    first, second = (federation.run(federation.grid(**knobs), run) for run in ("first", "second"))
    assert first.weights(3) == second.weights(3)
    assert first.numbers == second.numbers


def test_the_first_round_of_scaffold_is_the_uniform_mean(federation) -> None:
    runs = [
        federation.run(federation.grid(**PLAIN_SGD, **{"federation.strategy": name}), name)
        for name in ("scaffold", "uniform")
    ]
    assert runs[0].weights(1) == runs[1].weights(1)
    assert runs[0].weights(2) != runs[1].weights(2)


def test_a_held_out_site_of_fedbn_is_judged_with_the_checkpoint_and_a_source_with_its_own_norms(federation) -> None:
    knobs = {"federation.strategy": "fedbn", "model.norm": "batch"}
    grid = federation.grid(**knobs)
    run = federation.run(grid)
    sent = {}
    for message in grid.sent:
        if message.metadata.message_type == "evaluate" and message.metadata.group_id == "2":
            sent[message.metadata.dst_node_id] = {n: a.data for n, a in message.content["weights"].items()}
    own = [weights for node, weights in sorted(sent.items()) if node != 1003]
    differing = {name for name in own[0] if own[0][name] != own[1][name]}
    assert any(name.endswith("running_var") for name in differing)
    assert differing < norm_names(RunConfig.from_run_config(grid.run_config).model)
    checkpoint = run.weights(2)
    assert all(decoded(sent[1003])[name] == checkpoint[name] for name in checkpoint)


def decoded(arrays: dict[str, bytes]) -> dict[str, bytes]:
    """The bytes of values, without NumPy's header."""
    return {name: np.load(io.BytesIO(data)).tobytes() for name, data in arrays.items()}


def test_averaging_late_rounds_leaves_the_training_as_it_is(federation) -> None:
    plain = federation.run(federation.grid(**{"federation.rounds": 3}), "plain")
    late = federation.run(federation.grid(**{"federation.rounds": 3, "strategy.average-from": 2}), "late")
    assert late.weights(2) == plain.weights(2), "the mean of one round is that round"
    assert late.weights(3) != plain.weights(3)
    losses = [[row["curve"]["mean_validation_loss"] for row in run.events("round")] for run in (plain, late)]
    assert losses[0][:2] == losses[1][:2] and losses[0][2] != losses[1][2]
