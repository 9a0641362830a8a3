"""Percentile intervals from bootstrap replicates, and when there is none."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.measured import Measured, Value

Floats = npt.NDArray[np.float64]

MAX_UNDEFINED_SHARE = 0.05
# Of 250 simulated sites with correlated examples, the 95 % interval of the AUC held the true one at 60 to 78 % with 3
# patients, at 81 to 87 % with 5, at 89 to 91 % with 10.
LEAST_PATIENTS, FEW_PATIENTS = 5, 10


def interval(value: float, replicates_R: Floats, *, confidence: float, num_patients: int, why: str) -> Estimate:
    """``value`` with the percentile interval of its replicates (Efron and Tibshirani 1993, section 13.3).

    A replicate in which the metric is undefined is nan. They are counted, and above 5 % of them there is no interval:
    what is left would be the replicates that happened to hold both classes, which is another question. ``why`` is the
    reason to give where the value itself is undefined (nan).

    ``num_patients``: of the smallest site in it. Resampling few patients gives too narrow an interval: below
    ``LEAST_PATIENTS`` there is none, below ``FEW_PATIENTS`` it is marked by its reason.
    """
    if math.isnan(value):
        return Estimate(reason=why)
    if not len(replicates_R):
        return Estimate(value=value, reason="no interval: no bootstrap replicates were asked for")
    if num_patients < LEAST_PATIENTS:
        return Estimate(value=value, reason=f"too few patients for an interval ({num_patients})")
    num_undefined = int(np.isnan(replicates_R).sum())
    if num_undefined > MAX_UNDEFINED_SHARE * len(replicates_R):
        reason = (
            f"no interval: undefined in {num_undefined} of {len(replicates_R)} bootstrap replicates (too few patients)"
        )
        return Estimate(value=value, reason=reason, num_undefined=num_undefined)
    tail = (1.0 - confidence) / 2.0
    low, high = np.nanquantile(replicates_R, (tail, 1.0 - tail))
    few = num_patients < FEW_PATIENTS
    mark = f"few patients ({num_patients}): the interval is likely too narrow" if few else None
    return Estimate(value=value, low=float(low), high=float(high), reason=mark, num_undefined=num_undefined)


def why_no_interval(found: Estimate) -> str:
    """The reason without the words that a sentence around it says already."""
    return (found.reason or "").removeprefix("no interval: ")


def estimate(name: str, measured: Measured, *, confidence: float) -> Estimate:
    """A metric of one site, or of the pooled statistics, with its interval."""
    value, replicates_R = measured.for_interval(name)
    return interval(
        value,
        replicates_R,
        confidence=confidence,
        num_patients=measured.statistics.num_patients,
        why=measured.why_undefined(name),
    )


def mean_over_sites(values: list[Value]) -> Value:
    """The unweighted mean of values and of their replicates. Sites are independent: replicate b goes with replicate b.

    nan for no sites at all; a replicate in which one site is undefined is undefined.
    """
    if not values:
        return Value(math.nan, np.empty(0))
    points, replicates = zip(*values, strict=True)
    return Value(float(np.mean(points)), np.mean(replicates, axis=0))
