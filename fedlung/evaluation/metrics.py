"""Metrics from score histograms, for the point value and for all bootstrap replicates at once.

A histogram has the shape (..., 2, K): class 0 negative, class 1 positive; bins by rising score. Every metric gives an
array of the leading shape ``X``; where it is undefined it is nan here, and a null with its reason in a report, never 0
or 0.5. Scores of one bin count as tied, so that each metric is exactly that of the binned scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from fedlung.evaluation.statistics import LOGIT_EDGES, NUM_BINS, ScoreStatistics

Counts = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]

THRESHOLD_RULES = ("youden", "f1")


@dataclass(frozen=True)
class Confusion:
    """Counts at a threshold, each of the shape X."""

    true_positive: Counts
    false_positive: Counts
    false_negative: Counts
    true_negative: Counts


def auc(histogram_XCK: Counts) -> Floats:
    """Area under the ROC curve: the share of (positive, negative) pairs in order, ties at half (Mann and Whitney)."""
    negative, positive = histogram_XCK[..., 0, :].astype(np.int64), histogram_XCK[..., 1, :].astype(np.int64)
    # Twice the number of negatives below a bin, ties at half: integers, so that no sum is rounded.
    twice_below = 2 * np.cumsum(negative, axis=-1) - negative
    twice_in_order = (positive * twice_below).sum(axis=-1)
    return _ratio(twice_in_order, 2 * positive.sum(axis=-1) * negative.sum(axis=-1))


def average_precision(histogram_XCK: Counts) -> Floats:
    """Area under the precision-recall curve: sum over thresholds of (rise in recall) · precision, not interpolated.

    The definition of scikit-learn's ``average_precision_score``. Without negatives it would be 1 whatever the model
    says, so it is undefined there.
    """
    negative, positive = histogram_XCK[..., 0, ::-1], histogram_XCK[..., 1, ::-1]
    true_positive = np.cumsum(positive, axis=-1)
    called = true_positive + np.cumsum(negative, axis=-1)
    precision = true_positive / np.maximum(called, 1)
    value = _ratio((positive * precision).sum(axis=-1), positive.sum(axis=-1))
    return np.where(negative.sum(axis=-1) > 0, value, np.nan)


def confusion_at(histogram_XCK: Counts, edge: int) -> Confusion:
    """Counts when what lies in bin ``edge`` or above is called positive (logit >= LOGIT_EDGES[edge])."""
    below, above = histogram_XCK[..., :edge].sum(axis=-1), histogram_XCK[..., edge:].sum(axis=-1)
    return Confusion(
        true_positive=above[..., 1],
        false_positive=above[..., 0],
        false_negative=below[..., 1],
        true_negative=below[..., 0],
    )


def sensitivity(at: Confusion) -> Floats:
    """Share of the positives that were called positive; the recall."""
    return _ratio(at.true_positive, at.true_positive + at.false_negative)


def specificity(at: Confusion) -> Floats:
    """Share of the negatives that were called negative."""
    return _ratio(at.true_negative, at.true_negative + at.false_positive)


def accuracy(at: Confusion) -> Floats:
    """Share of the examples that were called right."""
    right = at.true_positive + at.true_negative
    return _ratio(right, right + at.false_positive + at.false_negative)


def precision(at: Confusion) -> Floats:
    """Share of the calls that were right; undefined without a call, and without any positive to be found."""
    value = _ratio(at.true_positive, at.true_positive + at.false_positive)
    return np.where(at.true_positive + at.false_negative > 0, value, np.nan)


def f1(at: Confusion) -> Floats:
    """2 TP / (2 TP + FP + FN); undefined without any positive, as recall is."""
    twice = 2 * at.true_positive
    value = _ratio(twice, twice + at.false_positive + at.false_negative)
    return np.where(at.true_positive + at.false_negative > 0, value, np.nan)


def brier(squared_error_X: Floats, histogram_XCK: Counts) -> Floats:
    """Mean squared difference between probability and label (not binned)."""
    return _ratio(squared_error_X, histogram_XCK.sum(axis=(-2, -1)))


RANKING: dict[str, Callable[[Counts], Floats]] = {"auc": auc, "auprc": average_precision}
AT_THRESHOLD: dict[str, Callable[[Confusion], Floats]] = {
    "sensitivity": sensitivity,
    "specificity": specificity,
    "accuracy": accuracy,
    "precision": precision,
    "recall": sensitivity,
    "f1": f1,
}
METRICS = (*RANKING, *AT_THRESHOLD, "brier")


def point_and_replicates(name: str, statistics: ScoreStatistics, edge: int | None) -> tuple[float, Floats]:
    """A metric's value and its bootstrap replicates_R; nan where undefined. ``edge`` None: no threshold is known."""
    points = _values(name, statistics.histogram_CK, np.float64(statistics.squared_error), edge)
    return float(points), _values(name, statistics.replicates_RCK, statistics.squared_error_R, edge)


