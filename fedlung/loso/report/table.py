"""loso.csv: a line for each row, metric and site, and one for the mean over the sites."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from fedlung.evaluation.estimates import Comparison, Estimate
from fedlung.evaluation.report.table import harmless
from fedlung.loso.record import AdaptedRow, Cell, LosoResults, Part, Row, SiteSize, SiteStrata, Table
from fedlung.loso.report.words import settings_text

NONE = Comparison(difference=Estimate())


def csv_text(results: LosoResults) -> str:
    """The whole file. An undefined value is an empty cell, with its reason in the column ``reason``.

    ``over`` is "site", or "mean" where the line is of the mean over the unseen sites. Lines of kind "oracle" are of a
    site's own test patients, by a model that has seen the site; those of kind "adapted" are of models that were adapted
    to it, and those of kind "subgroup" and of metrics "auc_size_..." are of a part of its examples; lines of
    kind "matrix" are of one model at one site, whose own test patients they are where ``seen`` is true; all others are
    of all patients of an unseen site.
    ``chosen_settings``: of a method with choices, what was chosen for the site on the other sites' validation.
    """
    lines = [line for table in _tables(results) for line in _lines(table, results)]
    lines += [line for part in results.parts for line in _part_lines(part, results)]
    lines += [line for row in results.adapted for line in _adapted_lines(row, results)]
    lines += [line for table in results.tables.values() for line in _matrix_lines(table, results)]
    file = io.StringIO()
    writer = csv.DictWriter(file, dict.fromkeys(key for line in lines for key in line), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({key: harmless(value) for key, value in line.items()} for line in lines)
    return file.getvalue()


def _tables(results: LosoResults) -> Iterator[Table]:
    """Of whole sites, of strata of size and of whole scans."""
    yield from results.tables.values()
    if results.size_strata is not None:
        yield from (*results.size_strata.strata.values(), results.size_strata.standardised)
    if results.searched is not None:
        yield from results.searched.tables.values()


def _part_lines(part: Part, results: LosoResults) -> Iterator[dict[str, Any]]:
    """The reference in a subgroup; strata of size have lines of their own."""
    what = {"row": results.reference, "kind": "subgroup", "metric": f"auc_{part.variable}_{part.level}"}
    if part.variable != "size":
        yield from (_line(results, what, site, found.auc, found) for site, found in part.sites.items())


def _adapted_lines(row: AdaptedRow, results: LosoResults) -> Iterator[dict[str, Any]]:
    what = {"row": row.name, "kind": "adapted", "metric": "auc"}
    for site, cell in row.unseen.items():
        yield _line(results, what, site, cell, results.sites[site]) | _to_unadapted(row, site)
    yield _line(results, what, None, row.unseen_mean) | _to_unadapted(row, "mean")


def _to_unadapted(row: AdaptedRow, where: str) -> dict[str, float | None]:
    found = row.minus_unadapted[where]
    return {**_columns("minus_unadapted", found.difference), "minus_unadapted_p": found.p_value}


def _lines(table: Table, results: LosoResults) -> Iterator[dict[str, Any]]:
    for row in table.rows:
        what = {"row": row.name, "kind": row.kind, "metric": table.metric}
        for site, cell in row.unseen.items():
            yield _line(results, what, site, cell, _size(table.metric, site, results)) | _at_site(row, site)
        yield _line(results, what, None, row.unseen_mean) | _in_the_mean(row)
    for site, cell in table.oracle.items():
        what = {"row": "trained at all sites", "kind": "oracle", "metric": table.metric}
        yield _line(results, what, site, cell)


def _matrix_lines(table: Table, results: LosoResults) -> Iterator[dict[str, Any]]:
    for row in table.matrix:
        what = {"row": row.name, "kind": "matrix", "metric": table.metric}
        for site, cell in row.sites.items():
            yield _line(results, what, site, cell) | {"seen": site in row.seen}


def _size(metric: str, site: str, results: LosoResults) -> SiteSize | SiteStrata | None:
    """The examples that a number is of; None of whole scans, which are counted otherwise."""
    if results.searched is not None and metric in results.searched.tables:
        return None
    of_stratum = {f"auc_size_{part.level}": part.sites for part in results.parts if part.variable == "size"}
    return of_stratum[metric][site] if metric in of_stratum else results.sites[site]


def _line(
    results: LosoResults,
    what: dict[str, str],
    site: str | None,
    cell: Cell,
    size: SiteSize | SiteStrata | None = None,
) -> dict[str, Any]:
    """The number itself, what it did over seeds, and the patients and examples of an unseen site that it is of."""
    seeds = dict(zip(results.seeds, cell.values, strict=False))
    return {
        "task": results.task,
        "synthetic": results.synthetic,
        **what,
        "over": "mean" if site is None else "site",
        "site": site,
        **{key: getattr(size, key, None) for key in SiteSize.model_fields},
        **_columns("value", cell.estimate),
        "reason": cell.estimate.reason,
        "seed_sd": cell.seeds.sd,
        **{f"value_seed_{seed}": seeds.get(seed) for seed in results.seeds},
    }


def _at_site(row: Row, site: str) -> dict[str, Any]:
    size = row.to_size.get(site, NONE)
    return {
        **_columns("gap", row.gaps.get(site, NONE.difference)),
        **_to_reference(row, site),
        **_columns("oracle_minus_this", row.to_oracle.get(site, NONE.difference)),
        **_columns("minus_diameter_alone", size.difference),
        "minus_diameter_alone_p": size.p_value,
        "chosen_settings": settings_text(row.chosen.get(site, {})),
    }


def _in_the_mean(row: Row) -> dict[str, Any]:
    gap = _columns("gap", row.gap)
    return {**gap, **_to_reference(row, "mean"), **_columns("source_mean", row.source_mean.estimate)}


def _to_reference(row: Row, where: str) -> dict[str, float | None]:
    found = row.to_reference.get(where, NONE)
    return {
        **_columns("minus_reference", found.difference),
        "minus_reference_p": found.p_value,
        "minus_reference_p_holm": row.adjusted_p.get(where),
    }


def _columns(name: str, found: Estimate) -> dict[str, float | None]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
