"""DeLong's interval and test for AUCs: a cross-check of the bootstrap.

It takes examples as independent. Nodules cluster in patients, so that its variance is rather too small: where it and
the bootstrap by patient differ, the bootstrap is right. Raw scores never leave a site, so that two models are compared
at a site only; the interval of one AUC follows from the histogram of the scores alone.

``M`` models, ``P`` positives, ``N`` negatives, ``C = 2`` classes (0 negative, 1 positive), ``K`` bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from fedlung.errors import DataError
from fedlung.evaluation.estimates import Comparison, Estimate
from fedlung.evaluation.metrics import Floats

NO_VARIANCE = "no interval: the variance is 0 (the scores separate the classes, or both models rank alike)"


@dataclass(frozen=True)
class DeLong:
    """AUCs of models on the same examples and the covariance of their estimates."""

    auc_M: Floats
    covariance_MM: Floats


def delong(scores_ME: Floats, labels_E: npt.NDArray[np.integer]) -> DeLong:
    """(DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988), by midranks (Sun and Xu, IEEE Signal Process Lett 21,
    2014): O(E log E).

    ``scores_ME``: a row of scores for each model, higher for more likely positive. Raises DataError with fewer than two
    examples of a class, for which there is no variance.
    """
    from scipy.stats import rankdata  # .8 s, and a run's server and sites need the form for histograms alone

    positive_MP, negative_MN = scores_ME[:, labels_E == 1], scores_ME[:, labels_E == 0]
    num_positive, num_negative = positive_MP.shape[1], negative_MN.shape[1]
    if too_few := _too_few(num_positive, num_negative):
        raise DataError(too_few, public=too_few)
    together = rankdata(np.concatenate([positive_MP, negative_MN], axis=1), axis=1)
    # Midrank among all minus midrank among one's own: examples of the other class below, ties at half.
    below_MP = (together[:, :num_positive] - rankdata(positive_MP, axis=1)) / num_negative
    above_MN = 1.0 - (together[:, num_positive:] - rankdata(negative_MN, axis=1)) / num_positive
    covariance = np.cov(below_MP) / num_positive + np.cov(above_MN) / num_negative
    return DeLong(below_MP.mean(axis=1), np.atleast_2d(covariance))


def delong_of_histogram(histogram_CK: npt.NDArray[np.integer], *, confidence: float = 0.95) -> Estimate:
    """The AUC of binned scores with DeLong's interval: what ``delong`` gives for scores that are their bins' numbers.

    No value without both classes, no interval with fewer than two examples of one; each has its reason.
    """
    negative_K, positive_K = histogram_CK.astype(np.float64)
    num_negative, num_positive = negative_K.sum(), positive_K.sum()
    if not num_negative or not num_positive:
        return Estimate(reason="needs both classes")
    # An example of the other class in the same bin counts half.
    below_K = (np.cumsum(negative_K) - negative_K / 2) / num_negative
    above_K = 1.0 - (np.cumsum(positive_K) - positive_K / 2) / num_positive
    auc = float(positive_K @ below_K / num_positive)
    if too_few := _too_few(int(num_positive), int(num_negative)):
        return Estimate(value=auc, reason=too_few)
    variance = _variance_of_mean(below_K, positive_K) + _variance_of_mean(above_K, negative_K)
    return delong_interval(DeLong(np.array([auc]), np.array([[variance]])), confidence=confidence)


def delong_interval(found: DeLong, model: int = 0, *, confidence: float = 0.95) -> Estimate:
    """One AUC with its normal interval, cut to [0, 1]; none where the variance is 0."""
    auc = float(found.auc_M[model])
    estimate = _normal_interval(auc, float(found.covariance_MM[model, model]), confidence)
    if estimate.low is None or estimate.high is None:
        return estimate
    return estimate.model_copy(update={"low": max(0.0, estimate.low), "high": min(1.0, estimate.high)})


def delong_test(found: DeLong, one: int = 0, other: int = 1, *, confidence: float = 0.95) -> Comparison:
    """The difference of two correlated AUCs, with a normal interval and a two-sided p-value."""
    contrast_M = np.zeros(len(found.auc_M))
    contrast_M[one], contrast_M[other] = 1.0, -1.0
    difference = float(contrast_M @ found.auc_M)
    variance = float(contrast_M @ found.covariance_MM @ contrast_M)
    estimate = _normal_interval(difference, variance, confidence)
    if estimate.low is None:
        return Comparison(difference=estimate)
    return Comparison(difference=estimate, p_value=float(2.0 * ndtr(-abs(difference) / math.sqrt(variance))))


def _too_few(num_positive: int, num_negative: int) -> str:
    if min(num_positive, num_negative) >= 2:
        return ""
    return f"DeLong's variance needs two examples of each class: found {num_positive} and {num_negative}"


def _variance_of_mean(values_K: Floats, counts_K: Floats) -> float:
    """Of ``counts_K[k]`` examples with ``values_K[k]`` each."""
    num = counts_K.sum()
    mean = counts_K @ values_K / num
    return float(counts_K @ (values_K - mean) ** 2 / (num - 1) / num)


def _normal_interval(value: float, variance: float, confidence: float) -> Estimate:
    # Rounding leaves a variance of 0 a little off it, on either side; the smallest true one is far above.
    if variance < 1e-15:
        return Estimate(value=value, reason=NO_VARIANCE)
    reach = float(ndtri((1.0 + confidence) / 2.0)) * math.sqrt(variance)
    return Estimate(value=value, low=value - reach, high=value + reach)
