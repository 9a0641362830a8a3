"""What ``fedlung check`` prints: counts by code with their mends, what a run will need, and the verdict."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from fedlung.preflight import SiteCheck
from fedlung.preflight.findings import FAIL, PASS, WARN
from fedlung.preflight.html import needs, reasons

STYLES = {PASS: "green", WARN: "yellow", FAIL: "red"}


def levels_text(check: SiteCheck) -> str:
    """How many series pass, pass with a warning, and fail."""
    return "Series: " + ", ".join(f"{level} {check.count(level)}" for level in (PASS, WARN, FAIL))


def findings_table(check: SiteCheck) -> Table:
    """Codes with how many series have them and what to do; files that are no slices below."""
    table = Table("level", "reason", "series", "what to do", title="What was found")
    for reason in reasons(check):
        level = f"[{STYLES[reason.level]}]{reason.level}[/]"
        table.add_row(level, escape(reason.code), str(len(reason.numbers)), escape(reason.remedy))
    table.add_section()
    files: dict[str, list[int]] = {}
    for row in check.left_out:
        files.setdefault(row.code, []).append(row.num_files)
    remedies = {row.code: row.remedy for row in check.left_out}
    for code, numbers in sorted(files.items()):
        table.add_row("", escape(code), f"{sum(numbers)} files", escape(remedies[code]))
    return table


def needs_text(check: SiteCheck) -> str:
    """What preparing and an epoch will take, and what the machine has."""
    return "\n".join(escape(f"{term}: {value}") for term, value in needs(check))


def verdict_text(check: SiteCheck) -> str:
    """Whether the site can join, with the reasons."""
    lines = [
        f"[{STYLES[finding.level]}]{finding.level}[/] {escape(finding.code)}: {escape(finding.sentence)} "
        f"{escape(finding.remedy)}"
        for finding in check.findings
    ]
    said = "[bold green]The site can join.[/]" if check.can_join else "[bold red]The site cannot join yet.[/]"
    return "\n".join([*lines, said])
