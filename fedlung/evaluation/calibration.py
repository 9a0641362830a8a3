"""Whether a probability means what it says: expected calibration error, calibration slope and intercept.

Everything is defined on binned scores, every example at its bin's centre. A raw logit lies at most half a bin (.025)
from there, its probability at most .00625, and so does the calibration error of the same groups.

``R`` rows (histograms), ``C`` classes, ``K`` bins, ``G`` groups of bins, ``X`` any leading shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from fedlung.evaluation.metrics import Counts, Floats, ratio
from fedlung.evaluation.statistics import LOGIT_EDGES, NUM_BINS

NUM_GROUPS = 15
CENTRES_K = (LOGIT_EDGES[:-1] + LOGIT_EDGES[1:]) / 2.0
PROBABILITY_K = expit(CENTRES_K)

MAX_STEPS, SMALLEST_STEP = 100, 1e-8  # of Newton's method, the latter in logits


@dataclass(frozen=True)
class Line:
    """logit P(positive) = intercept + slope · logit of the model; each of the shape X, nan where there is none.

    A calibrated model has slope 1 and intercept 0. A slope below 1: scores too extreme. The intercept is that of the
    joint fit, at a logit of 0; it is not "calibration in the large", for which the slope is held at 1 (Van Calster et
    al., J Clin Epidemiol 74, 2016).
    """

    intercept: Floats
    slope: Floats


def expected_calibration_error(histogram_XCK: Counts, *, num_groups: int = NUM_GROUPS) -> Floats:
    """Sum over groups of (share of the examples in it) · |mean probability - share of positives|.

    The groups are ``group_of_bins``'s (Naeini et al., AAAI 2015, with equal mass as in Nixon et al., CVPR workshops
    2019). Undefined without examples. Few examples give an error above 0 whatever the model: see ``error_floor``.
    """
    group_XK = group_of_bins(histogram_XCK, num_groups)
    excess_XK = histogram_XCK.sum(axis=-2) * PROBABILITY_K - histogram_XCK[..., 1, :]
    excess_XG = sum_by_group(excess_XK, group_XK, num_groups)
    return ratio(np.abs(excess_XG).sum(axis=-1), histogram_XCK.sum(axis=(-2, -1)))


def error_floor(histogram_XCK: Counts, *, num_groups: int = NUM_GROUPS) -> Floats:
    """The calibration error to be expected of a calibrated model with these scores, by chance alone.

    The mean of |N(0, v)| is √(2v/π), v being the binomial variance of a group's positives. Examples are taken as
    independent; those of one patient are not, so that the floor is rather higher.
    """
    group_XK = group_of_bins(histogram_XCK, num_groups)
    variance_XK = histogram_XCK.sum(axis=-2) * PROBABILITY_K * (1.0 - PROBABILITY_K)
    variance_XG = sum_by_group(variance_XK, group_XK, num_groups)
    return ratio(np.sqrt(2.0 / np.pi * variance_XG).sum(axis=-1), histogram_XCK.sum(axis=(-2, -1)))


def group_of_bins(histogram_XCK: Counts, num_groups: int) -> npt.NDArray[np.int64]:
    """(X, K): the group of each bin, 0 .. G - 1, of equal mass as far as ties allow.

    A bin with c examples below it and n in it goes whole to group floor(G · (c + n/2) / N): that of its middle
    example. Without ties this is the usual cut into groups of N/G; a bin is never divided, so that a group that a large
    bin has swallowed stays empty. Integers throughout.
    """
    counts_XK = histogram_XCK.sum(axis=-2, dtype=np.int64)
    upto_XK = np.cumsum(counts_XK, axis=-1)
    twice_total = np.maximum(2 * upto_XK[..., -1:], 1)
    return np.minimum(num_groups * (2 * upto_XK - counts_XK) // twice_total, num_groups - 1)


def sum_by_group(values_XK: Counts | Floats, group_XK: npt.NDArray[np.int64], num_groups: int) -> Floats:
    """(X, G): the values of each group's bins, added in the order of the bins."""
    group_RK = group_XK.reshape(-1, NUM_BINS)
    cell_RK = np.arange(len(group_RK))[:, None] * num_groups + group_RK
    sums = np.bincount(cell_RK.ravel(), weights=values_XK.ravel(), minlength=len(group_RK) * num_groups)
    return np.asarray(sums.reshape(*group_XK.shape[:-1], num_groups), dtype=np.float64)


