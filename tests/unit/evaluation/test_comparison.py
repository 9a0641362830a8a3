"""Paired differences, p-values, Holm's correction, seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedlung.evaluation.comparison import (
    NOT_PAIRED,
    across_seeds,
    bootstrap_p_value,
    holm,
    paired_difference,
    with_p_value,
)
from fedlung.evaluation.measured import Frozen, Measured, Value
from fedlung.evaluation.statistics import ScoreStatistics, score_statistics

LABELS = np.tile([0, 1], 40)
PATIENTS = np.arange(80) // 2


def statistics(shift: float, *, seed: int = 0, draws: int = 7, replicates: int = 300) -> ScoreStatistics:
    logits = np.random.default_rng(seed).normal(shift * LABELS, 1.0)
    rng = np.random.default_rng(draws)
    return score_statistics(logits, LABELS, PATIENTS, num_replicates=replicates, rng=rng)


def test_the_difference_goes_replicate_by_replicate() -> None:
    one, other = (Measured(statistics(shift, seed=seed)) for seed, shift in enumerate((1.5, 0.5)))
    found = paired_difference("auc", one, other, confidence=0.9)
    differences = one.value("auc").replicates_R - other.value("auc").replicates_R
    assert found.difference.value == one.value("auc").point - other.value("auc").point
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(np.quantile(differences, [0.05, 0.95])))
    assert found.p_value == bootstrap_p_value(differences)


def test_each_model_is_judged_at_its_own_threshold() -> None:
    one, other = Measured(statistics(1.0), Frozen(chosen=260)), Measured(statistics(1.0), Frozen(chosen=240))
    found = paired_difference("sensitivity", one, other, confidence=0.95)
    assert found.difference.value == one.value("sensitivity").point - other.value("sensitivity").point < 0


def test_a_model_compared_with_itself_has_no_difference_and_a_p_value_of_one() -> None:
    same = Measured(statistics(1.0))
    found = paired_difference("auprc", same, same, confidence=0.95)
    assert (found.difference.value, found.difference.low, found.difference.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_replicates_that_were_drawn_apart_give_no_interval_and_no_p_value() -> None:
    found = paired_difference("auc", Measured(statistics(1.5)), Measured(statistics(0.5, draws=8)), confidence=0.95)
    assert found.difference.value is not None and found.difference.low is None and found.p_value is None
    assert found.difference.reason == NOT_PAIRED


def test_a_difference_with_an_undefined_side_says_why() -> None:
    one = Measured(statistics(1.0), Frozen(chosen=240))
    found = paired_difference("f1", one, Measured(statistics(1.0)), confidence=0.95)
    assert found.difference.value is None and found.p_value is None
    assert found.difference.reason == "no threshold could be frozen"


def test_the_p_value_counts_the_rarer_side_twice_and_is_never_0() -> None:
    # 3 of 99 at or below 0: 2 · 4 / 100.
    assert bootstrap_p_value(np.r_[np.full(3, -0.1), np.full(96, 0.1)]) == 0.08
    assert bootstrap_p_value(np.full(99, 0.1)) == 0.02
    assert bootstrap_p_value(np.r_[np.zeros(60), np.full(39, 0.1)]) == 1.0
    assert bootstrap_p_value(np.r_[np.full(99, 0.1), math.nan]) == 0.02


@pytest.mark.parametrize(("num_below", "significant"), [(20, True), (48, True), (51, False), (90, False)])
def test_an_interval_leaves_0_out_where_the_p_value_is_below_its_level(num_below: int, significant: bool) -> None:
    differences = np.r_[np.full(num_below, -0.1), np.full(1999 - num_below, 0.1)]
    found = with_p_value(Value(0.08, differences), confidence=0.95, num_patients=50)
    assert found.difference.low is not None and found.p_value is not None
    assert (found.difference.low > 0) == (found.p_value < 0.05) == significant


def test_under_no_difference_the_p_value_rejects_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(200):
        labels = np.tile([0, 1], 60)
        pair = rng.normal(labels, 1.0) + rng.normal(0, 0.7, (2, 120))
        seed = int(rng.integers(1 << 30))
        one, other = (
            Measured(
                score_statistics(
                    logits, labels, np.arange(120) // 2, num_replicates=150, rng=np.random.default_rng(seed)
                )
            )
            for logits in pair
        )
        p_value = paired_difference("auc", one, other, confidence=0.95).p_value
        rejected += p_value is not None and p_value < 0.05
    assert 0.02 <= rejected / 200 <= 0.09


def test_too_few_patients_give_no_p_value() -> None:
    found = with_p_value(Value(0.1, np.full(100, 0.1)), confidence=0.95, num_patients=3)
    assert found.difference.value == 0.1 and found.p_value is None


def slow_holm(p_values: list[float]) -> list[float]:
    """Step down: the smallest times m, the next times m - 1, ..., none smaller than the one before, at most 1."""
    order = np.argsort(p_values)
    adjusted = [0.0] * len(p_values)
    for rank, index in enumerate(order):
        candidates = [(len(p_values) - j) * p_values[order[j]] for j in range(rank + 1)]
        adjusted[index] = min(1.0, max(candidates))
    return adjusted


def test_holm_on_an_example_by_hand() -> None:
    # 4 · .01; 3 · .02 = .06; 2 · .03 = .06; 1 · .04 would be less than .06.
    found = holm({"a": 0.02, "b": 0.01, "c": 0.04, "d": 0.03})
    assert found == pytest.approx({"a": 0.06, "b": 0.04, "c": 0.06, "d": 0.06})


def test_holm_is_the_slow_definition() -> None:
    rng = np.random.default_rng(0)
    for size in range(1, 12):
        p_values = (rng.random(size) ** 3).tolist()
        found = holm({str(index): p_value for index, p_value in enumerate(p_values)})
        assert list(found.values()) == pytest.approx(slow_holm(p_values), abs=1e-15)


def test_an_undefined_test_stays_undefined_and_counts_in_the_family() -> None:
    assert holm({"a": 0.01, "b": None, "c": 0.02}) == {"a": 0.03, "b": None, "c": 0.04}
    assert holm({}) == {}


def test_seeds_have_a_mean_a_spread_and_a_range_and_no_best() -> None:
    found = across_seeds([0.8, 0.9, 0.7, None])
    assert (found.num_seeds, found.num_undefined) == (4, 1)
    assert (found.mean, found.sd) == (pytest.approx(0.8), pytest.approx(0.1))
    assert (found.lowest, found.highest) == (0.7, 0.9)
    assert "best" not in type(found).model_fields


def test_one_seed_has_no_spread_and_no_seed_has_nothing() -> None:
    one, none = across_seeds([0.8]), across_seeds([])
    assert (one.mean, one.sd) == (0.8, None)
    assert (none.num_seeds, none.mean, none.sd, none.lowest) == (0, None, None, None)
