"""One row of the comparison: a method's or a baseline's numbers at every unseen site, and what they are set against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fedlung.config import Scalar
from fedlung.evaluation.detection.froc import SENSITIVITY_AT_RATE
from fedlung.evaluation.estimates import Comparison, Estimate
from fedlung.evaluation.measured import Measured
from fedlung.evaluation.subgroups import OWN_TEST
from fedlung.loso.arithmetic import NOTHING, Measurement, cell, comparison, estimate, mean, measurement, minus
from fedlung.loso.folds import FinishedFold, Folds
from fedlung.loso.plan import Fold, Kind
from fedlung.loso.record import Cell, Row, RowKind, Tried

SIZE = "size"
MEAN = "mean"  # beside the sites' names
# Where worse is: +1 above, -1 below. A calibration slope is best at 1.
WORSE = {"auc": -1, "auprc_adjusted": -1, "sensitivity_at_spec90": -1, "specificity_at_sens90": -1, "brier": 1}
WORSE |= dict.fromkeys(("cpm", *SENSITIVITY_AT_RATE), -1)

UNCHOSEN = Measurement(NOTHING.value, 0, "no settings could be chosen on source validation")

BySeed = Sequence[Measurement | None]
Pick = Callable[[FinishedFold], Measurement | None]
Measure = Callable[[FinishedFold, str], Measurement | None]


@dataclass(frozen=True)
class Family:
    """The folds that make a row: those of one method, or of one kind of baseline.

    ``choices`` are the keys that a method leaves to be chosen, ``folds`` then those of all its variants. ``tried``
    says what was chosen at each unseen site, and ``passed_over`` are the folds of what was not.
    """

    name: str
    kind: RowKind
    folds: tuple[Fold, ...]
    settings: Mapping[str, Scalar]
    choices: tuple[str, ...] = ()
    tried: tuple[Tried, ...] = ()
    passed_over: frozenset[Fold] = frozenset()

    def judging(self, unseen: str, seed: int) -> list[Fold]:
        """The folds in which ``unseen`` is unseen: one, or of models trained alone one for each other site."""
        own = [fold for fold in self.folds if fold.seed == seed and fold not in self.passed_over]
        return [fold for fold in own if fold.unseen == unseen or (fold.site and fold.site != unseen)]


def trained_on(fold: Fold, sites: Sequence[str]) -> tuple[str, ...]:
    """The sites whose patients trained the fold's model."""
    return (fold.site,) if fold.site else tuple(site for site in sites if site != fold.unseen)


