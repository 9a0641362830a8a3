"""Every metric of a sample by its name: the point value, its bootstrap replicates, and why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from fedlung.evaluation.calibration import Line, calibration_line, expected_calibration_error, why_no_line
from fedlung.evaluation.metrics import (
    Confusion,
    Counts,
    Floats,
    accuracy,
    auc,
    average_precision,
    average_precision_at,
    brier,
    confusion_at,
    f1,
    precision,
    precision_at,
    sensitivity,
    specificity,
)
from fedlung.evaluation.statistics import ScoreStatistics


@dataclass(frozen=True)
class Frozen:
    """What was fixed on the source sites' validation before any test example was scored; None where it could not be.

    chosen       bin edge of the threshold by the run's own rule
    spec90       bin edge for a specificity of .90
    sens90       bin edge for a sensitivity of .90
    prevalence   share of positives to which precision and AUPRC are carried over, so that sites can be compared
    """

    chosen: int | None = None
    spec90: int | None = None
    sens90: int | None = None
    prevalence: float | None = None


class Value(NamedTuple):
    """A metric and its bootstrap replicates; nan where undefined."""

    point: float
    replicates_R: Floats


@dataclass(frozen=True)
class Sample:
    """One histogram or many (X: none or replicates), and what several metrics share."""

    histogram_XCK: Counts
    squared_error_X: Floats
    frozen: Frozen

    @cached_property
    def line(self) -> Line:
        return calibration_line(self.histogram_XCK)

    @property
    def nowhere_X(self) -> Floats:
        """nan for every histogram."""
        return np.full(self.histogram_XCK.shape[:-2], np.nan)


Metric = Callable[[Sample], Floats]
EdgeName = Literal["chosen", "spec90", "sens90"]


def _at(edge_name: EdgeName, metric: Callable[[Confusion], Floats]) -> Metric:
    def value(sample: Sample) -> Floats:
        edge = getattr(sample.frozen, edge_name)
        return sample.nowhere_X if edge is None else metric(confusion_at(sample.histogram_XCK, edge))

    return value


def _precision_adjusted(sample: Sample) -> Floats:
    edge, prevalence = sample.frozen.chosen, sample.frozen.prevalence
    if edge is None or prevalence is None:
        return sample.nowhere_X
    return precision_at(confusion_at(sample.histogram_XCK, edge), prevalence)


def _auprc_adjusted(sample: Sample) -> Floats:
    prevalence = sample.frozen.prevalence
    return sample.nowhere_X if prevalence is None else average_precision_at(sample.histogram_XCK, prevalence)


DEFINITION: dict[str, Metric] = {
    "auc": lambda sample: auc(sample.histogram_XCK),
    "auprc": lambda sample: average_precision(sample.histogram_XCK),
    "sensitivity": _at("chosen", sensitivity),
    "specificity": _at("chosen", specificity),
    "accuracy": _at("chosen", accuracy),
    "precision": _at("chosen", precision),
    "recall": _at("chosen", sensitivity),
    "f1": _at("chosen", f1),
    "sensitivity_at_spec90": _at("spec90", sensitivity),
    "specificity_at_spec90": _at("spec90", specificity),
    "sensitivity_at_sens90": _at("sens90", sensitivity),
    "specificity_at_sens90": _at("sens90", specificity),
    "precision_adjusted": _precision_adjusted,
    "auprc_adjusted": _auprc_adjusted,
    "brier": lambda sample: brier(sample.squared_error_X, sample.histogram_XCK),
    "ece": lambda sample: expected_calibration_error(sample.histogram_XCK),
    "calibration_slope": lambda sample: sample.line.slope,
    "calibration_intercept": lambda sample: sample.line.intercept,
}
METRICS = tuple(DEFINITION)

OF_ANY_CLASS = {"accuracy", "brier", "ece"}  # defined wherever there is an example
OF_POSITIVES = {"sensitivity", "recall", "precision", "f1", "sensitivity_at_spec90", "sensitivity_at_sens90"}
OF_NEGATIVES = {"specificity", "specificity_at_spec90", "specificity_at_sens90"}
OF_BOTH_CLASSES = set(METRICS) - OF_ANY_CLASS - OF_POSITIVES - OF_NEGATIVES
AT_CHOSEN = {"sensitivity", "specificity", "accuracy", "precision", "recall", "f1", "precision_adjusted"}


@dataclass(frozen=True)
class Measured:
    """A sample's statistics under what was frozen; each metric is worked out once, when it is first asked for."""

    statistics: ScoreStatistics
    frozen: Frozen = field(default_factory=Frozen)
    _values: dict[str, Value] = field(default_factory=dict, init=False, repr=False, compare=False)

    def value(self, name: str) -> Value:
        """A metric of ``METRICS``."""
        if name not in self._values:
            metric = DEFINITION[name]
            self._values[name] = Value(float(metric(self._whole)), metric(self._replicates))
        return self._values[name]

    def for_interval(self, name: str) -> Value:
        """The value, with replicates whose spread may be taken for its own.

        A calibration error is a mean of absolute values, and resampling adds to each: its replicates lie above it by
        chance alone, and their percentiles may leave it out. They are moved down to have it as their mean. Of 300
        simulated samples of 100 or 400 examples, the 95 % interval then held the mean error of such samples in 96 to
        100 of 100, and in 78 to 95 without. It speaks of the number shown, chance included: see ``error_floor``.
        """
        point, replicates_R = self.value(name)
        if name != "ece" or not len(replicates_R) or math.isnan(point):
            return Value(point, replicates_R)
        return Value(point, np.maximum(replicates_R - (np.nanmean(replicates_R) - point), 0.0))

    def is_defined(self, name: str) -> bool:
        return not math.isnan(self.value(name).point)

    def why_undefined(self, name: str) -> str:
        """The reason, in words, why ``name`` has no value for these statistics."""
        if not self.statistics.num_examples:
            return "no examples"
        if self._lacks_threshold(name):
            return "no threshold could be frozen"
        if not self.statistics.num_positive and name not in OF_NEGATIVES:
            return "no positive examples"
        if not self.statistics.num_negative and name in OF_NEGATIVES | OF_BOTH_CLASSES:
            return "no negative examples"
        if name.endswith("_adjusted") and self.frozen.prevalence is None:
            return "no reference prevalence: validation has one class only"
        if name.startswith("calibration_"):
            return why_no_line(self.statistics.histogram_CK)
        return "nothing was called positive"

    def _lacks_threshold(self, name: str) -> bool:
        frozen = self.frozen
        if name in AT_CHOSEN:
            return frozen.chosen is None
        return (name.endswith("_spec90") and frozen.spec90 is None) or (
            name.endswith("_sens90") and frozen.sens90 is None
        )

    @cached_property
    def _whole(self) -> Sample:
        error = np.asarray(self.statistics.squared_error, dtype=np.float64)
        return Sample(self.statistics.histogram_CK, error, self.frozen)

    @cached_property
    def _replicates(self) -> Sample:
        return Sample(self.statistics.replicates_RCK, self.statistics.squared_error_R, self.frozen)
