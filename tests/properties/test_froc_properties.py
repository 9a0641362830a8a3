"""Detections against references that are slow and plain, however the scans are spread over sites."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlung.ct.nodule import Nodule
from fedlung.evaluation.detection.candidates import Candidates, spread_out
from fedlung.evaluation.detection.froc import FALSE_POSITIVES_PER_SCAN, froc_point_and_replicates, froc_points
from fedlung.evaluation.detection.matching import ScanHits, match_candidates
from fedlung.evaluation.detection.statistics import (
    DetectionStatistics,
    add_detections,
    detection_statistics,
)
from fedlung.evaluation.statistics import bin_of

READERS = 3

place = st.tuples(*[st.integers(0, 6)] * 3)
mark = st.tuples(place, st.floats(-14, 14, allow_nan=False) | st.integers(-2, 2).map(float))
finding = st.tuples(place, st.sampled_from([2.0, 3.0, 5.0, 7.5]), st.integers(1, 4))


@dataclass(frozen=True)
class Scan:
    """Marks (place, score) and findings (place, diameter, readers) of one scan of a patient."""

    patient: int
    marks: list[tuple[tuple[int, int, int], float]]
    findings: list[tuple[tuple[int, int, int], float, int]]


scans_of_patients = st.lists(
    st.builds(Scan, st.integers(0, 5), st.lists(mark, max_size=6), st.lists(finding, max_size=4)), max_size=8
)


def hits_of(scan: Scan) -> ScanHits:
    marks = sorted(scan.marks, key=lambda one: -one[1])
    center_mm_N3 = np.array([where for where, _ in marks], dtype=float).reshape(-1, 3)
    candidates = Candidates(np.array([score for _, score in marks]), center_mm_N3, center_mm_N3)
    findings = [Nodule(where, diameter, readers=readers) for where, diameter, readers in scan.findings]
    return match_candidates(candidates, findings, readers=READERS)


def statistics_of(scans: list[Scan], *, num_replicates: int = 0, seed: int = 0) -> DetectionStatistics:
    rng = np.random.default_rng(seed)
    patients = [scan.patient for scan in scans]
    return detection_statistics([hits_of(scan) for scan in scans], patients, num_replicates=num_replicates, rng=rng)


def raw_events(scan: Scan) -> tuple[list[float], list[float], int]:
    """Scores of found nodules and of false positives, and all relevant nodules, mark by mark and finding by finding."""
    found, num_nodules, left = [], 0, list(range(len(scan.marks)))
    for where, diameter, readers in scan.findings:
        is_relevant = readers >= READERS and diameter >= 3.0
        num_nodules += is_relevant
        scores = []
        for number, (mark_at, score) in enumerate(scan.marks):
            squared = sum((a - b) ** 2 for a, b in zip(mark_at, where, strict=True))
            if squared < (diameter / 2) ** 2:
                scores.append(score)
                if number in left:
                    left.remove(number)
        if is_relevant and scores:
            found.append(max(scores))
    return found, [scan.marks[number][1] for number in left], num_nodules


def plain_froc(scans: list[Scan]) -> list[tuple[float, float]]:
    """(false positives a scan, sensitivity) at every threshold on the binned scores of the pooled scans."""
    found, false, num_nodules = [], [], 0
    for scan in scans:
        own_found, own_false, own_nodules = raw_events(scan)
        found += [int(bin_of(np.array(score))) for score in own_found]
        false += [int(bin_of(np.array(score))) for score in own_false]
        num_nodules += own_nodules
    points = [(0.0, 0.0)]
    for threshold in sorted({*found, *false}, reverse=True):
        called = [sum(score >= threshold for score in scores) for scores in (false, found)]
        points.append((called[0] / len(scans), called[1] / num_nodules))
    return points


def on_the_line(points: list[tuple[float, float]], rate: float) -> float:
    """The curve's height at a rate: the highest point there, or between the two points around it."""
    if rate >= points[-1][0]:
        return points[-1][1]
    before = max(point for point in points if point[0] <= rate)
    behind = min(point for point in points if point[0] > rate)
    share = (rate - before[0]) / (behind[0] - before[0])
    return before[1] + share * (behind[1] - before[1])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(scans_of_patients, st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_the_froc_of_merged_sites_is_the_plain_one_of_the_pooled_candidates(
    scans: list[Scan], site_of_patient: list[int]
) -> None:
    sites = [[scan for scan in scans if site_of_patient[scan.patient] == site] for site in range(4)]
    merged = add_detections([statistics_of(own) for own in sites])
    assert (merged.num_scans, merged.num_patients) == (len(scans), len({scan.patient for scan in scans}))
    assert merged.num_nodules == sum(raw_events(scan)[2] for scan in scans)
    cpm = froc_point_and_replicates("cpm", merged, None)[0]
    if not merged.num_nodules:
        assert np.isnan(cpm)
        return
    plain = plain_froc(scans)
    sensitivities = [on_the_line(plain, rate) for rate in FALSE_POSITIVES_PER_SCAN]
    for rate, expected in zip(FALSE_POSITIVES_PER_SCAN, sensitivities, strict=True):
        found = froc_point_and_replicates(f"sensitivity_at_{rate:g}", merged, None)[0]
        assert np.isclose(found, expected, rtol=1e-12, atol=1e-12)
    assert np.isclose(cpm, sum(sensitivities) / 7, rtol=1e-12, atol=1e-12)
    assert set(froc_points(merged, max_points=1000)) <= set(plain)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(scans_of_patients, st.integers(0, 400))
def test_at_a_threshold_nodules_and_false_positives_are_counted_one_by_one(scans: list[Scan], edge: int) -> None:
    events = [raw_events(scan) for scan in scans]
    found, false = (
        sum(bin_of(np.array(score)) >= edge for event in events for score in event[kind]) for kind in (0, 1)
    )
    statistics = statistics_of(scans)
    for name, count, total in (
        ("sensitivity", found, sum(event[2] for event in events)),
        ("false_positives_per_scan", false, len(scans)),
    ):
        value = froc_point_and_replicates(name, statistics, edge)[0]
        assert value == count / total if total else np.isnan(value)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(scans_of_patients, scans_of_patients, scans_of_patients)
def test_adding_is_associative_and_commutative_in_every_number(a: list[Scan], b: list[Scan], c: list[Scan]) -> None:
    x, y, z = (statistics_of(scans, num_replicates=5, seed=seed) for seed, scans in enumerate((a, b, c)))
    left = (x + y) + z
    for other in (x + (y + z), (z + y) + x):
        assert all(np.array_equal(value, getattr(other, name)) for name, value in vars(left).items())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(scans_of_patients, st.integers(0, 6))
def test_the_form_on_the_wire_is_lossless(scans: list[Scan], num_replicates: int) -> None:
    whole = statistics_of(scans, num_replicates=num_replicates)
    again = DetectionStatistics.from_arrays(whole.to_arrays())
    for name, value in vars(whole).items():
        assert np.array_equal(getattr(again, name), value), name
        assert np.asarray(getattr(again, name)).dtype == np.asarray(value).dtype, name


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(place, max_size=25), st.integers(0, 30), st.integers(0, 10))
def test_suppression_is_the_plain_greedy_one(places: list[tuple[int, int, int]], squared: int, most: int) -> None:
    """Squared distances of whole millimetres and a bound between two whole numbers: no rounding decides."""
    kept: list[int] = []
    for number, one in enumerate(places):
        apart = [sum((a - b) ** 2 for a, b in zip(one, places[other], strict=True)) for other in kept]
        if len(kept) < most and all(distance > squared + 0.5 for distance in apart):
            kept.append(number)
    points_N3 = np.array(places, dtype=float).reshape(-1, 3)
    found = spread_out(points_N3, min_distance_mm=float(np.sqrt(squared + 0.5)), most=most)
    assert found.tolist() == kept
