"""Calibration of hand-worked histograms, and against slow references."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from fedlung.evaluation.calibration import (
    CENTRES_K,
    PROBABILITY_K,
    calibration_line,
    error_floor,
    expected_calibration_error,
    group_of_bins,
    why_no_line,
)
from fedlung.evaluation.reliability import reliability
from fedlung.evaluation.statistics import NUM_BINS, ScoreStatistics, score_statistics


def histogram(negatives: dict[int, int], positives: dict[int, int]) -> np.ndarray:
    """Counts by bin."""
    counts = np.zeros((2, NUM_BINS), np.int64)
    for label, by_bin in enumerate((negatives, positives)):
        for number, count in by_bin.items():
            counts[label, number] = count
    return counts


def sample(seed: int, *, num: int = 400, slope: float = 1.0, replicates: int = 0) -> ScoreStatistics:
    """Labels drawn from probabilities whose logit is ``slope`` times the score."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, num)
    labels = (rng.random(num) < expit(slope * logits)).astype(int)
    return score_statistics(logits, labels, np.arange(num) // 2, num_replicates=replicates, rng=rng)


def test_the_calibration_error_of_a_hand_worked_example() -> None:
    # Bin 239 is centred at -.025, bin 240 at .025: p = .49375 and .50625. Two examples each, in groups of their own.
    p = float(expit(0.025))
    found = expected_calibration_error(histogram({239: 1, 240: 0}, {239: 1, 240: 2}))
    assert found == pytest.approx(0.5 * abs((1 - p) - 0.5) + 0.5 * (1 - p), abs=1e-15)


def test_equal_mass_without_ties_is_the_usual_cut() -> None:
    counts = histogram({}, dict.fromkeys(range(100, 160), 1))
    groups = group_of_bins(counts, 15)[100:160]
    assert groups.tolist() == np.repeat(np.arange(15), 4).tolist()


def test_a_bin_of_many_examples_goes_whole_to_the_group_of_its_middle() -> None:
    # 10 + 80 + 10 examples: the middle ones at 5, 50 and 95 of 100, of 15 groups the 0th, 7th and 14th.
    counts = histogram({10: 10, 20: 80, 30: 10}, {})
    assert group_of_bins(counts, 15)[[10, 20, 30]].tolist() == [0, 7, 14]


def test_a_model_that_is_sure_and_right_has_no_calibration_error_and_one_that_is_wrong_has_all() -> None:
    ends = {0: 5}, {NUM_BINS - 1: 5}
    assert expected_calibration_error(histogram(*ends)) == pytest.approx(0.0, abs=1e-5)
    assert expected_calibration_error(histogram(*reversed(ends))) == pytest.approx(1.0, abs=1e-5)


def test_raw_scores_in_the_same_groups_have_the_same_error_to_the_width_of_a_bin() -> None:
    rng = np.random.default_rng(2)
    logits, labels = rng.normal(0, 2, 500), rng.integers(0, 2, 500)
    found = score_statistics(logits, labels, np.arange(500), num_replicates=0, rng=rng)
    group_N = group_of_bins(found.histogram_CK, 15)[np.searchsorted(CENTRES_K + 0.025, logits, side="right")]
    raw = sum(abs((expit(logits) - labels)[group_N == group].sum()) for group in range(15)) / 500
    assert abs(expected_calibration_error(found.histogram_CK) - raw) <= 0.00625


def test_the_floor_is_what_labels_drawn_from_the_models_own_probabilities_give() -> None:
    rng = np.random.default_rng(0)
    totals = np.bincount(rng.integers(180, 300, 300), minlength=NUM_BINS)
    positives = rng.binomial(totals, PROBABILITY_K, size=(1000, NUM_BINS))
    drawn = np.stack([totals - positives, positives], axis=1)
    assert error_floor(drawn[0]) == pytest.approx(expected_calibration_error(drawn).mean(), rel=0.05)


def test_the_line_of_two_bins_is_exact() -> None:
    # Two bins, two parameters: the fitted probabilities are the shares, 1/4 at -1.025 and 3/5 at 1.025.
    found = calibration_line(histogram({219: 3, 260: 2}, {219: 1, 260: 3}))
    low, high = math.log(1 / 3), math.log(3 / 2)
    assert found.slope == pytest.approx((high - low) / 2.05, abs=1e-12)
    assert found.intercept == pytest.approx((high + low) / 2, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_the_line_is_where_a_general_minimiser_finds_the_likelihood_highest(seed: int) -> None:
    found = sample(seed, num=60, slope=0.6)
    negative, positive = found.histogram_CK

    def loss(line: np.ndarray) -> float:
        eta = line[0] + line[1] * CENTRES_K
        return float((positive * np.logaddexp(0, -eta) + negative * np.logaddexp(0, eta)).sum())

    expected = minimize(loss, [0.0, 1.0], method="BFGS", options={"gtol": 1e-9}).x
    line = calibration_line(found.histogram_CK)
    assert [float(line.intercept), float(line.slope)] == pytest.approx(expected, abs=1e-5)


def test_the_line_of_many_examples_is_the_one_that_drew_them() -> None:
    line = calibration_line(sample(1, num=20_000, slope=0.5).histogram_CK)
    assert line.slope == pytest.approx(0.5, abs=0.03) and line.intercept == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize(
    ("negatives", "positives", "why"),
    [
        ({100: 3}, {200: 3}, "separate the classes"),
        ({200: 3}, {100: 3}, "separate the classes"),
        ({100: 3, 150: 1}, {150: 1, 200: 3}, "separate the classes"),
        ({150: 4}, {150: 3}, "into one bin"),
    ],
)
def test_a_likelihood_without_a_maximum_gives_no_line_and_its_reason(
    negatives: dict[int, int], positives: dict[int, int], why: str
) -> None:
    counts = histogram(negatives, positives)
    assert np.isnan(calibration_line(counts).slope) and np.isnan(calibration_line(counts).intercept)
    assert why in why_no_line(counts)


@pytest.mark.parametrize(
    ("negatives", "positives"),
    [
        ({0: 10_000, 240: 1}, {239: 1, 479: 10_000}),  # all but separated: a steep line
        ({240: 10_000, 479: 1}, {0: 1, 240: 10_000}),
        ({0: 1, 479: 100_000}, {0: 1, 478: 1}),
        ({240: 5, 241: 1}, {240: 1, 241: 5}),  # two neighbouring bins
        ({0: 1}, {0: 1, 479: 1}),  # quasi-separated: none
    ],
)
def test_a_line_that_is_hard_to_find_is_a_maximum_or_is_not_there(
    negatives: dict[int, int], positives: dict[int, int]
) -> None:
    counts = histogram(negatives, positives)
    line = calibration_line(counts)
    if np.isnan(line.slope):
        assert "separate" in why_no_line(counts)
        return
    probability = expit(line.intercept + line.slope * CENTRES_K)
    residual = counts[1] - counts.sum(axis=0) * probability
    assert abs(residual.sum()) < 1e-6 and abs((residual * CENTRES_K).sum()) < 1e-6


def test_replicates_are_worked_out_as_each_alone_is() -> None:
    found = sample(3, num=40, replicates=60)
    line, error = calibration_line(found.replicates_RCK), expected_calibration_error(found.replicates_RCK)
    for replicate, counts in enumerate(found.replicates_RCK):
        alone = calibration_line(counts)
        assert alone.slope == pytest.approx(line.slope[replicate], rel=1e-9, nan_ok=True)
        assert alone.intercept == pytest.approx(line.intercept[replicate], rel=1e-9, abs=1e-9, nan_ok=True)
        assert expected_calibration_error(counts) == error[replicate]


def test_two_thousand_replicates_are_fitted_together_and_not_one_by_one() -> None:
    # Half a second of one core; a row at a time it would be a minute.
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 2000)
    found = score_statistics(rng.normal(labels, 4), labels, rng.integers(0, 500, 2000), num_replicates=2000, rng=rng)
    began = time.thread_time()
    line, error = calibration_line(found.replicates_RCK), expected_calibration_error(found.replicates_RCK)
    assert time.thread_time() - began < 3.0
    assert not np.isnan(line.slope).any() and not np.isnan(error).any()


def test_a_reliability_diagrams_points_are_the_groups_shares_with_their_replicates() -> None:
    found = sample(5, num=44, replicates=400)
    points = reliability(found, confidence=0.9)
    assert len(points) == 4, "44 examples are four groups of about ten"
    assert sum(point.num_positive for point in points) == found.num_positive
    assert sum(point.num_negative for point in points) == found.num_negative
    first = group_of_bins(found.histogram_CK, 4) == 0
    share = found.histogram_CK[1, first].sum() / found.histogram_CK[:, first].sum()
    replicates = found.replicates_RCK[:, 1, first].sum(axis=1) / found.replicates_RCK[..., first].sum(axis=(1, 2))
    low, high = np.quantile(replicates, [0.05, 0.95])
    assert points[0].observed.value == share
    assert (points[0].observed.low, points[0].observed.high) == (pytest.approx(low), pytest.approx(high))
    assert [point.predicted for point in points] == sorted(point.predicted for point in points)


def test_the_points_of_many_examples_add_up_to_the_calibration_error() -> None:
    found = sample(6, num=600, slope=0.5)
    points = reliability(found, confidence=0.95)
    counts = [point.num_positive + point.num_negative for point in points]
    error = sum(n * abs(point.predicted - point.observed.value) for n, point in zip(counts, points, strict=True)) / 600
    assert len(points) == 15 and error == pytest.approx(expected_calibration_error(found.histogram_CK), abs=1e-12)


def test_without_examples_there_is_no_point() -> None:
    nothing = np.zeros(0)
    empty = score_statistics(
        nothing, nothing.astype(int), nothing.astype(int), num_replicates=3, rng=np.random.default_rng(0)
    )
    assert reliability(empty, confidence=0.95) == ()
    assert math.isnan(expected_calibration_error(empty.histogram_CK)) and math.isnan(error_floor(empty.histogram_CK))
