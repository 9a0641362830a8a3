"""Intervals: what they are, when there is none, and that they cover."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedlung.evaluation.intervals import estimate, interval, mean_over_sites, why_no_interval
from fedlung.evaluation.measured import Measured, Value
from fedlung.evaluation.statistics import score_statistics

NAN = math.nan


def test_the_interval_is_the_percentiles_of_the_replicates() -> None:
    found = interval(0.5, np.arange(101) / 100, confidence=0.9, num_patients=30, why="")
    assert (found.value, found.low, found.high) == (0.5, pytest.approx(0.05), pytest.approx(0.95))
    assert found.reason is None and found.num_undefined == 0


def test_up_to_five_percent_of_undefined_replicates_are_left_out_and_counted() -> None:
    replicates = np.array([NAN] * 5 + [0.7] * 95)
    found = interval(0.7, replicates, confidence=0.95, num_patients=30, why="")
    assert (found.low, found.high, found.num_undefined) == (0.7, 0.7, 5)


def test_above_five_percent_of_undefined_replicates_there_is_no_interval() -> None:
    found = interval(0.7, np.array([NAN] * 6 + [0.7] * 94), confidence=0.95, num_patients=30, why="")
    assert found.value == 0.7 and found.low is None and found.high is None
    assert found.reason is not None and "6 of 100" in found.reason


def test_without_replicates_there_is_a_value_and_no_interval() -> None:
    found = interval(0.7, np.empty(0), confidence=0.95, num_patients=30, why="")
    assert found.value == 0.7 and found.low is None and "no bootstrap replicates" in str(found.reason)


def test_an_undefined_value_has_its_reason_and_no_interval() -> None:
    found = interval(NAN, np.array([NAN, 0.4]), confidence=0.95, num_patients=30, why="no negative examples")
    assert (found.value, found.low, found.reason) == (None, None, "no negative examples")


@pytest.mark.parametrize("num_patients", [5, 9])
def test_an_interval_of_few_patients_is_kept_and_marked(num_patients: int) -> None:
    found = interval(0.5, np.arange(101) / 100, confidence=0.9, num_patients=num_patients, why="")
    assert (found.low, found.high) == (pytest.approx(0.05), pytest.approx(0.95))
    assert found.reason == f"few patients ({num_patients}): the interval is likely too narrow"


def test_below_five_patients_there_is_no_interval() -> None:
    found = interval(0.5, np.arange(101) / 100, confidence=0.9, num_patients=3, why="")
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert found.reason == "too few patients for an interval (3)"


def test_from_ten_patients_on_an_interval_is_not_marked() -> None:
    assert interval(0.5, np.arange(101) / 100, confidence=0.9, num_patients=10, why="").reason is None


def test_a_site_with_two_positive_patients_gets_no_interval() -> None:
    # Both are drawn zero times in exp(-2) = 13.5 % of the replicates.
    labels = np.array([1, 1] + [0] * 20)
    found = estimate(
        "auc",
        Measured(
            score_statistics(
                np.linspace(2, -2, 22), labels, np.arange(22), num_replicates=1000, rng=np.random.default_rng(0)
            )
        ),
        confidence=0.95,
    )
    assert found.value == 1.0 and found.low is None
    assert found.num_undefined == pytest.approx(135, abs=35)


def test_the_mean_over_sites_is_unweighted_and_goes_replicate_by_replicate() -> None:
    value, replicates = mean_over_sites([Value(0.6, np.array([0.5, 0.7])), Value(0.8, np.array([0.9, NAN]))])
    assert value == pytest.approx(0.7)
    assert replicates[0] == pytest.approx(0.7) and math.isnan(replicates[1])
    assert math.isnan(mean_over_sites([])[0])


def test_intervals_by_patient_cover_the_true_auc() -> None:
    """300 small studies of 60 patients, 3 examples each, correlated within the patient; truth: AUC = Φ(d / √2 s)."""
    rng = np.random.default_rng(0)
    # Positives ~ N(1, 1 + ½), negatives ~ N(0, 1 + ½): AUC = Φ(1 / √3) = .718.
    truth, covered = 0.71814, 0
    for _ in range(300):
        labels_P = rng.integers(0, 2, 60)
        logits_PN = labels_P[:, None] + rng.normal(0, 0.5**0.5, (60, 1)) + rng.normal(0, 1, (60, 3))
        statistics = score_statistics(
            logits_PN.ravel(), np.repeat(labels_P, 3), np.repeat(np.arange(60), 3), num_replicates=200, rng=rng
        )
        found = estimate("auc", Measured(statistics), confidence=0.95)
        covered += found.low is not None and found.high is not None and found.low <= truth <= found.high
    assert 0.90 <= covered / 300 <= 0.98


def test_a_sentence_does_not_say_twice_that_there_is_no_interval() -> None:
    bare = interval(0.8, np.empty(0), confidence=0.95, num_patients=30, why="")
    assert bare.reason == "no interval: no bootstrap replicates were asked for"
    assert why_no_interval(bare) == "no bootstrap replicates were asked for"
    few = interval(0.8, np.full(50, 0.8), confidence=0.95, num_patients=3, why="")
    assert why_no_interval(few) == few.reason == "too few patients for an interval (3)"
