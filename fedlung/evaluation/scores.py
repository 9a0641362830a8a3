"""From mergeable statistics to the numbers of a report: one site's, several sites' pooled, means, gaps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlung.evaluation.intervals import Floats, estimate, interval, mean_over_sites
from fedlung.evaluation.judgement import ConfusionCounts, Constant, Estimate
from fedlung.evaluation.metrics import METRICS, confusion_at, point_and_replicates, roc_points, why_undefined
from fedlung.evaluation.statistics import ScoreStatistics

MODEL = "model"  # the network's scores; every other name is a baseline's

ScoresByName = Mapping[str, ScoreStatistics]


@dataclass(frozen=True)
class Measure:
    """What every number is judged with: the frozen threshold (a bin edge, or None) and the intervals' confidence."""

    edge: int | None
    confidence: float

    def scores(self, statistics_by_score: ScoresByName) -> dict[str, Any]:
        """The fields of ``Scores``: metrics with intervals, counts, confusion, ROC and baselines."""
        model = statistics_by_score[MODEL]
        baselines = {name: value for name, value in statistics_by_score.items() if name != MODEL}
        return {
            **{name: estimate(name, model, self.edge, confidence=self.confidence) for name in METRICS},
            "num_patients": model.num_patients,
            "num_positive": model.num_positive,
            "num_negative": model.num_negative,
            "prevalence": model.num_positive / model.num_examples if model.num_examples else None,
            "confusion": self._confusion(model),
            "roc": tuple(roc_points(model.histogram_CK)),
            "baselines": {name: self._auc(statistics) for name, statistics in sorted(baselines.items())},
            "advantages": {name: self._advantage(model, other) for name, other in sorted(baselines.items())},
            "constant": constant_answer(model.num_positive, model.num_negative),
        }

    def mean(self, statistics_by_site: Mapping[str, ScoreStatistics]) -> dict[str, Estimate]:
        """Each metric's unweighted mean over the sites at which it is defined; the others are named in ``reason``."""
        return {name: self._mean(name, statistics_by_site) for name in METRICS}

    def gap(
        self,
        sources: Mapping[str, ScoreStatistics],
        held_out: Mapping[str, ScoreStatistics],
        missing: Mapping[str, str],
    ) -> dict[str, Estimate]:
        """Each metric's mean over ``sources`` minus its mean over ``held_out``.

        ``missing``: held-out sites without scores, and why. A gap is undefined unless every held-out site has the
        metric: a held-out site that silently leaves the mean would change the question.
        """
        return {name: self._gap(name, sources, held_out, missing) for name in METRICS}

    def _auc(self, statistics: ScoreStatistics) -> Estimate:
        return estimate("auc", statistics, self.edge, confidence=self.confidence)

    def _advantage(self, model: ScoreStatistics, baseline: ScoreStatistics) -> Estimate:
        """The model's AUC minus the baseline's; with an interval only where both weighed the same patients alike."""
        (value, replicates_R), (other, other_R) = (
            point_and_replicates("auc", statistics, self.edge) for statistics in (model, baseline)
        )
        why = why_undefined("auc", model if math.isnan(value) else baseline, self.edge)
        if math.isnan(value - other) or are_paired(model, baseline):
            return self._interval(value - other, replicates_R - other_R, [model], why)
        return Estimate(value=value - other, reason="no interval: the site did not draw both scores' replicates alike")

    def _confusion(self, statistics: ScoreStatistics) -> ConfusionCounts | None:
        if self.edge is None:
            return None
        at = confusion_at(statistics.histogram_CK, self.edge)
        return ConfusionCounts(**{name: int(count) for name, count in vars(at).items()})

    def _mean(self, name: str, statistics_by_site: Mapping[str, ScoreStatistics]) -> Estimate:
        defined, undefined = self._by_site(name, statistics_by_site)
        value, replicates_R = mean_over_sites(list(defined.values()))
        why = "undefined at every site" if undefined else "no site has answered"
        used = [statistics_by_site[site] for site in defined]
        return _without(self._interval(value, replicates_R, used, f"{why}{_listed(undefined)}"), undefined)

    def _gap(
        self,
        name: str,
        sources: Mapping[str, ScoreStatistics],
        held_out: Mapping[str, ScoreStatistics],
        missing: Mapping[str, str],
    ) -> Estimate:
        seen, unseen_reasons = self._by_site(name, sources)
        apart, apart_reasons = self._by_site(name, held_out)
        apart_reasons |= missing
        if apart_reasons or not apart:
            why = f"undefined at a held-out site{_listed(apart_reasons)}" if apart_reasons else "no site is held out"
            return Estimate(reason=why)
        (source, source_R), (other, other_R) = (
            mean_over_sites(list(seen.values())),
            mean_over_sites(list(apart.values())),
        )
        replicates_R: Floats = source_R - other_R if seen else np.empty(0)
        why = f"undefined at every source site{_listed(unseen_reasons)}"
        used = [*(sources[site] for site in seen), *held_out.values()]
        return _without(self._interval(source - other, replicates_R, used, why), unseen_reasons)

    def _interval(self, value: float, replicates_R: Floats, used: Sequence[ScoreStatistics], why: str) -> Estimate:
        """The interval of a number made of several statistics: no better than that of the smallest of them."""
        fewest = min((statistics.num_patients for statistics in used), default=0)
        return interval(value, replicates_R, confidence=self.confidence, num_patients=fewest, why=why)

    def _by_site(
        self, name: str, statistics_by_site: Mapping[str, ScoreStatistics]
    ) -> tuple[dict[str, tuple[float, Floats]], dict[str, str]]:
        """Value and replicates where the metric is defined; the reason where it is not. By site, in order of name."""
        defined, undefined = {}, {}
        for site, statistics in sorted(statistics_by_site.items()):
            value, replicates_R = point_and_replicates(name, statistics, self.edge)
            if math.isnan(value):
                undefined[site] = why_undefined(name, statistics, self.edge)
            else:
                defined[site] = (value, replicates_R)
        return defined, undefined


