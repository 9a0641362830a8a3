"""Models that were adapted to unlabelled patients of the unseen site: a table apart, for they have seen the site."""

from __future__ import annotations

from fedlung.evaluation.scores import ADAPTED
from fedlung.loso.arithmetic import NOTHING, Measurement, comparison
from fedlung.loso.folds import FinishedFold, Folds
from fedlung.loso.record import AdaptedRow
from fedlung.loso.rows import MEAN, Family, Rows, across, paired

NOT_ADAPTED = "no adapted scores: the site gave none, or the model has no statistics to adapt"


class AdaptedRows(Rows):
    """AUC at unseen sites after adaptation, beside that of the same models as they came."""

    def __init__(self, folds: Folds, confidence: float, reference: Family) -> None:
        super().__init__(folds, "auc", confidence, reference)
        self.plain = Rows(folds, "auc", confidence, reference)

    def measure(self, found: FinishedFold, site: str) -> Measurement | None:
        if site not in found.tests.sites:
            return None
        sample = found.tests.measured(site, ADAPTED)
        return self._measurement(sample) or Measurement(NOTHING.value, 0, f"{site}: {NOT_ADAPTED}")

    def adapted_row(self, family: Family) -> AdaptedRow:
        """A family's models after adaptation, by unseen site."""
        sites, seeds = self.folds.sites, self.folds.seeds
        adapted = {site: [self.unseen(family, site, seed) for seed in seeds] for site in sites}
        plain = {site: [self.plain.unseen(family, site, seed) for seed in seeds] for site in sites}
        by_site = {site: comparison(paired(adapted[site], plain[site]), self.confidence) for site in sites}
        mean = comparison(paired(across(adapted), across(plain)), self.confidence)
        num_patients = self.folds.config.evaluate.adapt_patients
        return AdaptedRow(
            name=f"{family.name}, adapted to {num_patients} unlabelled patients",
            method=family.name,
            unseen={site: self.cell(by_seed) for site, by_seed in adapted.items()},
            unseen_mean=self.cell(across(adapted)),
            minus_unadapted=by_site | {MEAN: mean},
        )
