"""From the folds of a plan to what they have shown together: loso.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import fedlung
from fedlung.config import RunConfig
from fedlung.errors import RunError
from fedlung.evaluation.comparison import across_seeds, holm
from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.runrecord import load_run, what_numbers_depend_on
from fedlung.files import replacing
from fedlung.loso.arithmetic import Measurement
from fedlung.loso.claims import plain_words
from fedlung.loso.folds import FinishedFold, Folds, fold_rows, load_folds
from fedlung.loso.plan import REFERENCE, Fold, plan
from fedlung.loso.record import Cell, LosoResults, MatrixRow, Row, SiteSize, Table
from fedlung.loso.report import render
from fedlung.loso.rows import MEAN, Family, Rows, across, trained_on, worst_of
from fedlung.loso.withoutpixels import constant, thickness_alone

RESULTS_FILE = "loso.json"
METRICS = ("auc", "auprc_adjusted", "sensitivity_at_spec90", "specificity_at_sens90", "brier", "calibration_slope")
NAMES = {
    "uniform": "uniform weights",
    "pooled": "pooled training",
    "alone": "each site alone (mean of the models)",
    "ensemble": "ensemble of the models trained alone",
}


def results_of(run: Path) -> LosoResults:
    """What a leave-one-site-out run has shown so far. Raises RunError where not one federated fold has finished."""
    config = load_run(run).config
    folds = load_folds(run, config)
    families = families_of(config)
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
    """The rows of the plan: methods in their order, then the baselines."""
    members: dict[str, list[Fold]] = {}
    for fold in plan(config):
        if fold.kind != "oracle":
            members.setdefault(fold.method.name if fold.kind == "federated" else fold.kind, []).append(fold)
    named = config.loso.method_names
    return tuple(_family(name, folds, is_method=name in named) for name, folds in members.items())


def _family(name: str, folds: list[Fold], *, is_method: bool) -> Family:
    settings = dict(folds[0].method.overrides)
    shown = name if is_method else NAMES[name]
    return Family(shown, "method" if is_method else "baseline", tuple(folds), settings)


def _table(folds: Folds, metric: str, families: tuple[Family, ...], reference: Family) -> Table:
    rows = Rows(folds, metric, folds.config.evaluate.confidence, reference)
    told = [rows.row(family) for family in families]
    return Table(
        metric=metric,
        rows=(*_adjusted(told), *(_without_pixels(rows, folds, reference) if metric == "auc" else ())),
        oracle={site: rows.cell([rows.oracle(site, seed) for seed in folds.seeds]) for site in folds.sites},
        matrix=_matrix(rows, folds),
    )


def _adjusted(rows: list[Row]) -> list[Row]:
    """The rows with Holm's p-values: of all methods at all sites as one family, of their means as another."""
    by_site = {(row.name, site): found.p_value for row in rows for site, found in row.to_reference.items()}
    means = holm({row: value for (row, site), value in by_site.items() if site == MEAN})
    sites = holm({f"{row}|{site}": value for (row, site), value in by_site.items() if site != MEAN})
    return [
        row.model_copy(
            update={
                "adjusted_p": {
                    site: means[row.name] if site == MEAN else sites[f"{row.name}|{site}"] for site in row.to_reference
                }
            }
        )
        for row in rows
    ]


def _without_pixels(rows: Rows, folds: Folds, reference: Family) -> Iterable[Row]:
    """A constant answer, the nodules' size, and the slice thickness: what every model must beat."""

    def of_thickness(site: str, seed: int) -> Measurement | None:
        found = [folds.finished[fold] for fold in reference.judging(site, seed) if fold in folds.finished]
        return thickness_alone(found[0].tests, site, trained_on(found[0].fold, folds.sites)) if found else None

    def of_constant(site: str, seed: int) -> Measurement | None:
        found = rows.unseen(reference, site, seed)
        return None if found is None else constant(len(found.value.replicates_R), found.num_patients)

    yield _bare_row("constant answer", rows, folds, of_constant)
    yield _bare_row("nodule diameter alone", rows, folds, rows.size)
    yield _bare_row("slice thickness alone", rows, folds, of_thickness)


def _bare_row(name: str, rows: Rows, folds: Folds, of: Callable[[str, int], Measurement | None]) -> Row:
    by_site = {site: [of(site, seed) for seed in folds.seeds] for site in folds.sites}
    cells = {site: rows.cell(by_seed) for site, by_seed in by_site.items()}
    worst = worst_of({site: found.estimate for site, found in cells.items()}, rows.metric)
    nothing = Estimate(reason="nothing was trained")
    return Row(
        name=name,
        kind="without pixels",
        unseen=cells,
        unseen_mean=rows.cell(across(by_site)),
        worst_site=worst,
        worst=cells[worst].estimate if worst else Estimate(reason="no site is the worst one"),
        source_mean=Cell(estimate=nothing, seeds=across_seeds([]), values=()),
        gap=nothing,
        gaps={},
        to_oracle={},
        to_reference={},
        adjusted_p={},
        to_size={},
        missing={},
        settings={},
    )


def _matrix(rows: Rows, folds: Folds) -> tuple[MatrixRow, ...]:
    """Every model of the reference and of the baselines on every site; an ensemble is no model of its own."""
    models: dict[str, list[Fold]] = {}
    for fold in plan(folds.config):
        if name := _model_name(fold):
            models.setdefault(name, []).append(fold)
    return tuple(
        MatrixRow(name=name, seen=trained_on(of[0], folds.sites), sites=rows.everywhere(of))
        for name, of in models.items()
    )


def _model_name(fold: Fold) -> str:
    """What to call a model in the matrix; empty for one that is not in it."""
    if fold.kind == "federated":
        return f"{REFERENCE} without {fold.unseen}" if fold.method.name == REFERENCE else ""
    names = {"alone": f"{fold.site} alone", "pooled": f"pooled without {fold.unseen}", "oracle": "trained at all sites"}
    return names.get(fold.kind, "")


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
