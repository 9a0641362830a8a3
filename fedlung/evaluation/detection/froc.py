"""The free-response ROC from detection histograms, for the point value and for all bootstrap replicates at once.

Sensitivity (found nodules of all nodules) against false positives a scan, over all thresholds. Scores of one bin count
as tied: both counts change together there, and the curve is a straight line. What lies beyond the last threshold, with
every candidate called, keeps its sensitivity.

A histogram has the shape (..., 2, K): class 0 false positives, class 1 found nodules; the leading shape is ``X``. Where
a value is undefined it is nan here, and a null with its reason in a report.

Source: Setio et al., "Validation, comparison, and combination of algorithms for automatic detection of pulmonary
nodules in computed tomography images: The LUNA16 challenge", Med Image Anal 42, 2017, section 3: the seven rates, and
their mean, the competition performance metric (CPM).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedlung.evaluation.detection.statistics import FALSE_POSITIVE, FOUND, DetectionStatistics
from fedlung.evaluation.intervals import interval
from fedlung.evaluation.judgement import Estimate
from fedlung.evaluation.metrics import thinned_corners

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.integer]

FALSE_POSITIVES_PER_SCAN = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
SENSITIVITY_AT_RATE = {f"sensitivity_at_{rate:g}": rate for rate in FALSE_POSITIVES_PER_SCAN}
AT_THRESHOLD = ("sensitivity", "false_positives_per_scan")  # at a threshold that was frozen elsewhere
DETECTION_METRICS = ("cpm", *SENSITIVITY_AT_RATE, *AT_THRESHOLD)


def froc_estimate(name: str, statistics: DetectionStatistics, edge: int | None, *, confidence: float) -> Estimate:
    """One of ``DETECTION_METRICS`` of one site, or of the pooled statistics, with its interval."""
    value, replicates_R = froc_point_and_replicates(name, statistics, edge)
    return interval(
        value,
        replicates_R,
        confidence=confidence,
        num_patients=statistics.num_patients,
        why=why_no_froc(name, statistics, edge),
    )


def froc_point_and_replicates(name: str, statistics: DetectionStatistics, edge: int | None) -> tuple[float, Floats]:
    """A metric's value and its bootstrap replicates_R; nan where undefined. ``edge`` None: no threshold is known."""
    missed, scans = np.array(statistics.num_missed), np.array(statistics.num_scans)
    point = _values(name, statistics.histogram_CK, missed, scans, edge)
    return float(point), _values(name, statistics.replicates_RCK, statistics.num_missed_R, statistics.num_scans_R, edge)


def why_no_froc(name: str, statistics: DetectionStatistics, edge: int | None) -> str:
    """The reason, in words, why ``name`` has no value for these statistics."""
    if not statistics.num_scans:
        return "no scans"
    if name in AT_THRESHOLD and edge is None:
        return "no threshold could be frozen"
    return "no nodules to be found"


def sensitivities_at(
    rates_Q: npt.ArrayLike, histogram_XCK: Counts, num_missed_X: Counts, num_scans_X: Counts
) -> Floats:
    """(X, Q) sensitivity at each number of false positives a scan, interpolated linearly between thresholds.

    At a number that a threshold reaches exactly it is the highest sensitivity there.
    """
    called_XCK = _called(histogram_XCK)
    wanted_XQ = np.asarray(rates_Q, dtype=np.float64) * num_scans_X[..., None]
    found_XQ = np.empty(wanted_XQ.shape)
    for row in np.ndindex(num_scans_X.shape):
        # In counts: at a power of two of false positives a scan no sum is rounded.
        found_XQ[row] = np.interp(wanted_XQ[row], called_XCK[row][FALSE_POSITIVE], called_XCK[row][FOUND])
    return _ratio(found_XQ, _num_nodules(histogram_XCK, num_missed_X)[..., None])


def froc_points(statistics: DetectionStatistics, *, max_points: int = 64) -> list[tuple[float, float]]:
    """(false positives a scan, sensitivity) from (0, 0) on, the corners of the curve; [] where it is undefined.

    Where there are more corners than ``max_points`` they are thinned evenly, ends kept.
    """
    if not statistics.num_nodules:
        return []
    called_CK = _called(statistics.histogram_CK)
    called_CK = called_CK[:, np.concatenate([[True], np.diff(called_CK).any(axis=0)])]
    kept = thinned_corners(called_CK[FALSE_POSITIVE], called_CK[FOUND], max_points)
    rates = called_CK[FALSE_POSITIVE, kept] / statistics.num_scans
    return list(zip(rates.tolist(), (called_CK[FOUND, kept] / statistics.num_nodules).tolist(), strict=True))


def edge_for_rate(statistics: DetectionStatistics, rate: float) -> int | None:
    """The lowest inner bin edge at which there are at most ``rate`` false positives a scan: a threshold to be frozen.

    None without scans, and where the highest bin alone has more.
    """
    if not statistics.num_scans:
        return None
    num_above = np.cumsum(statistics.histogram_CK[FALSE_POSITIVE, ::-1])[::-1][1:]  # at the inner edges 1 .. K - 1
    good = np.flatnonzero(num_above <= rate * statistics.num_scans)
    return int(good[0]) + 1 if len(good) else None


def _values(name: str, histogram_XCK: Counts, num_missed_X: Counts, num_scans_X: Counts, edge: int | None) -> Floats:
    if name == "cpm":
        return sensitivities_at(FALSE_POSITIVES_PER_SCAN, histogram_XCK, num_missed_X, num_scans_X).mean(axis=-1)
    if name in SENSITIVITY_AT_RATE:
        return sensitivities_at([SENSITIVITY_AT_RATE[name]], histogram_XCK, num_missed_X, num_scans_X)[..., 0]
    if edge is None:
        return np.full(num_scans_X.shape, np.nan)
    called_XC = histogram_XCK[..., edge:].sum(axis=-1)
    if name == "sensitivity":
        return _ratio(called_XC[..., FOUND], _num_nodules(histogram_XCK, num_missed_X))
    return _ratio(called_XC[..., FALSE_POSITIVE], num_scans_X)


def _called(histogram_XCK: Counts) -> Counts:
    """(..., 2, K + 1) candidates called at each threshold, from none (nothing is called) down to the lowest bin."""
    called = np.cumsum(histogram_XCK[..., ::-1], axis=-1, dtype=np.int64)
    return np.concatenate([np.zeros_like(called[..., :1]), called], axis=-1)


def _num_nodules(histogram_XCK: Counts, num_missed_X: Counts) -> Counts:
    return histogram_XCK[..., FOUND, :].sum(axis=-1, dtype=np.int64) + num_missed_X


def _ratio(numerator: Counts | Floats, denominator: Counts) -> Floats:
    """numerator / denominator, nan where the denominator is 0."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)
