"""Metrics of hand-worked histograms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedlung.evaluation import metrics
from fedlung.evaluation.measured import METRICS, Frozen, Measured
from fedlung.evaluation.metrics import auc, average_precision, confusion_at, roc_points
from fedlung.evaluation.statistics import NUM_BINS, ScoreStatistics, score_statistics


def histogram(negatives: list[int], positives: list[int]) -> np.ndarray:
    """Counts in the lowest bins, the rest empty."""
    counts = np.zeros((2, NUM_BINS), np.int64)
    counts[0, : len(negatives)], counts[1, : len(positives)] = negatives, positives
    return counts


def of(negatives: list[int], positives: list[int]) -> ScoreStatistics:
    counts = histogram(negatives, positives)
    return ScoreStatistics(counts, 0.0, int(counts.sum()), counts[None].astype(np.int32), np.zeros(1))


FROZEN = Frozen(chosen=240, spec90=250, sens90=230, prevalence=0.3)
FITTED = ("calibration_slope", "calibration_intercept")
SPECIFICITIES = {"specificity", "specificity_at_spec90", "specificity_at_sens90"}

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
        together = Measured(found, FROZEN).value(name).replicates_R
        for replicate in range(25):
            alone = ScoreStatistics(
                found.replicates_RCK[replicate].astype(np.int64),
                float(found.squared_error_R[replicate]),
                9,
                found.replicates_RCK[:0],
                found.squared_error_R[:0],
            )
            value = Measured(alone, FROZEN).value(name).point
            within = 1e-9 if name in FITTED else 0.0
            assert value == pytest.approx(together[replicate], rel=within, abs=within, nan_ok=True), name


def test_the_constant_answer_on_the_tutorials_label_is_known() -> None:
    # 883 of 1018 scans positive: always saying so has an accuracy of .867 and an F1 of .929.
    at = confusion_at(histogram([0, 135], [0, 883]), 1)
    assert round(float(metrics.accuracy(at)), 3) == 0.867 and round(float(metrics.f1(at)), 3) == 0.929
    assert metrics.specificity(at) == 0.0


@pytest.mark.parametrize(
    ("negatives", "positives", "undefined"),
    [
        ([2, 1], [], set(METRICS) - {"accuracy", "brier", "ece"} - SPECIFICITIES),
        ([], [2, 1], {"auc", "auprc", "auprc_adjusted", "precision_adjusted", *FITTED, *SPECIFICITIES}),
        ([2], [3], {"precision", "precision_adjusted", *FITTED}),
        ([2, 1], [0, 3], set(FITTED)),
        ([], [], set(METRICS)),
    ],
)
def test_what_is_undefined_is_nan_with_a_reason_and_nothing_else_is(
    negatives: list[int], positives: list[int], undefined: set[str]
) -> None:
    found = of(negatives, positives)
    for name in METRICS:
        value, replicates = Measured(found, Frozen(1, 1, 1, 0.5)).value(name)
        assert math.isnan(value) == math.isnan(replicates[0]) == (name in undefined), name
        if name in undefined:
            assert Measured(found, Frozen(1, 1, 1, 0.5)).why_undefined(name)


def test_the_reasons_name_the_class_that_is_missing() -> None:
    def why(name: str, found: ScoreStatistics, frozen: Frozen = FROZEN) -> str:
        return Measured(found, frozen).why_undefined(name)

    assert why("auc", of([1], [])) == "no positive examples"
    assert why("auc", of([], [1])) == why("specificity_at_sens90", of([], [1])) == "no negative examples"
    assert why("calibration_slope", of([], [1])) == "no negative examples"
    assert why("precision", of([1], [1])) == "nothing was called positive"
    assert why("brier", of([], [])) == "no examples"


def test_the_reasons_name_what_could_not_be_frozen() -> None:
    found = Measured(of([1], [1]), Frozen())
    for name in ("f1", "precision_adjusted", "sensitivity_at_spec90", "specificity_at_sens90"):
        assert found.why_undefined(name) == "no threshold could be frozen"
    assert found.why_undefined("auprc_adjusted") == "no reference prevalence: validation has one class only"
    assert Measured(of([1], [1]), Frozen(chosen=1)).why_undefined("precision_adjusted").startswith("no reference")


def test_with_nothing_frozen_only_the_metrics_that_need_it_are_undefined() -> None:
    found = Measured(of([3, 1], [1, 3]))
    defined = {name for name in METRICS if found.is_defined(name)}
    assert defined == {"auc", "auprc", "brier", "ece", *FITTED}


def test_the_calibration_errors_interval_is_about_the_error_that_is_shown() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 100)
    found = Measured(score_statistics(rng.normal(labels, 1), labels, np.arange(100) // 4, num_replicates=200, rng=rng))
    plain, moved = found.value("ece"), found.for_interval("ece")
    assert plain.replicates_R.mean() > plain.point + 0.03, "resampling adds to it"
    assert moved.point == plain.point == pytest.approx(moved.replicates_R.mean(), abs=2e-3)
    assert found.for_interval("auc") == found.value("auc")


def test_precision_carried_over_to_another_prevalence_is_bayes_rule() -> None:
    # Edge 2: sensitivity 3/4, specificity 4/5. At π = .1: .075 / (.075 + .9 · .2) = 5/17.
    at = confusion_at(EXAMPLE, 2)
    assert metrics.precision_at(at, 0.1) == pytest.approx(5 / 17, abs=1e-15)
    assert metrics.precision_at(at, 4 / 9) == pytest.approx(metrics.precision(at), abs=1e-15)


def test_average_precision_carried_over_weighs_the_classes_to_the_prevalence() -> None:
    # At the sample's own prevalence it is average precision itself; with every negative twice it is that at 4/14.
    twice = np.stack([2 * EXAMPLE[0], EXAMPLE[1]])
    assert metrics.average_precision_at(EXAMPLE, 4 / 9) == pytest.approx(average_precision(EXAMPLE), abs=1e-15)
    assert metrics.average_precision_at(EXAMPLE, 4 / 14) == pytest.approx(average_precision(twice), abs=1e-15)


def test_a_useless_score_has_the_prevalence_as_its_average_precision_carried_over() -> None:
    assert metrics.average_precision_at(histogram([4], [7]), 0.2) == pytest.approx(0.2, abs=1e-15)


def test_the_roc_curve_keeps_its_corners_and_loses_what_lies_on_a_line() -> None:
    # From above: bin 3 (0, ½), bin 2 (.2, .75), bin 1 (.4, 1), bin 0 (1, 1); (.2, .75) lies on the line.
    assert roc_points(EXAMPLE) == [(0.0, 0.0), (0.0, 0.5), (0.4, 1.0), (1.0, 1.0)]
    assert roc_points(histogram([1], [])) == []


def test_a_long_roc_curve_is_thinned_with_its_ends_kept() -> None:
    counts = np.random.default_rng(0).integers(0, 9, (2, NUM_BINS))
    points = roc_points(counts, max_points=20)
    assert len(points) == 20 and points[0] == (0.0, 0.0) and points[-1] == (1.0, 1.0)
