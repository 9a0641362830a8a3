"""Every metric of merged histograms is that of the pooled scores, each at its bin's centre, worked out the slow way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import expit

from fedlung.evaluation.calibration import CENTRES_K, NUM_GROUPS
from fedlung.evaluation.measured import METRICS, Frozen, Measured
from fedlung.evaluation.statistics import LOGIT_EDGES, ScoreStatistics, add_statistics, bin_of, score_statistics

Row = tuple[float, int, int]  # score, label, patient
FROZEN = Frozen(chosen=243, spec90=262, sens90=228, prevalence=0.3)

rows = st.lists(st.tuples(st.floats(-14, 14, allow_nan=False), st.integers(0, 1), st.integers(0, 9)), max_size=50)
site_of_patient = st.lists(st.integers(0, 3), min_size=10, max_size=10)


def statistics(some: list[Row], *, num_replicates: int = 0) -> ScoreStatistics:
    logits, labels, patients = np.array(some, dtype=float).reshape(-1, 3).T
    rng = np.random.default_rng(0)
    return score_statistics(logits, labels.astype(int), patients.astype(int), num_replicates=num_replicates, rng=rng)


def slow_ece(probability_N: np.ndarray, labels_N: np.ndarray) -> float:
    """Examples one by one, by rising score; ties go together to the group of the middle one of them."""
    num = len(labels_N)
    excess = [0.0] * NUM_GROUPS
    for tied in np.unique(probability_N):
        among = probability_N == tied
        before, own = int((probability_N < tied).sum()), int(among.sum())
        group = math.floor(NUM_GROUPS * (2 * before + own) / (2 * num))
        excess[group] += float((tied - labels_N[among]).sum())
    return sum(abs(value) for value in excess) / num


def has_maximum(logit_N: np.ndarray, labels_N: np.ndarray) -> bool:
    """Whether the likelihood of a line has one: some negative above some positive, and the other way around."""
    negative, positive = logit_N[labels_N == 0], logit_N[labels_N == 1]
    overlap = (negative[:, None] - positive[None, :]).ravel()
    return bool((overlap > 0).any() and (overlap < 0).any())


def both(labels: np.ndarray) -> bool:
    return 0 < labels.sum() < len(labels)


def weights_to(prevalence: float, labels: np.ndarray) -> np.ndarray:
    """A weight for each example with which positives make up ``prevalence``."""
    return np.where(labels == 1, prevalence / labels.sum(), (1 - prevalence) / (len(labels) - labels.sum()))


def called(logits: np.ndarray, edge: int | None) -> np.ndarray:
    return (logits >= LOGIT_EDGES[edge]).astype(int)


def rate(logits: np.ndarray, labels: np.ndarray, edge: int | None, label: int) -> float:
    if not (labels == label).any():
        return math.nan
    return float(sk.recall_score(labels, called(logits, edge), pos_label=label))


def slow_values(raw: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Every metric but the calibration line by scikit-learn or by hand, nan where it is undefined."""
    if not len(labels):
        return dict.fromkeys(METRICS, math.nan)
    logits = CENTRES_K[bin_of(raw)]
    hits = called(logits, FROZEN.chosen)
    if_both = both(labels)
    weights = weights_to(0.3, labels) if if_both else None
    any_positive = bool(labels.any())
    sensitivity = rate(logits, labels, FROZEN.chosen, 1)
    return {
        "auc": sk.roc_auc_score(labels, logits) if if_both else math.nan,
        "auprc": sk.average_precision_score(labels, logits) if if_both else math.nan,
        "auprc_adjusted": sk.average_precision_score(labels, logits, sample_weight=weights) if if_both else math.nan,
        "sensitivity": sensitivity,
        "recall": sensitivity,
        "specificity": rate(logits, labels, FROZEN.chosen, 0),
        "sensitivity_at_spec90": rate(logits, labels, FROZEN.spec90, 1),
        "specificity_at_spec90": rate(logits, labels, FROZEN.spec90, 0),
        "sensitivity_at_sens90": rate(logits, labels, FROZEN.sens90, 1),
        "specificity_at_sens90": rate(logits, labels, FROZEN.sens90, 0),
        "accuracy": sk.accuracy_score(labels, hits),
        "precision": sk.precision_score(labels, hits) if any_positive and hits.any() else math.nan,
        "precision_adjusted": (
            sk.precision_score(labels, hits, sample_weight=weights) if if_both and hits.any() else math.nan
        ),
        "f1": sk.f1_score(labels, hits) if any_positive else math.nan,
        "brier": float(np.mean((expit(raw) - labels) ** 2)),
        "ece": slow_ece(expit(logits), labels),
    }


