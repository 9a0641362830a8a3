"""loso.html: one page of what a leave-one-site-out run has shown. Names come from sites; none is trusted."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from fedlung.evaluation.report.html import Notes
from fedlung.evaluation.report.words import LEVELS, SUBGROUP_TITLES, interval, number
from fedlung.loso.record import LosoResults, Row, Table, Tried
from fedlung.loso.report.figures import forests
from fedlung.loso.report.page import DEFINITIONS, PAGE
from fedlung.loso.report.style import LOSO_STYLE
from fedlung.loso.report.words import METRIC_TITLES, ORACLE_TITLE, by_kind, p_value, settings_text
from fedlung.webpage import content_policy, template_environment


def page(results: LosoResults) -> str:
    """The whole page; the same results give the same bytes."""
    environment = template_environment(PAGE)
    environment.filters |= {
        "number": number,
        "interval": interval,
        "p_value": p_value,
        "percent": lambda share: f"{share:.0%}",
        "seconds": lambda seconds: "–" if seconds is None else f"{seconds:.1f}",
    }
    return (
        environment.get_template("page.html")
        .render(
            j=results,
            policy=content_policy(LOSO_STYLE),
            style=Markup(LOSO_STYLE),
            pictures=forests(results),
            new_notes=Notes,
            by_kind=by_kind,
            metric_titles=METRIC_TITLES,
            oracle_title=ORACLE_TITLE,
            definitions=DEFINITIONS,
            **_derived(results),
        )
        .lstrip()
    )


def _derived(results: LosoResults) -> dict[str, Any]:
    """Look-ups that a template should not make."""
    auc = results.tables["auc"]
    trained = [row for row in auc.rows if row.kind != "without pixels"]
    return {
        "auc": auc,
        "trained": trained,
        "compared": [row for row in trained if row.to_reference],
        "size_is_undefined": _why_without_size(trained),
        "others": [table for metric, table in results.tables.items() if metric != "auc"],
        **_of_strata(results),
        "choices": _choices(results),
        "finished": [fold for fold in results.folds if fold.state == "finished"],
        "absent": [fold for fold in results.folds if fold.state != "finished"],
    }


def _of_strata(results: LosoResults) -> dict[str, Any]:
    """Rows by name for the tables of several metrics, and the parts below the titles of what divides them."""
    strata = results.size_strata.strata if results.size_strata else {}
    searched = results.searched.tables if results.searched else {}
    titled = {
        title: [(LEVELS[part.variable, part.level], part) for part in results.parts if part.variable == variable]
        for variable, title in SUBGROUP_TITLES.items()
    }
    size = SUBGROUP_TITLES["size"]
    return {
        "level_words": LEVELS,
        "plain_rows": _by_name(results.tables["auc"]),
        "stratum_rows": {level: _by_name(table) for level, table in strata.items()},
        "size_parts": [(size, titled[size])],
        "other_parts": [(title, levels) for title, levels in titled.items() if levels and title != size],
        "rate_rows": [_by_name(table) for metric, table in searched.items() if metric != "cpm"],
        "compared_searches": [row for row in searched["cpm"].rows if row.to_reference] if searched else [],
    }


def _by_name(table: Table) -> dict[str, Row]:
    return {row.name: row for row in table.rows}


def _choices(results: LosoResults) -> dict[str, dict[str, dict[str, Tried]]]:
    """What was tried, by method, settings and unseen site."""
    choices: dict[str, dict[str, dict[str, Tried]]] = {}
    for tried in results.tried:
        by_settings = choices.setdefault(tried.method, {})
        by_settings.setdefault(settings_text(tried.settings), {})[tried.site] = tried
    return choices


def _why_without_size(trained: list[Row]) -> str:
    """The reason where no row has been compared with the diameter at any site; empty where one has."""
    found = [comparison.difference for row in trained for comparison in row.to_size.values()]
    if any(difference.value is not None for difference in found):
        return ""
    return next((str(difference.reason) for difference in found), "no row was trained")
