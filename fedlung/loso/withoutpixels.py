"""What one gets without looking at a single pixel: the rows that every model has to beat."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from fedlung.evaluation.kept import KeptTests, SiteTests
from fedlung.evaluation.measured import Value
from fedlung.evaluation.metrics import Floats
from fedlung.evaluation.scores import MODEL
from fedlung.evaluation.standardised import SubgroupKey
from fedlung.evaluation.statistics import ScoreStatistics
from fedlung.evaluation.subgroups import KERNELS, PROTOCOL_PARTS, THICKNESSES
from fedlung.loso.arithmetic import NOTHING, Measurement

PROTOCOL = "protocol alone (thickness and kernel)"
NO_PROTOCOL = "neither slice thickness nor kernel of the examples is known, or of too few patients"
ANY = SubgroupKey("protocol", "any")  # of examples of whose protocol nothing is told

Counts = tuple[Floats, Floats]  # negatives and positives: (2,) of the whole, (R, 2) of the replicates


def constant(num_replicates: int, num_patients: int) -> Measurement:
    """The AUC of a constant answer: one half, whoever the patients are."""
    return Measurement(Value(0.5, np.full(num_replicates, 0.5)), num_patients)


def protocol_alone(tests: KeptTests, unseen: str, sources: Sequence[str]) -> Measurement:
    """The AUC at the unseen site of the share of positives that each protocol has at the source sites.

    A protocol is slice thickness and kernel together. Where a site tells of one of them alone, or not of a combination,
    examples are ranked by what it tells: by the share at that thickness or kernel, and by the share of all without
    either. Far from one half, the row says that the label can be read off the way of scanning.
    """
    site = tests.sites.get(unseen)
    parts = {} if site is None else _parts(site)
    odds = _log_odds([tests.sites[name] for name in sources if name in tests.sites])
    if site is None or not parts.keys() - {ANY} or not odds.keys() - {ANY}:
        return Measurement(NOTHING.value, 0, NO_PROTOCOL)
    by_score: dict[float, list[Counts]] = {}
    for key, counts in parts.items():
        by_score.setdefault(_score(key, odds), []).append(counts)
    ascending = [by_score[score] for score in sorted(by_score)]
    whole, replicates_R = (
        _auc([np.sum([counts[which] for counts in tied], axis=0) for tied in ascending]) for which in (0, 1)
    )
    why = "one class only" if math.isnan(float(whole)) else ""
    return Measurement(Value(float(whole), replicates_R), site.scores[MODEL].num_patients, why)


def _parts(site: SiteTests) -> dict[SubgroupKey, Counts]:
    """A site's examples by the most that is told of their protocol; every example is in one part."""
    told = {
        key: _counts(site.subgroups[key]) for key in (*PROTOCOL_PARTS, *THICKNESSES, *KERNELS) if key in site.subgroups
    }
    joint = {key: counts for key, counts in told.items() if key in PROTOCOL_PARTS}
    parts = dict(joint)
    for thickness in (key for key in THICKNESSES if key in told):
        within = [counts for key, counts in joint.items() if PROTOCOL_PARTS[key][0] == thickness]
        parts[thickness] = _minus(told[thickness], within)
    if not parts:
        parts |= {key: told[key] for key in KERNELS if key in told}
    parts[ANY] = _minus(_counts(site.scores[MODEL]), parts.values())
    return {key: counts for key, counts in parts.items() if counts[0].any()}


def _log_odds(sources: Sequence[SiteTests]) -> dict[SubgroupKey, float]:
    """By what is told, ln((positives + ½) / (negatives + ½)) over the source sites; of all examples, too."""
    totals: dict[SubgroupKey, Floats] = {}
    for site in sources:
        for key in (*PROTOCOL_PARTS, *THICKNESSES, *KERNELS):
            if key in site.subgroups:
                totals[key] = totals.get(key, np.zeros(2)) + _counts(site.subgroups[key])[0]
        totals[ANY] = totals.get(ANY, np.zeros(2)) + _counts(site.scores[MODEL])[0]
    return {key: math.log((positive + 0.5) / (negative + 0.5)) for key, (negative, positive) in totals.items()}


def _score(key: SubgroupKey, odds: Mapping[SubgroupKey, float]) -> float:
    """Of the protocol itself; where no source has it of its thickness, then of its kernel, else of all examples."""
    return next(odds[known] for known in (key, *PROTOCOL_PARTS.get(key, ()), ANY) if known in odds)


def _counts(statistics: ScoreStatistics) -> Counts:
    whole, replicates = statistics.histogram_CK.sum(axis=1), statistics.replicates_RCK.sum(axis=2)
    return whole.astype(np.float64), replicates.astype(np.float64)


def _minus(counts: Counts, parts: Iterable[Counts]) -> Counts:
    """What is left of a set without disjoint parts of it."""
    for part in parts:
        counts = counts[0] - part[0], counts[1] - part[1]
    return counts


def _auc(ascending_X2: Sequence[Floats]) -> Floats:
    """The AUC of groups of equal scores, in ascending order, each (..., 2) negatives and positives; ties count half."""
    counts_XL2 = np.stack(ascending_X2, axis=-2)
    negative_XL, positive_XL = counts_XL2[..., 0], counts_XL2[..., 1]
    below_XL = np.cumsum(negative_XL, axis=-1) - 0.5 * negative_XL
    pairs_X = negative_XL.sum(axis=-1) * positive_XL.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs_X > 0, (positive_XL * below_XL).sum(axis=-1) / pairs_X, np.nan)
