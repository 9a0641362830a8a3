"""AUC at unseen sites within strata of nodule size, and with one mix of sizes at every site; and in other subgroups.

A site may be worse because its nodules are harder: within a stratum, and with the same mix of strata at every site,
that part of the difference is mostly gone. See ``evaluation/standardised.py``.

``K`` score bins, ``C`` classes, ``X`` nothing or replicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fedlung.evaluation.kept import SiteTests
from fedlung.evaluation.measured import Measured
from fedlung.evaluation.metrics import Counts
from fedlung.evaluation.scores import MODEL
from fedlung.evaluation.standardised import (
    SIZE_STRATA,
    Strata,
    SubgroupKey,
    Weights,
    mantel_haenszel_weights,
    mixed,
    shared_weights,
)
from fedlung.evaluation.statistics import NUM_BINS, ScoreStatistics, add_statistics
from fedlung.evaluation.subgroups import KERNELS, TEXTURES, THICKNESSES
from fedlung.loso.arithmetic import NOTHING, Measurement, measurement
from fedlung.loso.folds import FinishedFold, Folds
from fedlung.loso.plan import Fold
from fedlung.loso.record import Part, SiteStrata
from fedlung.loso.rows import SIZE, Family, Rows, trained_on

PARTS = (*SIZE_STRATA, *TEXTURES, *THICKNESSES, *KERNELS)
NOT_KNOWN = "the site's data do not say"
Counted = TypeVar("Counted", npt.NDArray[np.int64], npt.NDArray[np.int32])
NO_SIZES = "the nodules' diameters are not kept as a score, or not of every example"


class StrataValues:
    """The AUC in every stratum of size, of each fold and site, worked out once for all tables."""

    def __init__(self) -> None:
        self._found: dict[tuple[Fold, str, bool], dict[SubgroupKey, Measurement]] = {}

    def of(self, found: FinishedFold, site: str, *, by_size: bool) -> dict[SubgroupKey, Measurement]:
        """By stratum, of the model or of the diameter in its place; {} where the site does not tell of them."""
        key = found.fold, site, by_size
        if key not in self._found:
            own = found.tests.sites[site]
            strata = strata_of_sizes(own) if by_size else model_strata(own)
            self._found[key] = {level: measurement(Measured(part), "auc") for level, part in strata.items()}
        return self._found[key]


class StratumRows(Rows):
    """Everything in the AUC within one stratum of size."""

    def __init__(
        self, folds: Folds, key: SubgroupKey, confidence: float, reference: Family, values: StrataValues
    ) -> None:
        super().__init__(folds, "auc", confidence, reference)
        self.key, self.values = key, values

    def measure(self, found: FinishedFold, site: str) -> Measurement | None:
        return self._within(found, site, by_size=False)

    def measure_part(self, found: FinishedFold, site: str) -> Measurement | None:
        """None: a site does not tell of the subgroups of a part of its patients."""
        return None

    def measure_size(self, found: FinishedFold, site: str) -> Measurement | None:
        return self._within(found, site, by_size=True)

    def _within(self, found: FinishedFold, site: str, *, by_size: bool) -> Measurement | None:
        if site not in found.tests.sites:
            return None
        strata = self.values.of(found, site, by_size=by_size)
        if self.key in strata:
            return _at(site, strata[self.key])
        return _at(site, _undefined(NO_SIZES if by_size and not strata else why_none(self.key, found, site)))


class StandardisedRows(Rows):
    """Everything in the AUC with one mix of sizes, that of ``weights``."""

    def __init__(
        self, folds: Folds, weights: Weights, confidence: float, reference: Family, values: StrataValues
    ) -> None:
        super().__init__(folds, "auc", confidence, reference)
        self.weights, self.values = weights, values

    def measure(self, found: FinishedFold, site: str) -> Measurement | None:
        return self._standardised(found, site, by_size=False)

    def measure_part(self, found: FinishedFold, site: str) -> Measurement | None:
        """None: a site does not tell of the subgroups of a part of its patients."""
        return None

    def measure_size(self, found: FinishedFold, site: str) -> Measurement | None:
        return self._standardised(found, site, by_size=True)

    def _standardised(self, found: FinishedFold, site: str, *, by_size: bool) -> Measurement | None:
        if site not in found.tests.sites:
            return None
        strata = self.values.of(found, site, by_size=by_size)
        if not strata:
            return _at(site, _undefined(NO_SIZES if by_size else NOT_KNOWN))
        if why := self._why_none(strata):
            return _at(site, _undefined(why))
        value = mixed({key: own.value for key, own in strata.items()}, self.weights)
        return Measurement(value, found.tests.sites[site].scores[MODEL].num_patients)

    def _why_none(self, strata: Mapping[SubgroupKey, Measurement]) -> str:
        """The first stratum without an AUC, or that there is none to begin with."""
        if not self.weights:
            return "no stratum has both classes at every site"
        without = (key for key in sorted(self.weights) if key not in strata or strata[key].why)
        first = next(without, None)
        if first is None:
            return ""
        return f"{first.level}: {strata[first].why if first in strata else 'no examples, or not told of'}"


def weights_of(folds: Folds, reference: Family, *, with_sources: bool) -> tuple[dict[SubgroupKey, float], float]:
    """Mantel and Haenszel's weights of the unseen sites' strata in which each has both classes, and their share.

    ``with_sources``: of those that the test patients of the sites that trained can be judged in as well.
    """
    unseen: list[Strata] = []
    sources: list[Strata] = []
    for fold in (fold for fold in reference.folds if fold not in reference.passed_over):
        if found := folds.finished.get(fold):
            unseen.append(_without_replicates(found.tests.sites.get(fold.unseen)))
            sources += [_without_replicates(found.tests.sites.get(name)) for name in trained_on(fold, folds.sites)]
    asked = [strata for strata in (*unseen, *(sources if with_sources else ())) if strata]
    return shared_weights(mantel_haenszel_weights(_pooled(unseen)), asked)


def parts_of(folds: Folds, reference: Family, confidence: float) -> tuple[Part, ...]:
    """How the reference does in every subgroup that some unseen site has, by site; where it is not told, why."""
    found = (_PartRows(folds, key, confidence, reference).part() for key in PARTS)
    return tuple(
        part for part in found if any(site.num_patients or _is_kept_back(site) for site in part.sites.values())
    )


def model_strata(site: SiteTests | None) -> Strata:
    """A site's scores by the model, by stratum of size; {} where it does not tell of sizes."""
    return {} if site is None else {key: site.subgroups[key] for key in SIZE_STRATA if key in site.subgroups}


