"""Thresholds chosen on validation, of hand-worked histograms."""

from __future__ import annotations

import numpy as np
import pytest

from fedlung.evaluation import metrics
from fedlung.evaluation.metrics import confusion_at
from fedlung.evaluation.statistics import NUM_BINS, ScoreStatistics, score_statistics
from fedlung.evaluation.thresholds import choose_operating_point, choose_threshold, probability_of


def of(negatives: dict[int, int], positives: dict[int, int]) -> ScoreStatistics:
    """Counts by bin."""
    counts = np.zeros((2, NUM_BINS), np.int64)
    for label, by_bin in enumerate((negatives, positives)):
        for number, count in by_bin.items():
            counts[label, number] = count
    return ScoreStatistics(counts, 0.0, int(counts.sum()), np.zeros((0, 2, NUM_BINS), np.int32), np.zeros(0))


def test_the_threshold_between_separated_scores_is_in_the_middle() -> None:
    found = of({100: 5}, {110: 5})
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
    assert choose_threshold(of({}, {0: 3, 1: 2}), "youden") is None
    assert choose_threshold(of({0: 3, 1: 2}, {}), "f1") is None


def test_the_edge_in_the_middle_is_a_probability_of_one_half() -> None:
    assert probability_of(NUM_BINS // 2) == 0.5


def test_the_point_of_specificity_90_has_the_highest_sensitivity_that_keeps_it() -> None:
    # Ten negatives. One may lie above: edges 21..60 keep 9 of 10, of these 21..40 find 3 of 4 positives.
    found = of({20: 9, 60: 1}, {10: 1, 40: 1, 70: 2})
    edge = choose_operating_point(found, "spec90")
    assert edge == 30, "the middle of 21..40, the lower of two"
    at = confusion_at(found.histogram_CK, edge)
    assert (metrics.specificity(at), metrics.sensitivity(at)) == (0.9, 0.75)


def test_the_point_of_sensitivity_90_has_the_highest_specificity_that_keeps_it() -> None:
    found = of({10: 2, 30: 1, 70: 1}, {20: 1, 60: 9})
    edge = choose_operating_point(found, "sens90")
    assert edge == 45, "the middle of 31..60, the lower of two"
    at = confusion_at(found.histogram_CK, edge)
    assert (metrics.sensitivity(at), metrics.specificity(at)) == (0.9, 0.75)


def test_of_equal_sensitivities_the_higher_specificity_is_taken() -> None:
    # Edges 21..100 all find every positive; from 51 on every negative is called right as well.
    assert choose_operating_point(of({20: 19, 50: 1}, {100: 5}), "spec90") == 75


def test_an_operating_point_that_no_edge_reaches_and_one_of_one_class_are_none() -> None:
    top = NUM_BINS - 1
    assert choose_operating_point(of({top: 5, 0: 5}, {top: 5}), "spec90") is None
    assert choose_operating_point(of({0: 5}, {0: 5, top: 5}), "sens90") is None
    for point in ("spec90", "sens90"):
        assert choose_operating_point(of({0: 5}, {}), point) is None
        assert choose_operating_point(of({}, {0: 5}), point) is None


@pytest.mark.parametrize("point", ["spec90", "sens90"])
def test_no_edge_that_keeps_the_rate_is_better_than_the_operating_point(point: str) -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 300)
    found = score_statistics(rng.normal(1.2 * labels, 1), labels, np.arange(300), num_replicates=0, rng=rng)
    held, sought = metrics.specificity, metrics.sensitivity
    if point == "sens90":
        held, sought = sought, held
    rates = {edge: confusion_at(found.histogram_CK, edge) for edge in range(1, NUM_BINS)}
    chosen = choose_operating_point(found, point)
    assert chosen is not None and held(rates[chosen]) >= 0.9
    assert sought(rates[chosen]) == max(sought(at) for at in rates.values() if held(at) >= 0.9)
