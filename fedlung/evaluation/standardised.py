"""A site's AUC as it would be with another site's mix of sizes: is the site worse, or are its nodules harder?

Malignancy is read off a nodule's size to a large part, and sites differ in their sizes; a gap in AUC is a gap in sizes
as well. Within a stratum of size that part is mostly gone. Everything here is a pure function of statistics by stratum.

A task whose negatives have no size (background patches) puts all of them into every stratum: each stratum's positives
are then told from the same negatives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedlung.errors import DataError
from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.intervals import interval, mean_over_sites
from fedlung.evaluation.measured import Measured, Value
from fedlung.evaluation.statistics import ScoreStatistics


@dataclass(frozen=True, order=True)
class SubgroupKey:
    """A part of a site's examples: what divides them, and which part; e.g. ("size", "6-8mm")."""

    variable: str
    level: str

    def __str__(self) -> str:
        return f"{self.variable}/{self.level}"


Strata = Mapping[SubgroupKey, ScoreStatistics]
Weights = Mapping[SubgroupKey, float]

SIZE_STRATA = tuple(SubgroupKey("size", level) for level in ("<6mm", "6-8mm", "8-15mm", ">15mm"))


def size_stratum(diameter_mm: float) -> SubgroupKey:
    """The stratum of a volume-equivalent diameter: [0, 6), [6, 8), [8, 15] and above 15 mm.

    Raises DataError for a diameter that is no number of mm.
    """
    if not (math.isfinite(diameter_mm) and diameter_mm >= 0):
        text = f"no stratum of size for a diameter of {diameter_mm} mm"
        raise DataError(text, public="a diameter is no number of mm")
    return SIZE_STRATA[(diameter_mm >= 6.0) + (diameter_mm >= 8.0) + (diameter_mm > 15.0)]


def mantel_haenszel_weights(reference: Strata) -> dict[SubgroupKey, float]:
    """n1 · n0 / (n1 + n0) of the reference's strata, made to add up to 1; {} where no stratum has both classes.

    The weights of Mantel and Haenszel (J Natl Cancer Inst 22, 1959), near to optimal for a difference that is the same
    in every stratum: a stratum counts by the positives and negatives that it has to compare. The same weights for every
    site make their AUCs comparable (direct standardisation; Janes and Pepe, Biometrika 96, 2009).
    """
    products = {
        key: found.num_positive * found.num_negative / found.num_examples
        for key, found in sorted(reference.items())
        if found.num_positive and found.num_negative
    }
    return _normalised(products)


def shared_weights(weights: Weights, strata_by_site: Sequence[Strata]) -> tuple[dict[SubgroupKey, float], float]:
    """The weights of those strata that have both classes at every site, made to add up to 1; and their share before.

    A small site has seldom a benign nodule above 15 mm. Sites are compared on what all of them have; a share far below
    1 says that the comparison is of another mix than the reference's.
    """
    kept = {
        key: weight
        for key, weight in sorted(weights.items())
        if all(key in strata and strata[key].num_positive and strata[key].num_negative for strata in strata_by_site)
    }
    return _normalised(kept), math.fsum(kept.values())


def standardised_auc(strata: Strata, weights: Weights) -> Value:
    """The sum over strata of weight · AUC within the stratum; nan where one with a weight has no AUC.

    Replicate b goes with replicate b. That holds only where the site drew one weight for each patient and used it in
    all strata: a patient with nodules in two of them must count alike in both.
    """
    if not weights or any(key not in strata for key in weights):
        return Value(math.nan, np.empty(0))
    return mixed({key: Measured(strata[key]).value("auc") for key in weights}, weights)


def mixed(values: Mapping[SubgroupKey, Value], weights: Weights) -> Value:
    """The sum over the weights' strata of weight · value."""
    parts = [(weight, values[key]) for key, weight in sorted(weights.items())]
    point = math.fsum(weight * value.point for weight, value in parts)
    return Value(point, np.sum([weight * value.replicates_R for weight, value in parts], axis=0))


def standardised_estimate(strata: Strata, weights: Weights, *, confidence: float, num_patients: int) -> Estimate:
    """The standardised AUC with its interval. ``num_patients``: of the site, for strata share patients."""
    point, replicates_R = standardised_auc(strata, weights)
    why = why_not_standardised(strata, weights)
    return interval(point, replicates_R, confidence=confidence, num_patients=num_patients, why=why)


def standardised_gap(
    sources: Mapping[str, Strata],
    held_out: Mapping[str, Strata],
    weights: Weights,
    *,
    confidence: float,
    num_patients: int,
) -> Estimate:
    """Mean of the source sites' standardised AUCs minus the mean of the held-out sites', each site counting alike.

    ``weights``: best those of ``shared_weights`` over all these sites. ``num_patients``: of the smallest site. A site
    without a value makes the gap undefined, and is named.
    """
    undefined = [
        f"{site} ({why_not_standardised(strata, weights)})"
        for site, strata in sorted({**sources, **held_out}.items())
        if math.isnan(standardised_auc(strata, weights).point)
    ]
    if undefined or not (sources and held_out):
        return Estimate(reason=f"undefined at {', '.join(undefined)}" if undefined else "no source or no held-out site")
    source, other = (
        mean_over_sites([standardised_auc(strata, weights) for _, strata in sorted(sites.items())])
        for sites in (sources, held_out)
    )
    return interval(
        source.point - other.point,
        source.replicates_R - other.replicates_R,
        confidence=confidence,
        num_patients=num_patients,
        why="",
    )


def why_not_standardised(strata: Strata, weights: Weights) -> str:
    """The reason, in words, why a site has no standardised AUC: the first stratum without one."""
    if not weights:
        return "no stratum has both classes"
    for key in sorted(weights):
        if key not in strata:
            return f"{key.level}: no examples"
        if not Measured(strata[key]).is_defined("auc"):
            return f"{key.level}: {Measured(strata[key]).why_undefined('auc')}"
    return ""


def _normalised(weights: Weights) -> dict[SubgroupKey, float]:
    total = math.fsum(weights.values())
    return {key: weight / total for key, weight in weights.items()} if total else {}