def are_paired(one: ScoreStatistics, other: ScoreStatistics) -> bool:
    """Whether two scores of the same examples were drawn with the same weights: each class then counts as often."""
    return np.array_equal(one.replicates_RCK.sum(axis=2), other.replicates_RCK.sum(axis=2))


def constant_answer(num_positive: int, num_negative: int) -> Constant:
    """What a constant answer gets; ties count as "negative"."""
    total = num_positive + num_negative
    if not total:
        return Constant(answer=None, accuracy=None, f1_of_always_positive=None)
    return Constant(
        answer="positive" if num_positive > num_negative else "negative",
        accuracy=max(num_positive, num_negative) / total,
        f1_of_always_positive=2 * num_positive / (2 * num_positive + num_negative) if num_positive else None,
    )


def no_scores(reason: str) -> dict[str, Any]:
    """The fields of ``Scores`` of a site that gave none."""
    return {
        **{name: Estimate(reason=reason) for name in METRICS},
        "num_patients": 0,
        "num_positive": 0,
        "num_negative": 0,
        "prevalence": None,
        "confusion": None,
        "roc": (),
        "baselines": {},
        "advantages": {},
        "constant": constant_answer(0, 0),
    }


def _without(found: Estimate, undefined: Mapping[str, str]) -> Estimate:
    """Says which sites a mean is without, unless there is no mean at all."""
    if not undefined or found.value is None:
        return found
    reasons = [text for text in (found.reason, f"mean without{_listed(undefined)}") if text]
    return found.model_copy(update={"reason": "; ".join(reasons)})


def _listed(reasons: Mapping[str, str]) -> str:
    return (" " if reasons else "") + ", ".join(f"{site} ({reason})" for site, reason in sorted(reasons.items()))