def _values(name: str, histogram_XCK: Counts, squared_error_X: Any, edge: int | None) -> Floats:
    if name in RANKING:
        return RANKING[name](histogram_XCK)
    if name == "brier":
        return brier(squared_error_X, histogram_XCK)
    if edge is None:
        return np.full(histogram_XCK.shape[:-2], np.nan)
    return AT_THRESHOLD[name](confusion_at(histogram_XCK, edge))


def why_undefined(name: str, statistics: ScoreStatistics, edge: int | None) -> str:
    """The reason, in words, why ``name`` has no value for these statistics."""
    if not statistics.num_examples:
        return "no examples"
    if name in AT_THRESHOLD and edge is None:
        return "no threshold could be frozen"
    if not statistics.num_positive and name != "specificity":
        return "no positive examples"
    if not statistics.num_negative and name in {*RANKING, "specificity"}:
        return "no negative examples"
    return "nothing was called positive"


def roc_points(histogram_CK: Counts, *, max_points: int = 64) -> list[tuple[float, float]]:
    """(false positive rate, sensitivity) from (0, 0) to (1, 1), the corners of the curve; [] with one class only.

    Where there are more corners than ``max_points`` they are thinned evenly, ends kept.
    """
    negative, positive = histogram_CK[0, ::-1], histogram_CK[1, ::-1]
    if not (negative.any() and positive.any()):
        return []
    occupied = np.flatnonzero(negative + positive)
    false_positive = np.concatenate([[0], np.cumsum(negative)[occupied]])
    true_positive = np.concatenate([[0], np.cumsum(positive)[occupied]])
    corner = _corners(false_positive, true_positive)
    kept = corner[np.unique(np.linspace(0, len(corner) - 1, min(max_points, len(corner))).round().astype(int))]
    rates = zip(false_positive[kept] / negative.sum(), true_positive[kept] / positive.sum(), strict=True)
    return [(float(x), float(y)) for x, y in rates]


def choose_threshold(statistics: ScoreStatistics, rule: str) -> int | None:
    """The inner bin edge that maximises ``rule`` ("youden": sensitivity + specificity - 1, or "f1"); None if undefined.

    The best edge is seldom alone: between two neighbouring scores all edges are equal. The middle one of all that are
    best (the lower of two) is as far from both scores as can be.
    """
    assert rule in THRESHOLD_RULES, rule
    edges = np.arange(1, NUM_BINS)
    at = confusions_at_every_edge(statistics.histogram_CK)
    score = f1(at) if rule == "f1" else sensitivity(at) + specificity(at) - 1.0
    if np.isnan(score).any():
        return None
    best = edges[score >= score.max() - 1e-12]
    return int(best[(len(best) - 1) // 2])


def confusions_at_every_edge(histogram_CK: Counts) -> Confusion:
    """Counts at the inner edges 1 .. K - 1, each of the shape (K - 1,)."""
    below = np.cumsum(histogram_CK, axis=-1)[:, :-1]
    above = histogram_CK.sum(axis=-1, keepdims=True) - below
    return Confusion(true_positive=above[1], false_positive=above[0], false_negative=below[1], true_negative=below[0])


def probability_of(edge: int) -> float:
    """The probability at a bin edge: what scores at least this is called positive."""
    return float(expit(LOGIT_EDGES[edge]))


def _corners(x: Counts, y: Counts) -> npt.NDArray[np.intp]:
    """Indices of the points at which a polyline turns, ends included (integers: no tolerance is needed)."""
    turns = np.diff(x)[:-1] * np.diff(y)[1:] != np.diff(x)[1:] * np.diff(y)[:-1]
    return np.flatnonzero(np.concatenate([[True], turns, [True]]))


def _ratio(numerator: Any, denominator: Any) -> Floats:
    """numerator / denominator, nan where the denominator is 0."""
    denominator = np.asarray(denominator, dtype=np.float64)
    safe = np.where(denominator > 0, denominator, 1.0)
    return np.where(denominator > 0, np.asarray(numerator, dtype=np.float64) / safe, np.nan)
