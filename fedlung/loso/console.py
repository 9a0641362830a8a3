"""The tables of a leave-one-site-out run for the terminal: short enough for one of 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich import box
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.report.words import UNDEFINED
from fedlung.loso.record import LosoResults, Row
from fedlung.loso.report.words import settings_text

SHORT_NAMES = {
    "uniform weights": "uniform",
    "pooled training": "pooled",
    "each site alone (mean of the models)": "alone (mean)",
    "ensemble of the models trained alone": "alone (ensemble)",
    "constant answer": "constant",
    "nodule diameter alone": "diameter only",
    "protocol alone (thickness and kernel)": "protocol only",
}
NONE = "-"
NBSP = "\N{NO-BREAK SPACE}"  # an interval is not broken into lines


def console_table(results: LosoResults) -> Group:
    """AUC at every unseen site; below it their mean and worst, the sites that trained, and the gap."""
    return Group(_by_site(results), _over_sites(results))


def _by_site(results: LosoResults) -> Table:
    table = _table(_title(results), _missing(results))
    for site in results.sites:
        table.add_column(escape(site), justify="right", overflow="fold")
    _add_rows(table, results, lambda row: [short(row.unseen[site].estimate) for site in results.sites])
    table.add_section()
    oracle = results.tables["auc"].oracle
    table.add_row("oracle *", *(escape(short(oracle[site].estimate)) for site in results.sites))
    return table


def _over_sites(results: LosoResults) -> Table:
    table = _table("Over the sites", _caption(results))
    for name in ("unseen", "sd", "worst", "sources", "gap"):
        table.add_column(name, justify="right", overflow="fold")
    _add_rows(table, results, _summary)
    return table


def _table(title: str, caption: str) -> Table:
    table = Table(box=box.SIMPLE, padding=0, title_justify="left", caption_justify="left")
    table.title, table.caption = title, escape(caption)
    table.add_column("", overflow="fold")
    return table


def _add_rows(table: Table, results: LosoResults, cells: Callable[[Row], list[str]]) -> None:
    """A line for each row, and a rule between kinds of rows."""
    kind = ""
    for row in results.tables["auc"].rows:
        if kind and row.kind != kind:
            table.add_section()
        kind = row.kind
        table.add_row(escape(SHORT_NAMES.get(row.name, row.name)), *(escape(cell) for cell in cells(row)))


def _summary(row: Row) -> list[str]:
    """The mean with its interval, the seeds' sd, the worst site, the sources' mean, and the gap with its interval."""
    mean, sd = short(row.unseen_mean.estimate), row.unseen_mean.seeds.sd
    if row.kind == "without pixels":
        return [mean, NONE, NONE, NONE, NONE]
    worst = UNDEFINED if row.worst_site is None else f"{row.worst_site} {bare(row.worst.value)}"
    sources, gap = bare(row.source_mean.estimate.value), short(row.gap, sign="+")
    return [mean, NONE if sd is None else bare(sd), worst, sources, gap]


def bare(value: float | None, *, digits: int = 3, sign: str = "") -> str:
    """``.925``, and ``1.00`` as wide as the others; no zero before the point."""
    if value is None:
        return UNDEFINED
    text = f"{value:{sign}.{digits}f}"
    return text.replace("0.", ".", 1) if abs(float(text)) < 1.0 else f"{value:{sign}.{digits - 1}f}"


def short(found: Estimate, *, sign: str = "") -> str:
    """``.925 [.89-.96]``, or ``+.021 [-.03 +.07]`` with a sign; the value alone where there is no interval."""
    if found.low is None or found.high is None:
        return bare(found.value, sign=sign)
    ends = (bare(end, digits=2, sign=sign) for end in (found.low, found.high))
    return f"{bare(found.value, sign=sign)} [{(NBSP if sign else '-').join(ends)}]"


def _title(results: LosoResults) -> str:
    seeds = f"{len(results.seeds)} seed{'s' * (len(results.seeds) != 1)}"
    synthetic = "[bold yellow]SYNTHETIC DATA[/] " if results.synthetic else ""
    title = f"{results.task}: AUC at unseen sites, mean of {seeds} [{results.confidence:.0%} interval]"
    return f"{synthetic}{escape(title)}"


def _missing(results: LosoResults) -> str:
    """What the oracle is, and why a number is undefined or doubtful: each reason once."""
    lines = ["* trained at all sites, on their own test patients: no generalization."]
    return "\n".join([*lines, *_doubtful(results), *_undefined(results)])


def _doubtful(results: LosoResults) -> list[str]:
    """Why intervals are doubtful, by reason: it lies with the site or with the seeds, and is the same for many rows."""
    sites: dict[str, list[str]] = {}
    for row in results.tables["auc"].rows:
        for site, cell in row.unseen.items():
            found = cell.estimate
            if found.value is not None and found.reason and site not in sites.setdefault(found.reason, []):
                sites[found.reason].append(site)
    return [f"{_where(names, results)}{reason}." for reason, names in sites.items()]


def _undefined(results: LosoResults) -> list[str]:
    """The rows that are undefined at the same sites for the same reason, in one line."""
    rows: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for row in results.tables["auc"].rows:
        sites: dict[str, list[str]] = {}
        for site, cell in row.unseen.items():
            if cell.estimate.value is None:
                sites.setdefault(str(cell.estimate.reason), []).append(site)
        for reason, names in sites.items():
            rows.setdefault((reason, tuple(names)), []).append(SHORT_NAMES.get(row.name, row.name))
    return [f"{_where(sites, results)}{', '.join(names)}: {reason}." for (reason, sites), names in rows.items()]


def _where(sites: Sequence[str], results: LosoResults) -> str:
    return "" if len(sites) == len(results.sites) else f"{', '.join(sites)}: "


def _caption(results: LosoResults) -> str:
    absent: dict[str, list[str]] = {}
    for fold in results.folds:
        if fold.state != "finished":
            absent.setdefault(fold.reason, []).append(fold.name)
    num_absent = sum(map(len, absent.values()))
    lines = [
        "sd: of the mean, over seeds. sources: sites that trained. gap: sources - unseen.",
        f"{len(results.folds) - num_absent} of {len(results.folds)} folds.",
    ]
    lines += [f"{names[0]}{_and_more(names)}: {reason}." for reason, names in absent.items()]
    return "\n".join([*lines, *_chosen(results)])


def _chosen(results: LosoResults) -> list[str]:
    """Of each method with choices, what was chosen, and at which unseen sites."""
    lines = []
    for row in results.tables["auc"].rows:
        sites: dict[str, list[str]] = {}
        for site, settings in row.chosen.items():
            sites.setdefault(settings_text(settings), []).append(site)
        told = "; ".join(f"{settings} ({', '.join(names)})" for settings, names in sites.items())
        lines += [f"{row.name}: chosen on source validation: {told}."] if told else []
    return lines


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
