"""The learning rates of a run, by hand."""

from __future__ import annotations

import math

import pytest

from fedlung.config import RunConfig
from fedlung.training.schedule import learning_rate_at


def rates(rounds: int, **flat: object) -> list[float]:
    knobs = {"federation.rounds": rounds, "optimizer.learning-rate": 0.1}
    cfg = RunConfig.from_run_config(knobs | {f"optimizer.{key}": value for key, value in flat.items()})  # type: ignore[arg-type]
    return [learning_rate_at(cfg, server_round) for server_round in range(1, rounds + 1)]


def test_five_rounds_of_cosine_are_the_ones_worked_by_hand() -> None:
    # .001 + .099 · (1 + cos(k · 45°)) / 2 for k = 0 .. 4
    quarter = math.sqrt(0.5)
    expected = [0.1, 0.001 + 0.0495 * (1 + quarter), 0.0505, 0.001 + 0.0495 * (1 - quarter), 0.001]
    assert rates(5) == pytest.approx(expected)


def test_a_constant_schedule_is_constant() -> None:
    assert rates(3, schedule="constant") == [0.1, 0.1, 0.1]


def test_a_single_round_has_the_full_rate() -> None:
    assert rates(1) == [0.1]
