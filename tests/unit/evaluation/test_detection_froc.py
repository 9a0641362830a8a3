"""FROC, sensitivity at a number of false positives a scan, and CPM, on sites that are worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fedlung.evaluation.detection.froc import (
    DETECTION_METRICS,
    FALSE_POSITIVES_PER_SCAN,
    edge_for_rate,
    froc_estimate,
    froc_point_and_replicates,
    froc_points,
)
from fedlung.evaluation.detection.matching import ScanHits
from fedlung.evaluation.detection.statistics import DetectionStatistics, detection_statistics
from fedlung.evaluation.statistics import LOGIT_EDGES, NUM_BINS


def site(
    found: list[float],
    false: list[float],
    *,
    missed: int = 0,
    num_scans: int = 4,
    num_replicates: int = 0,
) -> DetectionStatistics:
    """A patient a scan; nodules and false positives are dealt to the scans in turn."""
    scans = []
    for number in range(num_scans):
        own_false = np.array(false[number::num_scans])
        own_found = np.array([*found, *[-np.inf] * missed][number::num_scans])
        all_false = np.ones(len(own_false), dtype=bool)
        scans.append(ScanHits(own_found, all_false, ~all_false, own_false))
    rng = np.random.default_rng(0)
    return detection_statistics(scans, range(num_scans), num_replicates=num_replicates, rng=rng)


def value(name: str, statistics: DetectionStatistics, edge: int | None = None) -> float:
    return froc_point_and_replicates(name, statistics, edge)[0]


# Four scans, five nodules, by falling score: found 5, false 4, found 3, false 2, false 1, false 1, found 0; two missed.
WORKED = site([5.0, 3.0, 0.0], [4.0, 2.0, 1.0, 1.0], missed=2)


def test_the_curve_is_the_one_worked_by_hand() -> None:
    expected = [(0.0, 0.0), (0.0, 0.2), (0.25, 0.2), (0.25, 0.4), (1.0, 0.4), (1.0, 0.6)]
    np.testing.assert_allclose(froc_points(WORKED), expected)


def test_sensitivity_is_the_highest_at_the_rate_and_interpolated_between_thresholds() -> None:
    """At 1/8 a scan the curve is flat between 0 and 1/4; at 1/4 it has just jumped; beyond the end it stays."""
    expected = [0.2, 0.4, 0.4, 0.6, 0.6, 0.6, 0.6]
    found = [value(f"sensitivity_at_{rate:g}", WORKED) for rate in FALSE_POSITIVES_PER_SCAN]
    assert found == expected
    assert value("cpm", WORKED) == pytest.approx(np.mean(expected), abs=1e-15)


def test_scores_of_one_bin_are_tied_and_joined_by_a_straight_line() -> None:
    """One bin with two of two nodules and four false positives in four scans: at 1/8 of 1 a scan, 1/8 of 1."""
    tied = site([1.01, 1.02], [1.01, 1.02, 1.03, 1.04])
    assert froc_points(tied) == [(0.0, 0.0), (1.0, 1.0)]
    assert [value(f"sensitivity_at_{rate:g}", tied) for rate in (0.125, 0.5, 1.0, 2.0)] == [0.125, 0.5, 1.0, 1.0]


def test_scores_beyond_the_limit_are_tied_and_the_curve_still_begins_where_nothing_is_called() -> None:
    saturated = site([20.0, 30.0], [13.0, 14.0, 15.0, 16.0])
    assert froc_points(saturated) == [(0.0, 0.0), (1.0, 1.0)]
    assert value("sensitivity_at_0.25", saturated) == 0.25


def test_a_perfect_detector_has_a_cpm_of_one_and_a_blind_one_of_zero() -> None:
    assert value("cpm", site([3.0, 2.0], [])) == 1.0
    assert value("cpm", site([], [3.0, 2.0], missed=2)) == 0.0
    assert value("cpm", site([], [], missed=2)) == 0.0
    assert froc_points(site([], [], missed=2)) == [(0.0, 0.0)]


def test_at_a_frozen_threshold_sensitivity_and_false_positives_are_those_at_or_above_it() -> None:
    edge = int(np.flatnonzero(np.isclose(LOGIT_EDGES, 1.0))[0])
    assert value("sensitivity", WORKED, edge) == pytest.approx(2 / 5)
    assert value("false_positives_per_scan", WORKED, edge) == 1.0
    assert value("sensitivity", WORKED, edge + 1) == pytest.approx(2 / 5)
    assert value("false_positives_per_scan", WORKED, edge + 1) == 0.5


def test_the_threshold_for_a_rate_is_the_lowest_that_keeps_to_it() -> None:
    for rate, false_above in ((0.25, 1), (0.5, 2), (0.9, 2), (1.0, 4)):
        edge = edge_for_rate(WORKED, rate)
        assert edge is not None
        assert value("false_positives_per_scan", WORKED, edge) == false_above / 4
        assert edge == 1 or value("false_positives_per_scan", WORKED, edge - 1) > rate
    assert edge_for_rate(WORKED, 100.0) == 1
    assert edge_for_rate(site([], [50.0]), 0.1) is None
    assert edge_for_rate(site([], [], num_scans=0), 1.0) is None


def test_what_is_undefined_says_why() -> None:
    no_scans, no_nodules = site([], [], num_scans=0), site([], [1.0, 2.0])
    for name in DETECTION_METRICS:
        nothing = froc_estimate(name, no_scans, 240, confidence=0.95)
        assert (nothing.value, nothing.reason) == (None, "no scans")
        without = froc_estimate(name, no_nodules, 240, confidence=0.95)
        if name == "false_positives_per_scan":
            assert without.value == 0.5
        else:
            assert (without.value, without.reason) == (None, "no nodules to be found")
    for name in ("sensitivity", "false_positives_per_scan"):
        assert froc_estimate(name, WORKED, None, confidence=0.95).reason == "no threshold could be frozen"
    assert froc_points(no_scans) == froc_points(no_nodules) == []


def test_intervals_are_the_quantiles_of_the_metric_of_each_replicate() -> None:
    rng = np.random.default_rng(5)
    large = site(
        rng.normal(2, 1, 60).tolist(), rng.normal(0, 1, 90).tolist(), missed=9, num_scans=30, num_replicates=200
    )
    replicas = [
        DetectionStatistics(
            large.replicates_RCK[replicate].astype(np.int64),
            int(large.num_missed_R[replicate]),
            int(large.num_scans_R[replicate]),
            1,
            *(array[:0] for array in (large.replicates_RCK, large.num_missed_R, large.num_scans_R)),
        )
        for replicate in range(200)
    ]
    for name in DETECTION_METRICS:
        found = froc_estimate(name, large, 250, confidence=0.9)
        values = [value(name, replica, 250) for replica in replicas]
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, (0.05, 0.95))), abs=1e-12), name
        assert found.reason is None and found.low < found.value < found.high


def test_a_replicate_without_a_nodule_is_undefined_and_few_patients_have_no_interval() -> None:
    one_nodule = site([2.0], [1.0, 0.0], num_scans=20, num_replicates=100)
    found = froc_estimate("cpm", one_nodule, None, confidence=0.95)
    assert found.num_undefined == int((one_nodule.replicates_RCK[:, 1].sum(axis=1) == 0).sum()) > 5
    assert found.low is None and "undefined in" in str(found.reason)
    few = froc_estimate("cpm", site([2.0], [1.0], num_replicates=100), None, confidence=0.95)
    assert (few.low, few.reason) == (None, "too few patients for an interval (4)")


def test_a_long_curve_is_thinned_with_its_ends_kept() -> None:
    rng = np.random.default_rng(0)
    long = site(rng.normal(1, 2, 300).tolist(), rng.normal(0, 2, 300).tolist(), missed=100)
    whole, thin = froc_points(long, max_points=NUM_BINS), froc_points(long, max_points=16)
    assert len(whole) > 16 == len(thin)
    assert set(thin) <= set(whole)
    assert (thin[0], thin[-1]) == (whole[0], whole[-1]) == ((0.0, 0.0), (75.0, 0.75))
