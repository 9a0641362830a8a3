"""From the folds of a plan to what they have shown together: loso.json."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import fedlung
from fedlung.config import RunConfig
from fedlung.errors import RunError
from fedlung.evaluation.runrecord import load_run, what_numbers_depend_on
from fedlung.files import replacing
from fedlung.loso.arithmetic import Measurement
from fedlung.loso.choosing import choose
from fedlung.loso.claims import plain_words
from fedlung.loso.folds import FinishedFold, Folds, fold_rows, load_folds
from fedlung.loso.matrix import matrix_of
from fedlung.loso.methods import ListedMethod, listed_methods
from fedlung.loso.plan import REFERENCE, Fold, plan
from fedlung.loso.record import LosoResults, Row, SiteSize, Table
from fedlung.loso.report import render
from fedlung.loso.rows import Family, Rows, trained_on
from fedlung.loso.strata import parts_of
from fedlung.loso.tables import DIAMETER, adapted_rows, adjusted, bare_row, searched_scans, size_strata
from fedlung.loso.withoutpixels import PROTOCOL, constant, protocol_alone

RESULTS_FILE = "loso.json"
METRICS = ("auc", "auprc_adjusted", "sensitivity_at_spec90", "specificity_at_sens90", "brier", "calibration_slope")
NAMES = {
    "uniform": "uniform weights",
    "pooled": "pooled training",
    "alone": "each site alone (mean of the models)",
    "ensemble": "ensemble of the models trained alone",
}


def results_of(run: Path) -> LosoResults:
    """What a leave-one-site-out run has shown so far. Raises RunError where not one federated fold has finished.

    The reference is the method that is listed as "fedavg", with the run's own settings, and the first method where
    there is none: so a "fedavg" with choices alone is the reference if it is the first, as it was chosen at each site.
    """
    config = load_run(run).config
    folds = load_folds(run, config)
    families = tuple(choose(family, folds) for family in families_of(config))
    reference = next((family for family in families if family.name == REFERENCE), families[0])
    some = next((found for fold, found in folds.finished.items() if fold.kind == "federated"), None)
    if some is None:
        raise RunError(f"{run.name}: no fold of any method has finished, so there is nothing to compare yet.")
    tables = {metric: _table(folds, metric, families, reference) for metric in METRICS}
    comparable = what_numbers_depend_on(config)
    results = LosoResults(
        fedlung_version=fedlung.__version__,
        synthetic=any(found.judgement.synthetic for found in folds.finished.values()),
        task=config.task.name,
        task_definition=some.judgement.task_definition,
        sites={site: _size(folds, reference, site) for site in folds.sites},
        seeds=folds.seeds,
        reference=reference.name,
        confidence=config.evaluate.confidence,
        num_replicates=config.evaluate.replicates,
        tables=tables,
        size_strata=size_strata(folds, families, reference),
        parts=parts_of(folds, reference, config.evaluate.confidence),
        searched=searched_scans(folds, families, reference),
        adapted=adapted_rows(folds, families, reference),
        tried=tuple(one for family in families for one in family.tried),
        folds=fold_rows(folds),
        config=comparable.to_run_config(),
        config_fingerprint=comparable.fingerprint(),
        data_fingerprints=_fingerprints(folds.finished.values()),
        versions=some.judgement.provenance.versions,
    )
    return results.model_copy(update={"claims": plain_words(results)})


def write_results(run: Path) -> LosoResults:
    """Work out loso.json, loso.csv and loso.html anew from the folds."""
    results = results_of(run)
    with replacing(run / RESULTS_FILE) as file:
        file.write((results.model_dump_json(indent=2) + "\n").encode())
    render(run, results)
    return results


def families_of(config: RunConfig) -> tuple[Family, ...]:
    """The rows of the plan: methods in their order, then the baselines, which have the run's own settings.

    Of a method with choices all that is tried; ``choose`` says what was chosen.
    """
    methods = [_method_family(listed, plan(config)) for listed in listed_methods(config.loso)]
    of_methods = {fold for family in methods for fold in family.folds}
    baselines: dict[str, list[Fold]] = {}
    for fold in plan(config):
        if fold.kind != "oracle" and fold not in of_methods:
            baselines.setdefault(fold.method.name if fold.kind == "federated" else fold.kind, []).append(fold)
    return (*methods, *(Family(NAMES[name], "baseline", tuple(own), {}) for name, own in baselines.items()))


def _method_family(listed: ListedMethod, folds: Sequence[Fold]) -> Family:
    """Its folds are in the order of its variants; its settings are those that all variants have."""
    own = [f for variant in listed.variants for f in folds if (f.kind, f.method) == ("federated", variant)]
    fixed = {key: value for key, value in listed.variants[0].overrides if key not in listed.choices}
    return Family(listed.name, "method", tuple(own), fixed, listed.choices)


def _table(folds: Folds, metric: str, families: tuple[Family, ...], reference: Family) -> Table:
    rows = Rows(folds, metric, folds.config.evaluate.confidence, reference)
    table = Table(
        metric=metric,
        rows=tuple(adjusted([rows.row(family) for family in families])),
        oracle={site: rows.cell([rows.oracle(site, seed) for seed in folds.seeds]) for site in folds.sites},
    )
    if metric != "auc":
        return table
    bare, oracle = _without_pixels(rows, folds, reference), [f for f in plan(folds.config) if f.kind == "oracle"]
    return table.model_copy(update={"rows": (*table.rows, *bare), "matrix": matrix_of(rows, folds, families, oracle)})


def _without_pixels(rows: Rows, folds: Folds, reference: Family) -> Iterable[Row]:
    """A constant answer, the nodules' size, and the way of scanning: what every model must beat."""

    def of_protocol(site: str, seed: int) -> Measurement | None:
        found = [folds.finished[fold] for fold in reference.judging(site, seed) if fold in folds.finished]
        return protocol_alone(found[0].tests, site, trained_on(found[0].fold, folds.sites)) if found else None

    def of_constant(site: str, seed: int) -> Measurement | None:
        found = rows.unseen(reference, site, seed)
        if found is None or math.isnan(found.value.point):
            return found
        return constant(len(found.value.replicates_R), found.num_patients)

    yield bare_row("constant answer", rows, of_constant)
    yield bare_row(DIAMETER, rows, rows.size)
    yield bare_row(PROTOCOL, rows, of_protocol)


def _size(folds: Folds, reference: Family, site: str) -> SiteSize:
    """All patients of a site, as it has them when it is unseen; zeros where no fold has judged it so."""
    for fold in (fold for seed in folds.seeds for fold in reference.judging(site, seed)):
        found = folds.finished.get(fold)
        sample = None if found is None else found.tests.measured(site)
        if sample is not None:
            told = sample.statistics
            return SiteSize(
                num_patients=told.num_patients, num_positive=told.num_positive, num_negative=told.num_negative
            )
    return SiteSize(num_patients=0, num_positive=0, num_negative=0)


def _fingerprints(finished: Iterable[FinishedFold]) -> dict[str, str]:
    return {site: print_ for found in finished for site, print_ in found.judgement.provenance.data_fingerprints.items()}