def columns(some: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    raw, labels, _ = np.array(some, dtype=float).reshape(-1, 3).T
    return raw, labels.astype(int)


@settings(max_examples=80, deadline=None)
@given(rows, site_of_patient)
@example([], [0] * 10)
@example([(0.3, 1, 0), (0.3, 1, 1)], [0, 1] * 5)
@example([(0.3, 0, 0), (-4.0, 0, 1)], [0, 1] * 5)
def test_merged_metrics_are_scikit_learns_on_the_pooled_scores_at_their_bins(some: list[Row], sites: list[int]) -> None:
    merged = add_statistics([statistics([row for row in some if sites[row[2]] == site]) for site in range(4)])
    measured, expected = Measured(merged, FROZEN), slow_values(*columns(some))
    assert set(expected) >= set(METRICS) - {"calibration_slope", "calibration_intercept"}
    for name, value in expected.items():
        assert measured.value(name).point == pytest.approx(value, abs=1e-12, nan_ok=True), name


@settings(max_examples=80, deadline=None)
@given(rows, site_of_patient)
@example([(-1.0, 0, 0), (1.0, 1, 1)], [0] * 10)
@example([(-1.0, 1, 0), (1.0, 0, 1), (1.0, 1, 1)], [0] * 10)
def test_the_merged_calibration_line_is_the_pooled_examples_maximum_or_there_is_none(
    some: list[Row], sites: list[int]
) -> None:
    merged = add_statistics([statistics([row for row in some if sites[row[2]] == site]) for site in range(4)])
    raw, labels = columns(some)
    logits = CENTRES_K[bin_of(raw)]
    slope, intercept = (Measured(merged).value(f"calibration_{what}").point for what in ("slope", "intercept"))
    if not has_maximum(logits, labels):
        assert math.isnan(slope) and math.isnan(intercept)
        return
    residual = labels - expit(intercept + slope * logits)
    assert abs(residual.sum()) < 1e-7 and abs((residual * logits).sum()) < 1e-6


@settings(max_examples=15, deadline=None)
@given(rows)
def test_a_replicates_metrics_are_the_slow_ones_of_the_examples_drawn(some: list[Row]) -> None:
    found = Measured(statistics(some, num_replicates=4), FROZEN)
    raw, labels = columns(some)
    patients = np.unique(np.array([row[2] for row in some], dtype=int), return_inverse=True)[1]
    drawn_RP = np.random.default_rng(0).poisson(1.0, size=(4, len(set(patients))))
    for replicate, drawn_P in enumerate(drawn_RP):
        repeated = np.repeat(np.arange(len(some)), drawn_P[patients]) if len(some) else np.zeros(0, int)
        for name, value in slow_values(raw[repeated], labels[repeated]).items():
            assert found.value(name).replicates_R[replicate] == pytest.approx(value, abs=1e-12, nan_ok=True), name


@settings(max_examples=60, deadline=None)
@given(rows)
def test_what_is_undefined_has_a_reason_and_what_is_defined_is_finite(some: list[Row]) -> None:
    for frozen in (FROZEN, Frozen()):
        found = Measured(statistics(some), frozen)
        for name in METRICS:
            assert math.isfinite(found.value(name).point) == found.is_defined(name)
            assert found.is_defined(name) or found.why_undefined(name)
