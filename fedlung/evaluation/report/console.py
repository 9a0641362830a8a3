"""The per-site table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from fedlung.evaluation.estimates import Estimate, Metrics, Scores
from fedlung.evaluation.judgement import Judgement, SiteRow
from fedlung.evaluation.report.words import UNDEFINED, number, synthetic_sites, with_interval

SHOWN = ("sensitivity", "specificity", "brier")


def console_table(judgement: Judgement) -> Table:
    """Sites, mean over sources, pooled, worst site and gap; the reasons of what is undefined are in the caption."""
    table = Table(box=box.SIMPLE, padding=0, title_justify="left", caption_justify="left")
    table.title, table.caption = _title(judgement), _caption(judgement)
    for name in ("site", "role"):
        table.add_column(name, overflow="fold")
    for name in ("n", "pos/neg"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(escape(f"AUC [{judgement.confidence:.0%} interval]"), no_wrap=True)
    for name in ("sens.", "spec.", "Brier"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in judgement.sites:
        table.add_row(*_site(row), style="bold" if row.role == "held-out" else None)
    table.add_section()
    table.add_row("mean", "source", "", "", *_numbers(judgement.mean_sources))
    table.add_row("pooled", "all", *_counts(judgement.pooled), *_numbers(judgement.pooled))
    worst = judgement.worst_site
    table.add_row("worst", escape(worst.name or UNDEFINED), "", "", _auc(worst.auc))
    table.add_row("gap", "", "", "", *_numbers(judgement.gap, signed=True))
    return table


def _title(judgement: Judgement) -> str:
    held_out = ", ".join(judgement.held_out) or "none"
    title = f"{judgement.task}: round {judgement.selection.server_round}, held out: {held_out}"
    if judgement.synthetic:
        return f"[bold yellow]SYNTHETIC DATA ({escape(synthetic_sites(judgement))})[/] {escape(title)}"
    return escape(title)


def _caption(judgement: Judgement) -> str:
    threshold = judgement.threshold
    at = number(threshold.probability) if threshold.probability is not None else f"{UNDEFINED} ({threshold.reason})"
    lines = [f"Threshold {at} ({threshold.rule}), frozen on source validation."]
    lines += ["Gap: mean of the source sites minus held out.", *_size_only(judgement)]
    lines += _beside_a_constant(judgement.sites)
    rows: list[tuple[str, Metrics]] = [(row.name, row) for row in judgement.sites]
    rows += [("mean of sources", judgement.mean_sources), ("pooled", judgement.pooled), ("gap", judgement.gap)]
    lines += [f"{', '.join(names)}: AUC: {reason}." for reason, names in _by_reason(rows).items()]
    lines += [f"{absence.site} absent ({absence.stage}): {absence.reason}." for absence in judgement.absences]
    return escape("\n".join(lines))


def _by_reason(rows: list[tuple[str, Metrics]]) -> dict[str, list[str]]:
    """Who has a reason for its AUC's being undefined or doubtful: the same reason once."""
    names: dict[str, list[str]] = {}
    for name, row in rows:
        if row.auc.reason:
            names.setdefault(row.auc.reason, []).append(name)
    return names


def _size_only(judgement: Judgement) -> list[str]:
    """The baseline that needs no pixels, where the task has one."""
    sizes = [f"{row.name} {number(row.baselines['size'].value)}" for row in judgement.sites if "size" in row.baselines]
    return [f"AUC of size alone: {', '.join(sizes)}."] if sizes else []


def _beside_a_constant(sites: Sequence[SiteRow]) -> list[str]:
    """Prevalence, and what a constant answer would get: accuracy and F1 mean nothing without it."""
    rows = [row for row in sites if row.prevalence is not None]
    if not rows:
        return []
    prevalence = (f"{row.name} {number(row.prevalence)}" for row in rows)
    accuracy = (f"{row.name} {number(row.accuracy.value)} ({number(row.constant.accuracy)})" for row in rows)
    f1 = (f"{row.name} {number(row.f1.value)} ({number(row.constant.f1_of_always_positive)})" for row in rows)
    return [
        f"Prevalence: {', '.join(prevalence)}.",
        f"Accuracy (of the more frequent answer, always): {', '.join(accuracy)}.",
        f"F1 (of always positive): {', '.join(f1)}.",
    ]


def _site(row: SiteRow) -> tuple[str, ...]:
    return (escape(row.name), row.role, *_counts(row), *_numbers(row))


def _counts(row: Scores) -> tuple[str, str]:
    return str(row.num_patients), f"{row.num_positive}/{row.num_negative}"


def _numbers(row: Metrics, *, signed: bool = False) -> tuple[str, ...]:
    others = (number(getattr(row, name).value, signed=signed) for name in SHOWN)
    return (_auc(row.auc, signed=signed), *others)


def _auc(found: Estimate, *, signed: bool = False) -> str:
    return escape(with_interval(found, signed=signed))
