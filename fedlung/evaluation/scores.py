"""From mergeable statistics to the numbers of a report: one site's, several sites' pooled, means, gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlung.evaluation.calibration import error_floor
from fedlung.evaluation.comparison import paired_difference
from fedlung.evaluation.delong import delong_of_histogram
from fedlung.evaluation.estimates import ConfusionCounts, Constant, Estimate
from fedlung.evaluation.intervals import estimate, interval, mean_over_sites
from fedlung.evaluation.measured import METRICS, Frozen, Measured, Value
from fedlung.evaluation.metrics import Floats, confusion_at, roc_points
from fedlung.evaluation.reliability import reliability
from fedlung.evaluation.statistics import ScoreStatistics

MODEL = "model"  # the network's scores; every other name is a baseline's
RESCANNED = "rescanned"  # nor this: the network's on the same examples as another scanner would have shown them
ADAPTED = "adapted"  # but this: the network's once its statistics were taken anew from images of the site

ScoresByName = Mapping[str, ScoreStatistics]


@dataclass(frozen=True)
class Measure:
    """What every number is judged with: what was frozen on validation, and the intervals' confidence."""

    frozen: Frozen
    confidence: float

    def take(self, statistics: ScoreStatistics) -> Measured:
        """A model's statistics, to be used for its own row, for a mean and for a gap without working them out again."""
        return Measured(statistics, self.frozen)

    def scores(self, model: Measured, statistics_by_score: ScoresByName) -> dict[str, Any]:
        """The fields of ``Scores``: metrics with intervals, counts, confusion, ROC, reliability and baselines."""
        found = model.statistics
        baselines = {name: self.take(value) for name, value in sorted(statistics_by_score.items()) if name != MODEL}
        return {
            **{name: self._estimate(name, model) for name in METRICS},
            "num_patients": found.num_patients,
            "num_positive": found.num_positive,
            "num_negative": found.num_negative,
            "prevalence": found.num_positive / found.num_examples if found.num_examples else None,
            "confusion": self._confusion(found),
            "roc": tuple(roc_points(found.histogram_CK)),
            "reliability": reliability(found, confidence=self.confidence),
            "ece_floor": float(error_floor(found.histogram_CK)) if found.num_examples else None,
            "auc_delong": delong_of_histogram(found.histogram_CK, confidence=self.confidence),
            "baselines": {name: self._estimate("auc", baseline) for name, baseline in baselines.items()},
            "advantages": {name: self._advantage(model, baseline) for name, baseline in baselines.items()},
            "constant": constant_answer(found.num_positive, found.num_negative),
        }

    def mean(self, measured_by_site: Mapping[str, Measured]) -> dict[str, Estimate]:
        """Each metric's unweighted mean over the sites at which it is defined; the others are named in ``reason``."""
        return {name: self._mean(name, measured_by_site) for name in METRICS}

    def gap(
        self, sources: Mapping[str, Measured], held_out: Mapping[str, Measured], missing: Mapping[str, str]
    ) -> dict[str, Estimate]:
        """Each metric's mean over ``sources`` minus its mean over ``held_out``.

        ``missing``: held-out sites without scores, and why. A gap is undefined unless every held-out site has the
        metric: a held-out site that silently leaves the mean would change the question.
        """
        return {name: self._gap(name, sources, held_out, missing) for name in METRICS}

    def _estimate(self, name: str, measured: Measured) -> Estimate:
        return estimate(name, measured, confidence=self.confidence)

    def _advantage(self, model: Measured, baseline: Measured) -> Estimate:
        return paired_difference("auc", model, baseline, confidence=self.confidence).difference

    def _confusion(self, statistics: ScoreStatistics) -> ConfusionCounts | None:
        if self.frozen.chosen is None:
            return None
        at = confusion_at(statistics.histogram_CK, self.frozen.chosen)
        return ConfusionCounts(**{name: int(count) for name, count in vars(at).items()})

    def _mean(self, name: str, measured_by_site: Mapping[str, Measured]) -> Estimate:
        defined, undefined = _by_site(name, measured_by_site)
        value, replicates_R = mean_over_sites(list(defined.values()))
        why = "undefined at every site" if undefined else "no site has answered"
        used = [measured_by_site[site] for site in defined]
        return _without(self._interval(value, replicates_R, used, f"{why}{_listed(undefined)}"), undefined)

    def _gap(
        self,
        name: str,
        sources: Mapping[str, Measured],
        held_out: Mapping[str, Measured],
        missing: Mapping[str, str],
    ) -> Estimate:
        seen, unseen_reasons = _by_site(name, sources)
        apart, apart_reasons = _by_site(name, held_out)
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

    def _interval(self, value: float, replicates_R: Floats, used: Sequence[Measured], why: str) -> Estimate:
        """The interval of a number made of several samples: no better than that of the smallest of them."""
        fewest = min((measured.statistics.num_patients for measured in used), default=0)
        return interval(value, replicates_R, confidence=self.confidence, num_patients=fewest, why=why)


def _by_site(name: str, measured_by_site: Mapping[str, Measured]) -> tuple[dict[str, Value], dict[str, str]]:
    """Value and replicates where the metric is defined; the reason where it is not. By site, in order of name."""
    defined, undefined = {}, {}
    for site, measured in sorted(measured_by_site.items()):
        if measured.is_defined(name):
            defined[site] = measured.for_interval(name)
        else:
            undefined[site] = measured.why_undefined(name)
    return defined, undefined


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
        "reliability": (),
        "ece_floor": None,
        "auc_delong": Estimate(reason=reason),
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
