"""Metrics from histograms against scikit-learn: exactly on binned scores, within a bin's width on raw ones."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as reference

from fedlung.evaluation.measured import Frozen, Measured
from fedlung.evaluation.metrics import roc_points
from fedlung.evaluation.statistics import LOGIT_EDGES, ScoreStatistics, bin_of, score_statistics

EDGE = 251
SEEDS = range(6)


def sample(seed: int) -> tuple[np.ndarray, np.ndarray, ScoreStatistics]:
    """Logits, labels and statistics; some seeds with many ties, and some beyond the limit."""
    rng = np.random.default_rng(seed)
    num_examples = int(rng.integers(30, 400))
    labels = rng.integers(0, 2, num_examples)
    logits = rng.normal(labels * rng.uniform(0, 3), rng.uniform(0.05, 7))
    return logits, labels, score_statistics(logits, labels, np.arange(num_examples), num_replicates=0, rng=rng)


def sklearn_values(scores: np.ndarray, called: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return {
        "auc": reference.roc_auc_score(labels, scores),
        "auprc": reference.average_precision_score(labels, scores),
        "sensitivity": reference.recall_score(labels, called),
        "specificity": reference.recall_score(labels, called, pos_label=0),
        "accuracy": reference.accuracy_score(labels, called),
        "precision": reference.precision_score(labels, called),
        "recall": reference.recall_score(labels, called),
        "f1": reference.f1_score(labels, called),
        "brier": reference.brier_score_loss(labels, 1 / (1 + np.exp(-logits))),
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_every_metric_that_scikit_learn_has_is_its_on_the_binned_scores(seed: int) -> None:
    logits, labels, statistics = sample(seed)
    expected = sklearn_values(bin_of(logits), logits >= LOGIT_EDGES[EDGE], logits, labels)
    measured = Measured(statistics, Frozen(chosen=EDGE))
    for name, value in expected.items():
        assert measured.value(name).point == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize("seed", SEEDS)
def test_binning_moves_the_auc_by_no_more_than_the_pairs_within_a_bin(seed: int) -> None:
    logits, labels, statistics = sample(seed)
    negative, positive = statistics.histogram_CK
    tied = float((negative * positive).sum() / (negative.sum() * positive.sum()))
    raw = reference.roc_auc_score(labels, logits)
    assert abs(Measured(statistics).value("auc").point - raw) <= 0.5 * tied + 1e-12


def test_binning_moves_a_networks_auc_in_the_fourth_digit_and_its_auprc_in_the_third() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 5000)
    logits = rng.normal(3.0 * labels - 1.5, 2.0)
    statistics = score_statistics(logits, labels, np.arange(5000), num_replicates=0, rng=rng)
    for name, value, within in (
        ("auc", reference.roc_auc_score(labels, logits), 2e-4),
        ("auprc", reference.average_precision_score(labels, logits), 2e-3),
    ):
        assert Measured(statistics).value(name).point == pytest.approx(value, abs=within)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_area_under_the_unthinned_roc_points_is_the_auc(seed: int) -> None:
    _, _, statistics = sample(seed)
    x, y = zip(*roc_points(statistics.histogram_CK, max_points=10_000), strict=True)
    assert reference.auc(x, y) == pytest.approx(Measured(statistics).value("auc").point, abs=1e-12)
