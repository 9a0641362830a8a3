"""The tables beside those of whole sites: strata of size, whole scans, and models adapted to the unseen site."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fedlung.evaluation.comparison import across_seeds, holm
from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.standardised import SIZE_STRATA
from fedlung.loso.adapted import AdaptedRows
from fedlung.loso.arithmetic import Measurement
from fedlung.loso.folds import Folds
from fedlung.loso.froc import FROC_METRICS, FrocRows, Searches
from fedlung.loso.record import AdaptedRow, Cell, Row, SearchedScans, SiteScans, SizeStrata, Table
from fedlung.loso.rows import MEAN, Family, Rows, across, worst_of
from fedlung.loso.strata import StandardisedRows, StrataValues, StratumRows, model_strata, weights_of

DIAMETER = "nodule diameter alone"
STANDARDISED = "auc_size_standardised"

Families = Sequence[Family]


def size_strata(folds: Folds, families: Families, reference: Family) -> SizeStrata | None:
    """Every row within every stratum of size that some site has, and with one mix of sizes; None where none has any."""
    confidence = folds.config.evaluate.confidence
    tests = [found.tests.sites.get(fold.unseen) for fold, found in folds.finished.items() if fold in reference.folds]
    there = [key for key in SIZE_STRATA if any(key in model_strata(site) for site in tests)]
    if not there:
        return None
    weights, share = weights_of(folds, reference, with_sources=False)
    gap_weights, gap_share = weights_of(folds, reference, with_sources=True)
    values = StrataValues()
    unseen, gaps = (
        _table(STANDARDISED, StandardisedRows(folds, mix, confidence, reference, values), families, with_size=True)
        for mix in (weights, gap_weights)
    )
    by_key = {key: StratumRows(folds, key, confidence, reference, values) for key in there}
    return SizeStrata(
        weights={key.level: weight for key, weight in weights.items()},
        share=share,
        gap_weights={key.level: weight for key, weight in gap_weights.items()},
        gap_share=gap_share,
        strata={
            key.level: _table(f"auc_size_{key.level}", rows, families, with_size=True) for key, rows in by_key.items()
        },
        standardised=unseen.model_copy(update={"rows": _with_gaps_of(unseen.rows, gaps.rows)}),
    )


def searched_scans(folds: Folds, families: Families, reference: Family) -> SearchedScans | None:
    """Every row's CPM and sensitivities in whole scans; None where nobody was asked to search any."""
    if not any(found.judgement.detection for found in folds.finished.values()):
        return None
    searches, confidence = Searches(), folds.config.evaluate.confidence
    tables = {
        metric: _table(metric, FrocRows(folds, metric, confidence, reference, searches), families)
        for metric in FROC_METRICS
    }
    return SearchedScans(sites={site: _scans(folds, reference, site) for site in folds.sites}, tables=tables)


def adapted_rows(folds: Folds, families: Families, reference: Family) -> tuple[AdaptedRow, ...]:
    """Of every row its models as they were adapted to each unseen site; empty where nothing was adapted."""
    if not folds.config.evaluate.adapt_patients:
        return ()
    rows = AdaptedRows(folds, folds.config.evaluate.confidence, reference)
    return tuple(rows.adapted_row(family) for family in families)


def adjusted(rows: Sequence[Row]) -> list[Row]:
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


def bare_row(name: str, rows: Rows, of: Callable[[str, int], Measurement | None]) -> Row:
    """A row without a model: by site and seed what ``of`` gives."""
    by_site = {site: [of(site, seed) for seed in rows.folds.seeds] for site in rows.folds.sites}
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


def _table(metric: str, rows: Rows, families: Families, *, with_size: bool = False) -> Table:
    """The rows of a table without an oracle: no site tells of its own test patients what it takes."""
    without: dict[str, object] = {"to_oracle": {}} if with_size else {"to_oracle": {}, "to_size": {}}
    told = [rows.row(family).model_copy(update=without) for family in families]
    bare = [bare_row(DIAMETER, rows, rows.size)] if with_size else []
    return Table(metric=metric, rows=tuple(map(_with_reasons, (*adjusted(told), *bare))))


def _with_reasons(row: Row) -> Row:
    """Where the mean is undefined, every site that it would be without, and why."""
    undefined = [cell.estimate.reason for cell in row.unseen.values() if cell.estimate.value is None]
    if row.unseen_mean.estimate.value is not None or not undefined:
        return row
    reason = "; ".join(dict.fromkeys(str(reason) for reason in undefined))
    found = row.unseen_mean.estimate.model_copy(update={"reason": reason})
    return row.model_copy(update={"unseen_mean": row.unseen_mean.model_copy(update={"estimate": found})})


def _with_gaps_of(rows: Sequence[Row], others: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with the sources and the gaps of other ones."""
    return tuple(
        row.model_copy(update={name: getattr(other, name) for name in ("source_mean", "gap", "gaps")})
        for row, other in zip(rows, others, strict=True)
    )


def _scans(folds: Folds, reference: Family, site: str) -> SiteScans:
    """What a site has to be searched when it is unseen; zeros where no fold has told of it."""
    judging = (folds.finished.get(fold) for seed in folds.seeds for fold in reference.judging(site, seed))
    tests = (found.tests.sites.get(site) for found in judging if found is not None)
    found = next((own.detection for own in tests if own is not None and own.detection is not None), None)
    if found is None:
        return SiteScans(num_patients=0, num_scans=0, num_nodules=0)
    return SiteScans(num_patients=found.num_patients, num_scans=found.num_scans, num_nodules=found.num_nodules)
