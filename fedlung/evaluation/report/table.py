"""report.csv: a line for each site, for the pooled data, the mean over sources and the gap; then for each subgroup and
for the detections."""

from __future__ import annotations

import csv
import io
from typing import Any

from fedlung.evaluation.estimates import Estimate, Metrics, Scores
from fedlung.evaluation.judgement import DetectionRow, Judgement, LedgerRow, SubgroupRow
from fedlung.evaluation.measured import METRICS
from fedlung.evaluation.report.words import REASONS

# A spreadsheet takes a cell that begins so as a formula, and runs it.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")

LEDGER_COLUMNS = ("series_declared", "series_prepared", *REASONS)
DETECTION_COLUMNS = ("num_scans", "num_nodules", "cpm", "cpm_low", "cpm_high")
PART_METRICS = ("auc", "sensitivity", "specificity")


def csv_text(judgement: Judgement) -> str:
    """The whole file. An undefined value is an empty cell, with its reason in the column ``notes``.

    What a site declared, prepared and left out, and why, is on the site's own line.
    """
    ledgers = {ledger.site: _ledger(ledger) for ledger in judgement.ledgers}
    lines = [
        _line(judgement, "site", row.name, row.role, row.synthetic, row) | ledgers.get(row.name, {})
        for row in judgement.sites
    ]
    whole = judgement.synthetic
    lines += [
        _line(judgement, "pooled", "all sites", "", whole, judgement.pooled),
        _line(judgement, "pooled", "source sites", "source", whole, judgement.pooled_sources),
        _line(judgement, "mean", "source sites", "source", whole, judgement.mean_sources),
        _line(judgement, "gap", "source mean minus held out", "", whole, judgement.gap),
    ]
    lines += [_part(judgement, row) for row in judgement.subgroups]
    lines += [_found(judgement, row) for row in (judgement.detection.rows if judgement.detection else ())]
    file = io.StringIO()
    fieldnames = [*_line(judgement, "", "", "", None, judgement.gap), *LEDGER_COLUMNS, *DETECTION_COLUMNS]
    writer = csv.DictWriter(file, fieldnames, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({key: harmless(value) for key, value in line.items()} for line in lines)
    return file.getvalue()


def harmless(cell: Any) -> Any:
    """Text that a spreadsheet would run gets an apostrophe in front; numbers stay numbers."""
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
        return "'" + cell
    return cell


def _line(
    judgement: Judgement, kind: str, name: str, role: str, synthetic: bool | None, row: Metrics
) -> dict[str, Any]:
    line: dict[str, Any] = {"task": judgement.task, "row": kind, "name": name, "role": role, "synthetic": synthetic}
    line |= {key: getattr(row, key, None) for key in ("num_patients", "num_positive", "num_negative", "prevalence")}
    for metric in METRICS:
        line |= _columns(metric, getattr(row, metric))
    line["ece_floor"] = getattr(row, "ece_floor", None)
    line |= _columns("auc_delong", row.auc_delong if isinstance(row, Scores) else Estimate())
    for name_beside in ("size", "adapted", "rescanned"):
        beside = row.baselines.get(name_beside) if isinstance(row, Scores) else None
        line |= _columns(f"{name_beside}_auc", beside or Estimate())
    line["constant_accuracy"] = row.constant.accuracy if isinstance(row, Scores) else None
    reasons = {metric: getattr(row, metric).reason for metric in METRICS}
    line["notes"] = "; ".join(f"{metric}: {reason}" for metric, reason in reasons.items() if reason)
    return line


def _part(judgement: Judgement, row: SubgroupRow) -> dict[str, Any]:
    """A subgroup of one site, or of all that tell of it."""
    name = f"{row.site or 'all sites'}: {row.variable} {row.level}"
    line: dict[str, Any] = {"task": judgement.task, "row": "subgroup", "name": name}
    line |= {key: getattr(row, key) for key in ("num_patients", "num_positive", "num_negative")}
    for metric in PART_METRICS:
        line |= _columns(metric, getattr(row, metric))
    reasons = {metric: getattr(row, metric).reason for metric in PART_METRICS}
    return line | {"notes": "; ".join(f"{metric}: {reason}" for metric, reason in reasons.items() if reason)}


def _found(judgement: Judgement, row: DetectionRow) -> dict[str, Any]:
    """What was found in the whole scans of one site, or of all that tell of them."""
    line = {"task": judgement.task, "row": "detection", "name": f"{row.site or 'all sites'}: whole scans"}
    counts = {key: getattr(row, key) for key in ("num_patients", "num_scans", "num_nodules")}
    return line | counts | _columns("cpm", row.cpm) | {"notes": f"cpm: {row.cpm.reason}" if row.cpm.reason else ""}


def _ledger(ledger: LedgerRow) -> dict[str, Any]:
    """Numbers, and "reason: number" by kind."""
    numbers = {"series_declared": ledger.num_declared, "series_prepared": ledger.num_prepared}
    reasons = {kind: "; ".join(f"{code}: {n}" for code, n in getattr(ledger, kind).items()) for kind in REASONS}
    return numbers | reasons


def _columns(name: str, found: Estimate) -> dict[str, float | None]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
