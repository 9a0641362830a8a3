"""Means and differences of measurements, replicate by replicate.

A site weighs a patient alike in all of its replicates b, whatever the model, the seed or the fold; and sites are
independent. So numbers made of several runs and sites have their replicates made in the same way, and their interval
is that of one draw of patients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedlung.evaluation.comparison import across_seeds, with_p_value
from fedlung.evaluation.estimates import Comparison, Estimate
from fedlung.evaluation.intervals import interval
from fedlung.evaluation.measured import Measured, Value
from fedlung.loso.record import Cell


@dataclass(frozen=True)
class Measurement:
    """A value, and the patients behind it: the fewest of all sites that are in it. ``why``: where it is undefined."""

    value: Value
    num_patients: int
    why: str = ""


NOTHING = Measurement(Value(math.nan, np.empty(0)), 0, "no run of the plan gives it")


def measurement(sample: Measured, metric: str) -> Measurement:
    """One metric of one sample."""
    why = "" if sample.is_defined(metric) else sample.why_undefined(metric)
    return Measurement(sample.value(metric), sample.statistics.num_patients, why)


def mean(measurements: Sequence[Measurement]) -> Measurement:
    """The unweighted mean; undefined where one of them is, and for none at all."""
    if not measurements:
        return NOTHING
    if undefined := [one for one in measurements if math.isnan(one.value.point)]:
        return Measurement(NOTHING.value, undefined[0].num_patients, undefined[0].why)
    point = math.fsum(one.value.point for one in measurements) / len(measurements)
    replicates_R = np.mean([one.value.replicates_R for one in measurements], axis=0)
    return Measurement(Value(point, replicates_R), min(one.num_patients for one in measurements))


def minus(one: Measurement, other: Measurement) -> Measurement:
    """The difference; undefined where one of them is."""
    for part in (one, other):
        if math.isnan(part.value.point):
            return Measurement(NOTHING.value, part.num_patients, part.why)
    value = Value(one.value.point - other.value.point, one.value.replicates_R - other.value.replicates_R)
    return Measurement(value, min(one.num_patients, other.num_patients))


def estimate(found: Measurement, confidence: float) -> Estimate:
    """The number with its interval, or its reason."""
    point, replicates_R = found.value
    return interval(point, replicates_R, confidence=confidence, num_patients=found.num_patients, why=found.why)


def comparison(difference: Measurement, confidence: float) -> Comparison:
    """A paired difference with its interval and p-value."""
    return with_p_value(
        difference.value, confidence=confidence, num_patients=difference.num_patients, why=difference.why
    )


def cell(by_seed: Sequence[Measurement | None], confidence: float) -> Cell:
    """The mean over the seeds that there are, and what they did; None for a seed without a run."""
    there = [one for one in by_seed if one is not None]
    values = tuple(None if one is None or math.isnan(one.value.point) else one.value.point for one in by_seed)
    found = estimate(mean(there), confidence)
    if there and len(there) < len(by_seed):
        note = f"{len(there)} of {len(by_seed)} seeds"
        found = found.model_copy(update={"reason": "; ".join(filter(None, [found.reason, note]))})
    return Cell(estimate=found, seeds=across_seeds(values), values=values)
