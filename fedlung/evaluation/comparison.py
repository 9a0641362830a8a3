"""Two models on the same patients: the paired difference, its p-value, Holm's correction, and runs with several seeds.

Across a handful of sites no test of sites has any power (the smallest p-value of a sign test on 4 sites is .125), so
that what is tested here is always patients, within a site or pooled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fedlung.evaluation.estimates import Comparison, Estimate, SeedSpread
from fedlung.evaluation.intervals import interval
from fedlung.evaluation.measured import Measured, Value
from fedlung.evaluation.metrics import Floats
from fedlung.evaluation.statistics import ScoreStatistics

NOT_PAIRED = "no interval: the site did not draw both scores' replicates alike"


def paired_difference(name: str, one: Measured, other: Measured, *, confidence: float) -> Comparison:
    """``one``'s metric minus ``other``'s on the same examples, replicate by replicate (Efron and Tibshirani 1993).

    Each model has its own thresholds: see ``Measured.frozen``. An interval and a p-value only where both weighed the
    same patients alike.
    """
    first, second = one.for_interval(name), other.for_interval(name)
    difference = Value(first.point - second.point, first.replicates_R - second.replicates_R)
    if math.isnan(difference.point):
        without = other if one.is_defined(name) else one
        return Comparison(difference=Estimate(reason=without.why_undefined(name)))
    if not are_paired(one.statistics, other.statistics):
        return Comparison(difference=Estimate(value=difference.point, reason=NOT_PAIRED))
    return with_p_value(difference, confidence=confidence, num_patients=one.statistics.num_patients)


def with_p_value(difference: Value, *, confidence: float, num_patients: int, why: str = "") -> Comparison:
    """A difference with its interval and p-value; the latter only where there is an interval.

    ``num_patients``: of the smallest site in it. ``why``: the reason where the difference itself is undefined.
    """
    estimate = interval(
        difference.point, difference.replicates_R, confidence=confidence, num_patients=num_patients, why=why
    )
    p_value = None if estimate.low is None else bootstrap_p_value(difference.replicates_R)
    return Comparison(difference=estimate, p_value=p_value)


def bootstrap_p_value(differences_R: Floats) -> float:
    """Two-sided: min(1, 2 · (1 + m) / (1 + R)), m being the fewer of the replicates at or below 0 and at or above 0.

    The level at which the percentile interval begins to hold 0, with the added one that keeps it from ever being 0
    (Davison and Hinkley 1997, section 4.2). Replicates without a value do not count.
    """
    defined_R = differences_R[~np.isnan(differences_R)]
    fewer = min(int((defined_R <= 0).sum()), int((defined_R >= 0).sum()))
    return min(1.0, 2.0 * (1 + fewer) / (1 + len(defined_R)))


def are_paired(one: ScoreStatistics, other: ScoreStatistics) -> bool:
    """Whether two scores of the same examples were drawn with the same weights: each class then counts as often."""
    return np.array_equal(one.replicates_RCK.sum(axis=2), other.replicates_RCK.sum(axis=2))


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Each p-value adjusted for the family (Holm, Scand J Stat 6, 1979).

    Of m tests the i-th smallest becomes the largest of min(1, (m - j + 1) · p_(j)) over j <= i. A test that came out
    undefined (None) was planned as well: it counts in m, and stays None.
    """
    defined = {name: value for name, value in p_values.items() if value is not None}
    adjusted: dict[str, float | None] = dict.fromkeys(p_values)
    highest = 0.0
    for rank, name in enumerate(sorted(defined, key=lambda name: (defined[name], name))):
        highest = max(highest, min(1.0, (len(p_values) - rank) * defined[name]))
        adjusted[name] = highest
    return adjusted


def across_seeds(values: Sequence[float | None]) -> SeedSpread:
    """What one number did over seeds: mean, standard deviation (of the sample) and range; never the best.

    The spread of seeds is that of training. It says nothing of other patients, and is no confidence interval.
    """
    defined = [value for value in values if value is not None]
    return SeedSpread(
        num_seeds=len(values),
        num_undefined=len(values) - len(defined),
        mean=math.fsum(defined) / len(defined) if defined else None,
        sd=float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
        lowest=min(defined, default=None),
        highest=max(defined, default=None),
    )
