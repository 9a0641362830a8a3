"""DeLong's variance against its slow definition, and the bootstrap beside it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm

from fedlung.errors import DataError
from fedlung.evaluation.delong import delong, delong_interval, delong_of_histogram, delong_test
from fedlung.evaluation.intervals import estimate
from fedlung.evaluation.measured import Measured
from fedlung.evaluation.statistics import score_statistics


def two_models(seed: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.r_[np.zeros(17, int), np.ones(11, int)])
    scores = rng.normal(0.8 * labels, 1.0) + rng.normal(0, 0.6, (2, 28))
    return (np.round(scores) if ties else scores), labels


def slow(scores_ME: np.ndarray, labels_E: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of a positive and a negative by itself; structural components and their covariances as published."""
    positive, negative = scores_ME[:, labels_E == 1], scores_ME[:, labels_E == 0]
    models, (m, n) = len(scores_ME), (positive.shape[1], negative.shape[1])
    psi = np.zeros((models, m, n))
    for model, i, j in itertools.product(range(models), range(m), range(n)):
        x, y = positive[model, i], negative[model, j]
        psi[model, i, j] = 1.0 if x > y else 0.5 if x == y else 0.0
    auc, v10, v01 = psi.mean(axis=(1, 2)), psi.mean(axis=2), psi.mean(axis=1)
    covariance = np.zeros((models, models))
    for r, s in itertools.product(range(models), repeat=2):
        s10 = sum((v10[r, i] - auc[r]) * (v10[s, i] - auc[s]) for i in range(m)) / (m - 1)
        s01 = sum((v01[r, j] - auc[r]) * (v01[s, j] - auc[s]) for j in range(n)) / (n - 1)
        covariance[r, s] = s10 / m + s01 / n
    return auc, covariance


@pytest.mark.parametrize(("seed", "ties"), list(itertools.product(range(4), (False, True))))
def test_midranks_give_what_all_pairs_give(seed: int, ties: bool) -> None:
    scores, labels = two_models(seed, ties=ties)
    found, (auc, covariance) = delong(scores, labels), slow(scores, labels)
    assert found.auc_M == pytest.approx(auc, abs=1e-12)
    assert found.covariance_MM == pytest.approx(covariance, abs=1e-12)


def test_the_interval_and_the_test_are_normal() -> None:
    scores, labels = two_models(0, ties=False)
    auc, covariance = slow(scores, labels)
    found = delong(scores, labels)
    reach = norm.ppf(0.95) * math.sqrt(covariance[1, 1])
    one = delong_interval(found, 1, confidence=0.9)
    assert (one.value, one.low, one.high) == pytest.approx((auc[1], auc[1] - reach, min(1.0, auc[1] + reach)))
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    compared = delong_test(found)
    assert compared.difference.value == pytest.approx(auc[0] - auc[1])
    assert compared.p_value == pytest.approx(2 * norm.sf(abs(auc[0] - auc[1]) / error))


def test_one_model_alone_has_an_interval() -> None:
    scores, labels = two_models(1, ties=False)
    alone, both = delong(scores[:1], labels), delong(scores, labels)
    assert alone.covariance_MM.shape == (1, 1)
    assert delong_interval(alone) == delong_interval(both, 0)


def test_separated_scores_and_a_model_against_itself_have_no_interval_and_a_reason() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    scores = np.array([[0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 3.5, 2.0, 3.0, 4.0]])
    separated = delong_interval(delong(scores, labels))
    assert (separated.value, separated.low) == (1.0, None) and "variance is 0" in str(separated.reason)
    same = delong_test(delong(scores[[1, 1]], labels))
    assert (same.difference.value, same.p_value) == (0.0, None) and "variance is 0" in str(same.difference.reason)


def test_a_class_of_one_example_is_refused() -> None:
    with pytest.raises(DataError, match="found 1 and 2"):
        delong(np.array([[1.0, 2.0, 3.0]]), np.array([0, 0, 1]))


def test_of_independent_examples_delong_and_the_bootstrap_agree() -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, 400)
    logits = rng.normal(1.2 * labels, 1.0)
    found = delong_interval(delong(logits[None], labels))
    statistics = score_statistics(logits, labels, np.arange(400), num_replicates=2000, rng=rng)
    bootstrap = estimate("auc", Measured(statistics), confidence=0.95)
    assert (found.low, found.high) == pytest.approx((bootstrap.low, bootstrap.high), abs=0.006)


def test_of_examples_that_cluster_in_patients_delongs_interval_is_too_narrow() -> None:
    rng = np.random.default_rng(5)
    patients = np.repeat(np.arange(60), 8)
    labels = np.repeat(rng.integers(0, 2, 60), 8)
    logits = labels + np.repeat(rng.normal(0, 1, 60), 8) + rng.normal(0, 0.3, 480)
    found = delong_interval(delong(logits[None], labels))
    statistics = score_statistics(logits, labels, patients, num_replicates=1000, rng=rng)
    bootstrap = estimate("auc", Measured(statistics), confidence=0.95)
    assert (found.high - found.low) < 0.6 * (bootstrap.high - bootstrap.low)


@pytest.mark.parametrize("seed", range(4))
def test_a_histogram_gives_what_the_scores_in_its_bins_give(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 90)
    bins = np.clip(rng.poisson(4 + 2 * labels), 0, 11)
    histogram_CK = np.array([np.bincount(bins[labels == label], minlength=12) for label in (0, 1)])
    expected = delong_interval(delong(bins[None].astype(float), labels), confidence=0.9)
    found = delong_of_histogram(histogram_CK, confidence=0.9)
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_a_histogram_of_one_class_has_no_value_and_one_of_a_single_positive_no_interval() -> None:
    one_class = delong_of_histogram(np.array([[3, 2, 1], [0, 0, 0]]))
    assert one_class.value is None and one_class.reason == "needs both classes"
    single = delong_of_histogram(np.array([[3, 2, 1], [0, 1, 0]]))
    assert single.value == pytest.approx((3 + 1) / 6) and single.low is None and "found 1 and 6" in str(single.reason)
