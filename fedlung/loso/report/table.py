"""loso.csv: a line for each row, metric and site, and one for the mean over the sites."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from fedlung.evaluation.estimates import Comparison, Estimate
from fedlung.evaluation.report.table import harmless
from fedlung.loso.record import Cell, LosoResults, Row, Table

NONE = Estimate()


def csv_text(results: LosoResults) -> str:
    """The whole file. An undefined value is an empty cell, with its reason in the column ``reason``.

    ``over`` is "site", or "mean" where the line is of the mean over the unseen sites. Lines of kind "oracle" are of a
    site's own test patients, by a model that has seen the site; all others are of all patients of an unseen site.
    """
    lines = [line for table in results.tables.values() for line in _lines(table, results)]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(lines[0]), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({key: harmless(value) for key, value in line.items()} for line in lines)
    return file.getvalue()


def _lines(table: Table, results: LosoResults) -> Iterator[dict[str, Any]]:
    for row in table.rows:
        for site in results.sites:
            yield _line(table, results, row.name, row.kind, site, row.unseen[site]) | _beside(row, site)
        mean = _line(table, results, row.name, row.kind, None, row.unseen_mean)
        yield mean | _beside(row, None) | _columns("source_mean", row.source_mean.estimate)
    for site, cell in table.oracle.items():
        yield _line(table, results, "trained at all sites", "oracle", site, cell) | _beside(None, site)


def _line(table: Table, results: LosoResults, name: str, kind: str, site: str | None, cell: Cell) -> dict[str, Any]:
    """The number itself, and what it did over seeds."""
    size = results.sites[site] if site is not None and kind != "oracle" else None
    seeds = dict(zip(results.seeds, cell.values, strict=False))
    return {
        "task": results.task,
        "synthetic": results.synthetic,
        "row": name,
        "kind": kind,
        "metric": table.metric,
        "over": "mean" if site is None else "site",
        "site": site or "",
        "num_patients": size.num_patients if size else None,
        "num_positive": size.num_positive if size else None,
        "num_negative": size.num_negative if size else None,
        **_columns("value", cell.estimate),
        "seed_sd": cell.seeds.sd,
        **{f"value_seed_{seed}": seeds.get(seed) for seed in results.seeds},
        **_columns("source_mean", NONE),
        "reason": cell.estimate.reason or "",
    }


def _beside(row: Row | None, site: str | None) -> dict[str, Any]:
    """The differences that a row has at a site, or in its mean."""
    if row is None:
        gap, oracle, size, reference, adjusted = NONE, NONE, NOTHING, NOTHING, None
    else:
        gap = row.gap if site is None else row.gaps.get(site, NONE)
        oracle = NONE if site is None else row.to_oracle.get(site, NONE)
        size = NOTHING if site is None else row.to_size.get(site, NOTHING)
        reference = row.to_reference.get(site or "mean", NOTHING)
        adjusted = row.adjusted_p.get(site or "mean")
    return {
        **_columns("gap", gap),
        **_columns("oracle_minus_this", oracle),
        **_columns("minus_diameter_alone", size.difference),
        "minus_diameter_alone_p": size.p_value,
        **_columns("minus_reference", reference.difference),
        "minus_reference_p": reference.p_value,
        "minus_reference_p_holm": adjusted,
    }


NOTHING = Comparison(difference=NONE)


def _columns(name: str, found: Estimate) -> dict[str, float | None]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
