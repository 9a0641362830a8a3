"""What one gets without looking at a single pixel: the rows that every model has to beat."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fedlung.evaluation.kept import KeptTests, SiteTests
from fedlung.evaluation.measured import Value
from fedlung.evaluation.metrics import Floats
from fedlung.evaluation.statistics import ScoreStatistics
from fedlung.evaluation.subgroups import THICKNESSES
from fedlung.loso.arithmetic import Measurement

NO_THICKNESS = "the slice thickness of the examples is not known, or of too few patients"


def constant(num_replicates: int, num_patients: int) -> Measurement:
    """The AUC of a constant answer: one half, whoever the patients are."""
    return Measurement(Value(0.5, np.full(num_replicates, 0.5)), num_patients)


def thickness_alone(tests: KeptTests, unseen: str, sources: Sequence[str]) -> Measurement:
    """The AUC at the unseen site of the share of positives that each slice thickness has at the source sites.

    It ranks by the protocol alone. Far from one half, it says that the label can be read off the way of scanning.
    """
    site = tests.sites.get(unseen)
    counts = {} if site is None else _by_thickness(site)
    scores = _log_odds([tests.sites[name] for name in sources if name in tests.sites])
    levels = sorted(counts, key=lambda level: scores.get(level, 0.0))
    if site is None or not levels or not scores:
        return Measurement(Value(math.nan, np.empty(0)), 0, NO_THICKNESS)
    tied = [[level for level in levels if scores.get(level, 0.0) == score] for score in _ascending(levels, scores)]
    whole = _auc([np.sum([_counts(counts[level])[0] for level in group], axis=0) for group in tied])
    replicates_R = _auc([np.sum([_counts(counts[level])[1] for level in group], axis=0) for group in tied])
    num_patients = site.scores["model"].num_patients
    why = "" if not math.isnan(float(whole)) else "one class only"
    return Measurement(Value(float(whole), np.asarray(replicates_R)), num_patients, why)


def _by_thickness(site: SiteTests) -> dict[str, ScoreStatistics]:
    return {key.level: site.subgroups[key] for key in THICKNESSES if key in site.subgroups}


def _log_odds(sources: Sequence[SiteTests]) -> dict[str, float]:
    """By thickness, ln((positives + ½) / (negatives + ½)) over the source sites."""
    totals: dict[str, Floats] = {}
    for site in sources:
        for level, statistics in _by_thickness(site).items():
            totals[level] = totals.get(level, np.zeros(2)) + statistics.histogram_CK.sum(axis=1)
    return {level: math.log((positive + 0.5) / (negative + 0.5)) for level, (negative, positive) in totals.items()}


def _ascending(levels: Sequence[str], scores: Mapping[str, float]) -> list[float]:
    return sorted({scores.get(level, 0.0) for level in levels})


def _counts(statistics: ScoreStatistics) -> tuple[Floats, Floats]:
    """Negatives and positives: (2,) of the whole, (R, 2) of the replicates."""
    whole, replicates = statistics.histogram_CK.sum(axis=1), statistics.replicates_RCK.sum(axis=2)
    return whole.astype(np.float64), replicates.astype(np.float64)


def _auc(ascending_X2: Sequence[Floats]) -> Floats:
    """The AUC of groups of equal scores, in ascending order, each (..., 2) negatives and positives; ties count half."""
    counts_XL2 = np.stack(ascending_X2, axis=-2)
    negative_XL, positive_XL = counts_XL2[..., 0], counts_XL2[..., 1]
    below_XL = np.cumsum(negative_XL, axis=-1) - 0.5 * negative_XL
    pairs_X = negative_XL.sum(axis=-1) * positive_XL.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs_X > 0, (positive_XL * below_XL).sum(axis=-1) / pairs_X, np.nan)
