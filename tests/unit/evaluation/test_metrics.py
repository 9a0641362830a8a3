"""Metrics of hand-worked histograms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedlung.evaluation import metrics
from fedlung.evaluation.metrics import (
    METRICS,
    auc,
    average_precision,
    choose_threshold,
    confusion_at,
    point_and_replicates,
    probability_of,
    roc_points,
    why_undefined,
)
from fedlung.evaluation.statistics import NUM_BINS, ScoreStatistics, score_statistics


def histogram(negatives: list[int], positives: list[int]) -> np.ndarray:
    """Counts in the lowest bins, the rest empty."""
    counts = np.zeros((2, NUM_BINS), np.int64)
    counts[0, : len(negatives)], counts[1, : len(positives)] = negatives, positives
    return counts


def of(negatives: list[int], positives: list[int]) -> ScoreStatistics:
    counts = histogram(negatives, positives)
    return ScoreStatistics(counts, 0.0, int(counts.sum()), counts[None].astype(np.int32), np.zeros(1))


# Bins 0..3: negatives 3, 1, 1, 0; positives 0, 1, 1, 2.
EXAMPLE = histogram([3, 1, 1, 0], [0, 1, 1, 2])


def test_auc_counts_pairs_in_order_with_ties_at_half() -> None:
    # Positive in bin 1: 3 below + ½; in bin 2: 4 + ½; two in bin 3: 5 each. (3.5 + 4.5 + 10) / (4 · 5) = .9
    assert auc(EXAMPLE) == 0.9


def test_average_precision_is_recall_rise_times_precision() -> None:
    # From above: bin 3: ½ · 2/2; bin 2: ¼ · 3/4; bin 1: ¼ · 4/6.
    assert average_precision(EXAMPLE) == pytest.approx(0.5 + 0.25 * 0.75 + 0.25 * 4 / 6, abs=1e-15)


def test_scores_all_in_one_bin_give_an_auc_of_one_half() -> None:
    assert auc(histogram([4], [7])) == 0.5


def test_what_lies_on_the_edge_or_above_is_called_positive() -> None:
    at = confusion_at(EXAMPLE, 2)
    counts = (at.true_positive, at.false_positive, at.false_negative, at.true_negative)
    assert [int(count) for count in counts] == [3, 1, 1, 4]
    assert metrics.sensitivity(at) == metrics.precision(at) == metrics.f1(at) == 0.75
    assert metrics.specificity(at) == 0.8
    assert metrics.accuracy(at) == pytest.approx(7 / 9)


def test_every_metric_is_the_same_alone_and_among_replicates() -> None:
    rng = np.random.default_rng(0)
    found = score_statistics(
        rng.normal(0, 2, 60), rng.integers(0, 2, 60), rng.integers(0, 9, 60), num_replicates=25, rng=rng
    )
    for name in METRICS:
        _, together = point_and_replicates(name, found, 240)
        for replicate in range(25):
            alone = ScoreStatistics(
                found.replicates_RCK[replicate].astype(np.int64),
                float(found.squared_error_R[replicate]),
                9,
                found.replicates_RCK[:0],
                found.squared_error_R[:0],
            )
            value, _ = point_and_replicates(name, alone, 240)
            assert value == together[replicate] or (math.isnan(value) and math.isnan(together[replicate])), name


def test_the_constant_answer_on_the_tutorials_label_is_known() -> None:
    # 883 of 1018 scans positive: always saying so has an accuracy of .867 and an F1 of .929.
    at = confusion_at(histogram([0, 135], [0, 883]), 1)
    assert round(float(metrics.accuracy(at)), 3) == 0.867 and round(float(metrics.f1(at)), 3) == 0.929
    assert metrics.specificity(at) == 0.0


@pytest.mark.parametrize(
    ("negatives", "positives", "undefined"),
    [
        ([2, 1], [], {"auc", "auprc", "sensitivity", "recall", "precision", "f1"}),
        ([], [2, 1], {"auc", "auprc", "specificity"}),
        ([2], [3], {"precision"}),
        ([], [], set(METRICS)),
    ],
)
def test_what_is_undefined_is_nan_with_a_reason_and_nothing_else_is(
    negatives: list[int], positives: list[int], undefined: set[str]
) -> None:
    found = of(negatives, positives)
    for name in METRICS:
        value, replicates = point_and_replicates(name, found, 1)
        assert math.isnan(value) == math.isnan(replicates[0]) == (name in undefined), name
        if name in undefined:
            assert why_undefined(name, found, 1)


def test_the_reasons_name_the_class_that_is_missing() -> None:
    assert why_undefined("auc", of([1], []), 1) == "no positive examples"
    assert why_undefined("auc", of([], [1]), 1) == "no negative examples"
    assert why_undefined("specificity", of([], [1]), 1) == "no negative examples"
    assert why_undefined("precision", of([1], [1]), 1) == "nothing was called positive"
    assert why_undefined("f1", of([1], [1]), None) == "no threshold could be frozen"
    assert why_undefined("brier", of([], []), 1) == "no examples"


def test_without_a_threshold_only_the_metrics_that_need_one_are_undefined() -> None:
    found = of([3, 1], [1, 3])
    undefined = {name for name in METRICS if math.isnan(point_and_replicates(name, found, None)[0])}
    assert undefined == {"sensitivity", "specificity", "accuracy", "precision", "recall", "f1"}


def test_the_threshold_between_separated_scores_is_in_the_middle() -> None:
    counts = np.zeros((2, NUM_BINS), np.int64)
    counts[0, 100], counts[1, 110] = 5, 5
    found = ScoreStatistics(counts, 0.0, 10, np.zeros((0, 2, NUM_BINS), np.int32), np.zeros(0))
    # Edges 101..110 all separate them; the middle one (the lower of two) is 105.
    assert choose_threshold(found, "youden") == choose_threshold(found, "f1") == 105


@pytest.mark.parametrize("rule", ["youden", "f1"])
def test_no_edge_is_better_than_the_chosen_one(rule: str) -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 200)
    found = score_statistics(
        rng.normal(1.5 * labels, 1), labels, np.arange(200), num_replicates=0, rng=np.random.default_rng(0)
    )

    def score(edge: int) -> float:
        at = confusion_at(found.histogram_CK, edge)
        return float(metrics.f1(at) if rule == "f1" else metrics.sensitivity(at) + metrics.specificity(at) - 1)

    chosen = choose_threshold(found, rule)
    assert chosen is not None
    assert score(chosen) == pytest.approx(max(score(edge) for edge in range(1, NUM_BINS)), abs=1e-12)


def test_one_class_alone_gives_no_threshold() -> None:
    assert choose_threshold(of([], [3, 2]), "youden") is None
    assert choose_threshold(of([3, 2], []), "f1") is None


def test_the_edge_in_the_middle_is_a_probability_of_one_half() -> None:
    assert probability_of(NUM_BINS // 2) == 0.5


def test_the_roc_curve_keeps_its_corners_and_loses_what_lies_on_a_line() -> None:
    # From above: bin 3 (0, ½), bin 2 (.2, .75), bin 1 (.4, 1), bin 0 (1, 1); (.2, .75) lies on the line.
    assert roc_points(EXAMPLE) == [(0.0, 0.0), (0.0, 0.5), (0.4, 1.0), (1.0, 1.0)]
    assert roc_points(histogram([1], [])) == []


def test_a_long_roc_curve_is_thinned_with_its_ends_kept() -> None:
    counts = np.random.default_rng(0).integers(0, 9, (2, NUM_BINS))
    points = roc_points(counts, max_points=20)
    assert len(points) == 20 and points[0] == (0.0, 0.0) and points[-1] == (1.0, 1.0)