def strata_of_sizes(site: SiteTests | None) -> Strata:
    """A site's diameters as scores, by stratum of size; {} where they are not told of every example, or not by stratum.

    Strata are ranges of the diameter, and the score rises with it. So the histogram of all examples is that of the
    strata one above the other, and how many of each class a stratum has says where to cut it; exactly, for within a
    bin all scores are tied.
    """
    strata = model_strata(site)
    if site is None or SIZE not in site.scores or not strata:
        return {}
    size = site.scores[SIZE]
    if sum(found.num_examples for found in strata.values()) != size.num_examples:
        return {}
    below, below_R = np.zeros(2, dtype=np.int64), np.zeros((size.num_replicates, 2), dtype=np.int64)
    cut = {}
    for key, found in strata.items():
        num, num_R = found.histogram_CK.sum(axis=-1), found.replicates_RCK.sum(axis=-1)
        cut[key] = ScoreStatistics(
            histogram_CK=_between(size.histogram_CK, below, below + num),
            squared_error=0.0,  # of a diameter, which is no probability
            num_patients=found.num_patients,
            replicates_RCK=_between(size.replicates_RCK, below_R, below_R + num_R),
            squared_error_R=np.zeros(size.num_replicates),
        )
        below, below_R = below + num, below_R + num_R
    return cut


def why_none(key: SubgroupKey, found: FinishedFold, site: str) -> str:
    """Why a site has not told of a subgroup, as the fold's own report says it."""
    rows = found.judgement.subgroups
    reasons = [row.auc.reason for row in rows if (row.variable, row.level, row.site) == (key.variable, key.level, site)]
    return reasons[0] or NOT_KNOWN if reasons else NOT_KNOWN


class _PartRows(Rows):
    """The AUC in one subgroup of the examples."""

    def __init__(self, folds: Folds, key: SubgroupKey, confidence: float, reference: Family) -> None:
        super().__init__(folds, "auc", confidence, reference)
        self.key = key

    def measure(self, found: FinishedFold, site: str) -> Measurement | None:
        sample = found.tests.subgroup(site, self.key)
        return self._measurement(sample) or _undefined(why_none(self.key, found, site))

    def part(self) -> Part:
        sites = {site: self._at_unseen(site) for site in self.folds.sites}
        return Part(variable=self.key.variable, level=self.key.level, sites=sites)

    def _at_unseen(self, site: str) -> SiteStrata:
        auc = self.cell([self.unseen(self.reference, site, seed) for seed in self.folds.seeds])
        folds = (fold for seed in self.folds.seeds for fold in self.reference.judging(site, seed))
        first = next((self.folds.finished[fold] for fold in folds if fold in self.folds.finished), None)
        sample = None if first is None else first.tests.subgroup(site, self.key)
        if sample is None:
            return SiteStrata(num_patients=0, num_positive=0, num_negative=0, auc=auc)
        told = sample.statistics
        num = {"num_patients": told.num_patients, "num_positive": told.num_positive, "num_negative": told.num_negative}
        return SiteStrata(**num, auc=auc)


def _is_kept_back(site: SiteStrata) -> bool:
    return "kept by the site" in (site.auc.estimate.reason or "")


def _without_replicates(site: SiteTests | None) -> Strata:
    """Strata for counting: of sites with any number of replicates, and light."""
    none_RCK, none_R = np.empty((0, 2, NUM_BINS), dtype=np.int32), np.empty(0)
    strata = model_strata(site).items()
    return {key: replace(found, replicates_RCK=none_RCK, squared_error_R=none_R) for key, found in strata}


def _pooled(strata_by_site: Iterable[Strata]) -> Strata:
    together: dict[SubgroupKey, list[ScoreStatistics]] = {}
    for strata in strata_by_site:
        for key, found in strata.items():
            together.setdefault(key, []).append(found)
    return {key: add_statistics(found) for key, found in together.items()}


def _between(histogram_XCK: Counted, low_XC: Counts, high_XC: Counts) -> Counted:
    """Of each class's examples in order of the score, those from ``low`` to ``high``: their histogram."""
    below_XCK = np.cumsum(histogram_XCK, axis=-1)
    clipped_XCK = np.clip(below_XCK, low_XC[..., None], high_XC[..., None]) - low_XC[..., None]
    found: Counted = np.diff(clipped_XCK, axis=-1, prepend=0).astype(histogram_XCK.dtype)
    return found


def _at(site: str, found: Measurement) -> Measurement:
    """A measurement that says, where it is undefined, at which site: means and gaps are made of several."""
    return replace(found, why=f"{site}: {found.why}") if found.why else found


def _undefined(why: str) -> Measurement:
    return Measurement(NOTHING.value, 0, why)
