"""What ``fedlung check`` prints: counts by code with their mends, which series, what a run will need, and the verdict.

Series go by their number and folder: the site's own terminal may show where a file lies, and no text of a header.
"""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.table import Column, Table

from fedlung.preflight import SiteCheck
from fedlung.preflight.findings import FAIL, PASS, WARN, SeriesCheck
from fedlung.preflight.html import gravest_first, ignored, needs, reasons, sentence

STYLES = {PASS: "green", WARN: "yellow", FAIL: "red"}
MOST_SERIES = 40


def levels_text(check: SiteCheck) -> str:
    """How many series pass, pass with a warning, and fail."""
    return "Series: " + ", ".join(f"{level} {check.count(level)}" for level in (PASS, WARN, FAIL))


def findings_table(check: SiteCheck) -> Table:
    """Codes with how many series have them and what to do; files that are no slices below."""
    # A code is looked up and searched for, so it is never cut; what to do is folded.
    columns = (_whole("level"), _whole("reason"), _whole("series"), Column("what to do", overflow="fold"))
    table = Table(*columns, title="What was found")
    for reason in reasons(check):
        table.add_row(_level(reason.level), escape(reason.code), str(len(reason.numbers)), escape(reason.remedy))
    table.add_section()
    for code, num_files, remedy in sorted(ignored(check)):
        table.add_row("", escape(code), f"{num_files} file{'s' * (num_files != 1)}", escape(remedy))
    return table


def series_table(check: SiteCheck) -> Table | None:
    """The series that fail or have a warning: number, folder and codes, the gravest first; None where there is none."""
    odd = [one for one in gravest_first(check.series) if one.level != PASS]
    if not odd:
        return None
    more = f"and {len(odd) - MOST_SERIES} more; --series-csv FILE lists them all" if len(odd) > MOST_SERIES else None
    columns = (_whole("number"), _whole("level"), _whole("reasons"), Column("folder", overflow="fold"))
    table = Table(*columns, title="Which series", caption=more)
    for one in odd[:MOST_SERIES]:
        codes = dict.fromkeys(finding.code for finding in one.findings)
        table.add_row(f"#{one.number}", _level(one.level), escape("\n".join(codes)), escape(_folder(one)))
    return table


def needs_text(check: SiteCheck) -> str:
    """What preparing and an epoch will take, and what the machine has."""
    return "\n".join(escape(f"{term}: {value}") for term, value in needs(check))


def verdict_text(check: SiteCheck) -> str:
    """Whether the site can join, with the reasons."""
    lines = [
        f"{_level(finding.level)} {escape(finding.code)}: {escape(sentence(finding.sentence))} {escape(finding.remedy)}"
        for finding in check.findings
    ]
    said = "[bold green]The site can join.[/]" if check.can_join else "[bold red]The site cannot join yet.[/]"
    return "\n".join([*lines, said])


def written_text(what: str, *paths: Path) -> str:
    """Where something was written."""
    return escape(f"{what}: {', '.join(map(str, paths))}")


def _whole(title: str) -> Column:
    return Column(title, no_wrap=True, overflow="fold")


def _level(level: str) -> str:
    return f"[{STYLES[level]}]{level}[/]"  # type: ignore[index]


def _folder(one: SeriesCheck) -> str:
    return one.folder or "not there"
