"""The table of a leave-one-site-out run for the terminal."""

from __future__ import annotations

from rich import box
from rich.markup import escape
from rich.table import Table

from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.report.words import UNDEFINED, number, with_interval
from fedlung.loso.record import LosoResults, Row


def console_table(results: LosoResults) -> Table:
    """AUC at every unseen site, their mean, the mean at the sites that trained, and the gap."""
    table = Table(box=box.SIMPLE, padding=0, title_justify="left", caption_justify="left")
    seeds = f"{len(results.seeds)} seed{'s' * (len(results.seeds) != 1)}"
    title = f"{results.task}: AUC at each site, unseen, mean of {seeds} [{results.confidence:.0%} interval by patient]"
    synthetic = "[bold yellow]SYNTHETIC DATA[/] " if results.synthetic else ""
    table.title = f"{synthetic}{escape(title)}"
    table.add_column("", overflow="fold")
    for site in results.sites:
        table.add_column(escape(site), justify="right")
    for name in ("mean", "seed sd", "worst", "sources", "gap"):
        table.add_column(name, justify="right")
    kind = ""
    for row in results.tables["auc"].rows:
        if kind and row.kind != kind:
            table.add_section()
        kind = row.kind
        table.add_row(*_cells(row, results))
    table.add_section()
    oracle = results.tables["auc"].oracle
    table.add_row("trained at all sites (no generalization)", *(_told(oracle[site].estimate) for site in results.sites))
    table.caption = escape(_caption(results))
    return table


def _cells(row: Row, results: LosoResults) -> list[str]:
    spread = row.unseen_mean.seeds.sd
    return [
        escape(row.name),
        *(_told(row.unseen[site].estimate) for site in results.sites),
        _told(row.unseen_mean.estimate),
        UNDEFINED if spread is None else number(spread),
        escape(row.worst_site or UNDEFINED),
        _told(row.source_mean.estimate),
        _told(row.gap),
    ]


def _told(found: Estimate) -> str:
    return escape(with_interval(found))


def _caption(results: LosoResults) -> str:
    absent = [fold for fold in results.folds if fold.state != "finished"]
    lines = [f"{len(results.folds) - len(absent)} of {len(results.folds)} folds."]
    lines += [f"{fold.name}: {fold.reason}." for fold in absent]
    return "\n".join(lines)
