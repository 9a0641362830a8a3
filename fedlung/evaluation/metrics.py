"""Metrics from score histograms, for the point value and for all bootstrap replicates at once.

A histogram has the shape (..., 2, K): class 0 negative, class 1 positive; bins by rising score. Every metric gives an
array of the leading shape ``X``; where it is undefined it is nan here, and a null with its reason in a report, never 0
or 0.5. Scores of one bin count as tied, so that each metric is exactly that of the binned scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]


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
    return ratio(twice_in_order, 2 * positive.sum(axis=-1) * negative.sum(axis=-1))


def average_precision(histogram_XCK: Counts) -> Floats:
    """Area under the precision-recall curve: sum over thresholds of (rise in recall) · precision, not interpolated.

    The definition of scikit-learn's ``average_precision_score``. Without negatives it would be 1 whatever the model
    says, so it is undefined there.
    """
    negative, positive = histogram_XCK[..., 0, ::-1], histogram_XCK[..., 1, ::-1]
    true_positive = np.cumsum(positive, axis=-1)
    called = true_positive + np.cumsum(negative, axis=-1)
    precision = true_positive / np.maximum(called, 1)
    value = ratio((positive * precision).sum(axis=-1), positive.sum(axis=-1))
    return np.where(negative.sum(axis=-1) > 0, value, np.nan)


def average_precision_at(histogram_XCK: Counts, prevalence: float) -> Floats:
    """Average precision as it would be at ``prevalence``, each class's scores unchanged (label shift).

    The counts of a class are weighed so that positives make up ``prevalence`` of the whole: precision becomes
    π · TPR / (π · TPR + (1 - π) · FPR). Undefined unless both classes are there.
    """
    negative, positive = histogram_XCK[..., 0, ::-1], histogram_XCK[..., 1, ::-1]
    recall = ratio(np.cumsum(positive, axis=-1), positive.sum(axis=-1, keepdims=True))
    false_positive_rate = ratio(np.cumsum(negative, axis=-1), negative.sum(axis=-1, keepdims=True))
    right = prevalence * recall
    # Above the highest score nothing is called, and nothing rises there either.
    precision = right / np.maximum(right + (1.0 - prevalence) * false_positive_rate, np.finfo(float).tiny)
    return ratio((positive * precision).sum(axis=-1), positive.sum(axis=-1))


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
    return ratio(at.true_positive, at.true_positive + at.false_negative)


def specificity(at: Confusion) -> Floats:
    """Share of the negatives that were called negative."""
    return ratio(at.true_negative, at.true_negative + at.false_positive)


def accuracy(at: Confusion) -> Floats:
    """Share of the examples that were called right."""
    right = at.true_positive + at.true_negative
    return ratio(right, right + at.false_positive + at.false_negative)


def precision(at: Confusion) -> Floats:
    """Share of the calls that were right; undefined without a call, and without any positive to be found."""
    value = ratio(at.true_positive, at.true_positive + at.false_positive)
    return np.where(at.true_positive + at.false_negative > 0, value, np.nan)


def precision_at(at: Confusion, prevalence: float) -> Floats:
    """Precision as it would be at ``prevalence``, sensitivity and specificity unchanged (Bayes' rule).

    Undefined without a call, and unless both classes are there.
    """
    right = prevalence * sensitivity(at)
    return ratio(right, right + (1.0 - prevalence) * (1.0 - specificity(at)))


def f1(at: Confusion) -> Floats:
    """2 TP / (2 TP + FP + FN); undefined without any positive, as recall is."""
    twice = 2 * at.true_positive
    value = ratio(twice, twice + at.false_positive + at.false_negative)
    return np.where(at.true_positive + at.false_negative > 0, value, np.nan)


def brier(squared_error_X: Floats, histogram_XCK: Counts) -> Floats:
    """Mean squared difference between probability and label (not binned)."""
    return ratio(squared_error_X, histogram_XCK.sum(axis=(-2, -1)))


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
    kept = thinned_corners(false_positive, true_positive, max_points)
    rates = zip(false_positive[kept] / negative.sum(), true_positive[kept] / positive.sum(), strict=True)
    return [(float(x), float(y)) for x, y in rates]


def thinned_corners(x: Counts, y: Counts, max_points: int) -> npt.NDArray[np.intp]:
    """Indices of the points at which a polyline turns (integers: no tolerance is needed), at most ``max_points`` of
    them, evenly taken; ends included."""
    turns = np.diff(x)[:-1] * np.diff(y)[1:] != np.diff(x)[1:] * np.diff(y)[:-1]
    corner = np.flatnonzero(np.concatenate([[True], turns, [True]])[: len(x)])
    return corner[np.unique(np.linspace(0, len(corner) - 1, min(max_points, len(corner))).round().astype(int))]


def ratio(numerator: Any, denominator: Any) -> Floats:
    """numerator / denominator, nan where the denominator is 0."""
    denominator = np.asarray(denominator, dtype=np.float64)
    safe = np.where(denominator > 0, denominator, 1.0)
    return np.where(denominator > 0, np.asarray(numerator, dtype=np.float64) / safe, np.nan)