class Rows:
    """The rows of one table: everything in one metric.

    What is measured in a fold is said by ``measure``, ``measure_part`` and ``measure_size``, and by them alone; a table
    of something else has others.
    """

    def __init__(self, folds: Folds, metric: str, confidence: float, reference: Family) -> None:
        self.folds, self.metric, self.confidence, self.reference = folds, metric, confidence, reference
        self._measured: dict[tuple[str, Fold, str], Measurement | None] = {}

    def measure(self, found: FinishedFold, site: str) -> Measurement | None:
        """The model of a fold on all test patients that a site has in it; None where the site has not told of them."""
        return self._measurement(found.tests.measured(site))

    def measure_part(self, found: FinishedFold, site: str) -> Measurement | None:
        """The same on those of an unseen site's patients who would be its test patients."""
        return self._measurement(found.tests.subgroup(site, OWN_TEST))

    def measure_size(self, found: FinishedFold, site: str) -> Measurement | None:
        """The nodules' diameter alone, in place of a model."""
        return self._measurement(found.tests.measured(site, SIZE))

    def row(self, family: Family) -> Row:
        """The row of a family of folds."""
        unseen, source = self._of(self.unseen, family), self._of(self.source, family)
        cells = {site: self.cell(by_seed) for site, by_seed in unseen.items()}
        worst = worst_of({site: found.estimate for site, found in cells.items()}, self.metric)
        return Row(
            name=family.name,
            kind=family.kind,
            unseen=cells,
            unseen_mean=self.cell(across(unseen)),
            worst_site=worst,
            worst=cells[worst].estimate if worst else Estimate(reason="no site is the worst one"),
            source_mean=self.cell(across(source)),
            gap=self._told(paired(across(source), across(unseen))),
            gaps={site: self._told(paired(source[site], unseen[site])) for site in unseen},
            to_oracle=self._to_oracle(family),
            to_reference=self._to_reference(family, unseen),
            adjusted_p={},
            to_size=self._to_size(unseen),
            missing={fold.name: reason for fold, reason in self.folds.absent.items() if fold in family.folds},
            settings=dict(family.settings),
            chosen={one.site: one.settings for one in family.tried if one.is_chosen},
        )

    def unseen(self, family: Family, site: str, seed: int) -> Measurement | None:
        """All patients of an unseen site; of models trained alone, the mean over the models."""
        return self._mean_over(family, site, seed, lambda fold: self._at(fold, site))

    def own_test(self, family: Family, site: str, seed: int) -> Measurement | None:
        """Of an unseen site's patients those that would be its test patients."""
        return self._mean_over(family, site, seed, lambda fold: self._part(fold, site))

    def everywhere(self, models: Sequence[Fold]) -> dict[str, Cell]:
        """One model, in one fold for each seed, at every site: all patients where it is unseen, else its own test."""
        found = [self.folds.finished.get(fold) for fold in models]
        return {
            site: self.cell([None if one is None else self._at(one, site) for one in found])
            for site in self.folds.sites
        }

    def cell(self, by_seed: BySeed) -> Cell:
        """The mean over seeds, and what they did."""
        return cell(by_seed, self.confidence)

    def source(self, family: Family, unseen: str, seed: int) -> Measurement | None:
        """The test patients of the sites that trained: the unweighted mean over them."""

        def pick(found: FinishedFold) -> Measurement | None:
            each = [self._at(found, site) for site in trained_on(found.fold, self.folds.sites)]
            return mean([one for one in each if one is not None]) if None not in each else None

        return self._mean_over(family, unseen, seed, pick)

    def oracle(self, site: str, seed: int) -> Measurement | None:
        """A site's own test patients, by the model that all sites trained."""
        found = self._fold("oracle", seed)
        return None if found is None else self._at(found, site)

    def size(self, site: str, seed: int) -> Measurement | None:
        """A site's patients ranked by the nodules' diameter alone; no model has a part in it."""
        for fold in self.reference.judging(site, seed):
            found = self.folds.finished.get(fold)
            size = None if found is None else self._once(self.measure_size, found, site)
            if size is not None:
                return size
        return None

    def _of(self, what: Callable[[Family, str, int], Measurement | None], family: Family) -> dict[str, BySeed]:
        """By unseen site."""
        return {site: [what(family, site, seed) for seed in self.folds.seeds] for site in self.folds.sites}

    def _mean_over(self, family: Family, site: str, seed: int, pick: Pick) -> Measurement | None:
        """The mean over the folds in which the site is unseen; None where one of them is absent or gives nothing.

        Undefined, with that reason, where none of a method's choices could be chosen.
        """
        picked = []
        for fold in family.judging(site, seed):
            found = self.folds.finished.get(fold)
            one = None if found is None else pick(found)
            if one is None:
                return None
            picked.append(one)
        if not picked:
            return UNCHOSEN if family.choices else None
        return mean(picked)

    def _at(self, found: FinishedFold, site: str) -> Measurement | None:
        return self._once(self.measure, found, site)

    def _part(self, found: FinishedFold, site: str) -> Measurement | None:
        return self._once(self.measure_part, found, site)

    def _once(self, measure: Measure, found: FinishedFold, site: str) -> Measurement | None:
        """What a fold gives is asked for by many rows; it is worked out once."""
        key = measure.__name__, found.fold, site
        if key not in self._measured:
            self._measured[key] = measure(found, site)
        return self._measured[key]

    def _measurement(self, sample: Measured | None) -> Measurement | None:
        return None if sample is None else measurement(sample, self.metric)

    def _fold(self, kind: Kind, seed: int) -> FinishedFold | None:
        return next((f for fold, f in self.folds.finished.items() if (fold.kind, fold.seed) == (kind, seed)), None)

    def _to_oracle(self, family: Family) -> dict[str, Estimate]:
        apart = self._of(self.own_test, family)
        oracle = {site: [self.oracle(site, seed) for seed in self.folds.seeds] for site in apart}
        return {site: self._told(paired(oracle[site], apart[site])) for site in apart}

    def _to_size(self, unseen: Mapping[str, BySeed]) -> dict[str, Comparison]:
        size = {site: [self.size(site, seed) for seed in self.folds.seeds] for site in unseen}
        return {site: self._compared(unseen[site], size[site]) for site in unseen}

    def _to_reference(self, family: Family, unseen: Mapping[str, BySeed]) -> dict[str, Comparison]:
        if family == self.reference:
            return {}
        other = self._of(self.unseen, self.reference)
        by_site = {site: self._compared(unseen[site], other[site]) for site in unseen}
        return by_site | {MEAN: self._compared(across(unseen), across(other))}

    def _compared(self, one: BySeed, other: BySeed) -> Comparison:
        return comparison(paired(one, other), self.confidence)

    def _told(self, found: Measurement) -> Estimate:
        return estimate(found, self.confidence)


def paired(one: BySeed, other: BySeed) -> Measurement:
    """The mean, over the seeds that have both, of one minus the other."""
    pairs = zip(one, other, strict=True)
    return mean([minus(first, second) for first, second in pairs if first is not None and second is not None])


def across(by_site: Mapping[str, BySeed]) -> BySeed:
    """By seed, the mean over the sites; None where a site has no run of that seed."""
    seeds = list(zip(*by_site.values(), strict=True))
    return [None if None in sites else mean([one for one in sites if one is not None]) for sites in seeds]


def worst_of(estimates: Mapping[str, Estimate], metric: str) -> str | None:
    """The site with the worst value; None where none has a value, or the metric has no worse end."""
    sign = WORSE.get(metric)
    defined = {site: found.value for site, found in estimates.items() if found.value is not None}
    return min(defined, key=lambda site: (-sign * defined[site], site)) if sign and defined else None