def calibration_line(histogram_XCK: Counts) -> Line:
    """Logistic regression of the label on the logit, by maximum likelihood; a bin counts as often as it has examples.

    (Cox, Biometrika 45, 1958.) Undefined where the likelihood has no maximum: see ``why_no_line``.
    """
    histogram_RCK = histogram_XCK.reshape(-1, 2, NUM_BINS)
    line_R2 = np.full((len(histogram_RCK), 2), np.nan)
    # Bins that are empty in every row take no part: a site of a hundred examples fills at most a hundred.
    occupied_K = histogram_RCK.any(axis=(0, 1))
    fits_R = _classes_overlap(histogram_RCK)
    line_R2[fits_R] = _maximum_likelihood(histogram_RCK[fits_R][..., occupied_K].astype(float), CENTRES_K[occupied_K])
    shape = histogram_XCK.shape[:-2]
    return Line(intercept=line_R2[:, 0].reshape(shape), slope=line_R2[:, 1].reshape(shape))


def why_no_line(histogram_CK: Counts) -> str:
    """The reason, in words, why scores of both classes give no calibration line."""
    if np.count_nonzero(histogram_CK.sum(axis=0)) == 1:
        return "all scores fall into one bin"
    if not _classes_overlap(histogram_CK[None])[0]:
        return "the scores separate the classes, so that the slope has no finite value"
    return f"the fit of the calibration line did not converge in {MAX_STEPS} steps"


def _classes_overlap(histogram_RCK: Counts) -> npt.NDArray[np.bool_]:
    """Whether each class has a score strictly above some score of the other: a maximum then exists, and only then.

    (Albert and Anderson, Biometrika 71, 1984, for one covariate.)
    """
    there_RCK = histogram_RCK > 0
    lowest_RC = there_RCK.argmax(axis=-1)
    highest_RC = NUM_BINS - 1 - there_RCK[..., ::-1].argmax(axis=-1)
    both_R = there_RCK.any(axis=-1).all(axis=-1)
    return both_R & (highest_RC > lowest_RC[:, ::-1]).all(axis=-1)


def _maximum_likelihood(histogram_RCK: Floats, logit_K: Floats) -> Floats:
    """(R, 2) intercept and slope by Newton's method, nan in a row that did not converge.

    Every step is shortened to ln(1 + d) / d of itself, d being the largest change that it makes to a logit: with that
    the likelihood rises in each step from wherever it starts, and near the maximum nothing is lost (Sun and
    Tran-Dinh, Math Program 178, 2019: the damped step for generalized self-concordant functions of order 2).
    """
    line_R2 = np.zeros((len(histogram_RCK), 2))
    line_R2[:, 0] = np.log(histogram_RCK[:, 1].sum(axis=-1) / histogram_RCK[:, 0].sum(axis=-1))
    moving = np.arange(len(histogram_RCK))
    for _ in range(MAX_STEPS):
        if not len(moving):
            return line_R2
        step_M2 = _newton_step(line_R2[moving], histogram_RCK[moving], logit_K)
        largest_M = np.abs(step_M2[:, :1] + step_M2[:, 1:] * logit_K[[0, -1]]).max(axis=-1)
        far_M = largest_M > SMALLEST_STEP
        shortened_M = np.where(far_M, np.log1p(largest_M) / np.where(far_M, largest_M, 1.0), 1.0)
        line_R2[moving] += shortened_M[:, None] * step_M2
        moving = moving[far_M]
    line_R2[moving] = np.nan
    return line_R2


def _newton_step(line_R2: Floats, histogram_RCK: Floats, logit_K: Floats) -> Floats:
    """(R, 2): the inverse of the 2 x 2 information times the score, about each row's mean logit."""
    fitted_RK = line_R2[:, :1] + line_R2[:, 1:] * logit_K
    # 1 - p by itself: thousands of sure and right examples would leave nothing but the rounding of n - n · p.
    probability_RK, complement_RK = expit(fitted_RK), expit(-fitted_RK)
    residual_RK = histogram_RCK[:, 1] * complement_RK - histogram_RCK[:, 0] * probability_RK
    weight_RK = histogram_RCK.sum(axis=1) * probability_RK * complement_RK
    information_R = weight_RK.sum(axis=-1)
    mean_R = np.einsum("rk,k->r", weight_RK, logit_K) / information_R
    # ORDER: centre first; about the weighted mean the information matrix is diagonal.
    centred_RK = logit_K - mean_R[:, None]
    score_R = np.einsum("rk,rk->r", residual_RK, centred_RK)
    slope_R = score_R / np.einsum("rk,rk,rk->r", weight_RK, centred_RK, centred_RK)
    intercept_R = residual_RK.sum(axis=-1) / information_R - slope_R * mean_R
    return np.stack([intercept_R, slope_R], axis=-1)
