"""One row of the comparison: a method's or a baseline's numbers at every unseen site, and what they are set against."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fedlung.config import Scalar
from fedlung.evaluation.estimates import Comparison, Estimate
from fedlung.evaluation.subgroups import OWN_TEST
from fedlung.loso.arithmetic import Measurement, cell, comparison, estimate, mean, measurement, minus
from fedlung.loso.folds import FinishedFold, Folds
from fedlung.loso.plan import Fold, Kind
from fedlung.loso.record import Cell, Row, RowKind

SIZE = "size"

Pick = Callable[[FinishedFold], Measurement | None]


@dataclass(frozen=True)
class Family:
    """The folds that make a row: those of one method, or of one kind of baseline."""

    name: str
    kind: RowKind
    folds: tuple[Fold, ...]
    settings: Mapping[str, Scalar]

    def judging(self, unseen: str, seed: int) -> list[Fold]:
        """The folds in which ``unseen`` is unseen: one, or of models trained alone one for each other site."""
        own = [fold for fold in self.folds if fold.seed == seed]
        return [fold for fold in own if fold.unseen == unseen or (fold.site and fold.site != unseen)]


def trained_on(fold: Fold, sites: Sequence[str]) -> tuple[str, ...]:
    """The sites whose patients trained the fold's model."""
    return (fold.site,) if fold.site else tuple(site for site in sites if site != fold.unseen)


class Rows:
    """The rows of one table: everything in one metric."""

    def __init__(self, folds: Folds, metric: str, confidence: float, reference: Family) -> None:
        self.folds, self.metric, self.confidence, self.reference = folds, metric, confidence, reference

    def row(self, family: Family) -> Row:
        """The row of a family of folds."""
        sites = self.folds.sites
        unseen = {site: self._by_seed(self.unseen, family, site) for site in sites}
        source = {site: self._by_seed(self.source, family, site) for site in sites}
        cells = {site: self.cell(by_seed) for site, by_seed in unseen.items()}
        worst = lowest({site: found.estimate for site, found in cells.items()})
        means = {site: _mean_of(by_seed) for site, by_seed in unseen.items()}
        source_means = {site: _mean_of(by_seed) for site, by_seed in source.items()}
        return Row(
            name=family.name,
            kind=family.kind,
            unseen=cells,
            unseen_mean=self.cell(across(unseen.values())),
            worst_site=worst,
            worst=cells[worst].estimate if worst else Estimate(reason="undefined at every site"),
            source_mean=self.cell(across(source.values())),
            gap=self._told(minus(mean(list(source_means.values())), mean(list(means.values())))),
            gaps={site: self._told(minus(source_means[site], means[site])) for site in sites},
            to_oracle={site: self._told(self._to_oracle(family, site)) for site in sites},
            to_reference=self._to_reference(family, means),
            adjusted_p={},
            to_size={site: comparison(self._to_size(family, site), self.confidence) for site in sites},
            missing={fold.name: reason for fold, reason in self.folds.absent.items() if fold in family.folds},
            settings=dict(family.settings),
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

    def cell(self, by_seed: Sequence[Measurement | None]) -> Cell:
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
            sample = None if found is None else found.tests.measured(site, SIZE)
            if sample is not None:
                return measurement(sample, self.metric)
        return None

    def _by_seed(
        self, of: Callable[[Family, str, int], Measurement | None], family: Family, site: str
    ) -> list[Measurement | None]:
        return [of(family, site, seed) for seed in self.folds.seeds]

    def _mean_over(self, family: Family, site: str, seed: int, pick: Pick) -> Measurement | None:
        """The mean over the folds in which the site is unseen; None where one of them is absent or gives nothing."""
        picked = []
        for fold in family.judging(site, seed):
            found = self.folds.finished.get(fold)
            one = None if found is None else pick(found)
            if one is None:
                return None
            picked.append(one)
        return mean(picked) if picked else None

    def _at(self, found: FinishedFold, site: str) -> Measurement | None:
        sample = found.tests.measured(site)
        return None if sample is None else measurement(sample, self.metric)

    def _part(self, found: FinishedFold, site: str) -> Measurement | None:
        sample = found.tests.subgroup(site, OWN_TEST)
        return None if sample is None else measurement(sample, self.metric)

    def _fold(self, kind: Kind, seed: int) -> FinishedFold | None:
        return next((f for fold, f in self.folds.finished.items() if (fold.kind, fold.seed) == (kind, seed)), None)

    def _to_oracle(self, family: Family, site: str) -> Measurement:
        return self._paired(lambda seed: self.oracle(site, seed), lambda seed: self.own_test(family, site, seed))

    def _to_size(self, family: Family, site: str) -> Measurement:
        return self._paired(lambda seed: self.unseen(family, site, seed), lambda seed: self.size(site, seed))

    def _to_reference(self, family: Family, means: Mapping[str, Measurement]) -> dict[str, Comparison]:
        if family == self.reference:
            return {}
        other = {site: _mean_of(self._by_seed(self.unseen, self.reference, site)) for site in self.folds.sites}
        differences = {site: minus(means[site], other[site]) for site in self.folds.sites}
        differences["mean"] = minus(mean(list(means.values())), mean(list(other.values())))
        return {site: comparison(difference, self.confidence) for site, difference in differences.items()}

    def _paired(
        self, one: Callable[[int], Measurement | None], other: Callable[[int], Measurement | None]
    ) -> Measurement:
        """The mean over the seeds in which there are both of one minus the other."""
        pairs = [(one(seed), other(seed)) for seed in self.folds.seeds]
        return mean([minus(first, second) for first, second in pairs if first is not None and second is not None])

    def _told(self, found: Measurement) -> Estimate:
        return estimate(found, self.confidence)


def _mean_of(by_seed: Sequence[Measurement | None]) -> Measurement:
    return mean([one for one in by_seed if one is not None])


def across(by_site: Iterable[Sequence[Measurement | None]]) -> list[Measurement | None]:
    """By seed, the mean over the sites; None where a site has no run of that seed."""
    seeds = list(zip(*by_site, strict=True))
    return [None if None in sites else mean([one for one in sites if one is not None]) for sites in seeds]


def lowest(estimates: Mapping[str, Estimate]) -> str | None:
    defined = {site: found.value for site, found in estimates.items() if found.value is not None}
    return min(defined, key=lambda site: (defined[site], site)) if defined else None
