"""loso.html: one page of what a leave-one-site-out run has shown. Names come from sites; none is trusted."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from fedlung.evaluation.report.html import Notes
from fedlung.evaluation.report.words import interval, number
from fedlung.loso.record import LosoResults, Row
from fedlung.loso.report.figures import forests
from fedlung.loso.report.page import DEFINITIONS, PAGE
from fedlung.loso.report.style import LOSO_STYLE
from fedlung.loso.report.words import METRIC_TITLES, ORACLE_TITLE, by_kind, p_value
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
        "finished": [fold for fold in results.folds if fold.state == "finished"],
        "absent": [fold for fold in results.folds if fold.state != "finished"],
    }


def _why_without_size(trained: list[Row]) -> str:
    """The reason where no row has been compared with the diameter at any site; empty where one has."""
    found = [comparison.difference for row in trained for comparison in row.to_size.values()]
    if any(difference.value is not None for difference in found):
        return ""
    return next((str(difference.reason) for difference in found), "no row was trained")
