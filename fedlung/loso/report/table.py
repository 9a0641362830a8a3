"""loso.csv: a line for each row, metric and site, and one for the mean over the sites."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from fedlung.evaluation.estimates import Comparison, Estimate
from fedlung.evaluation.report.table import harmless
from fedlung.loso.record import Cell, LosoResults, Row, SiteSize, Table

NONE = Comparison(difference=Estimate())


def csv_text(results: LosoResults) -> str:
    """The whole file. An undefined value is an empty cell, with its reason in the column ``reason``.

    ``over`` is "site", or "mean" where the line is of the mean over the unseen sites. Lines of kind "oracle" are of a
    site's own test patients, by a model that has seen the site; all others are of all patients of an unseen site.
    """
    lines = [line for table in results.tables.values() for line in _lines(table, results)]
    file = io.StringIO()
    writer = csv.DictWriter(file, dict.fromkeys(key for line in lines for key in line), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({key: harmless(value) for key, value in line.items()} for line in lines)
    return file.getvalue()


def _lines(table: Table, results: LosoResults) -> Iterator[dict[str, Any]]:
    for row in table.rows:
        what = {"row": row.name, "kind": row.kind, "metric": table.metric}
        for site, cell in row.unseen.items():
            yield _line(results, what, site, cell, results.sites[site]) | _at_site(row, site)
        yield _line(results, what, None, row.unseen_mean) | _in_the_mean(row)
    for site, cell in table.oracle.items():
        what = {"row": "trained at all sites", "kind": "oracle", "metric": table.metric}
        yield _line(results, what, site, cell)


def _line(
    results: LosoResults, what: dict[str, str], site: str | None, cell: Cell, size: SiteSize | None = None
) -> dict[str, Any]:
    """The number itself, what it did over seeds, and the site's patients where it is of all of them."""
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
