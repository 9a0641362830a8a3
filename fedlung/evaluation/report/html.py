"""report.html: one page of what a run has shown. Names come from sites; none is trusted."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from fedlung.evaluation.judgement import Judgement, SubgroupRow
from fedlung.evaluation.measured import METRICS
from fedlung.evaluation.report.page import DEFINITIONS, PAGE
from fedlung.evaluation.report.pictures import pictures
from fedlung.evaluation.report.style import STYLE
from fedlung.evaluation.report.words import (
    LEVELS,
    REASONS,
    SUBGROUP_TITLES,
    TITLES,
    adapted_label,
    interval,
    number,
    synthetic_sites,
)
from fedlung.evaluation.scores import ADAPTED
from fedlung.webpage import content_policy, template_environment

# Of the table of sites. Recall is the sensitivity, and has no column of its own.
SHOWN = ("auc", "auprc", "sensitivity", "specificity", "accuracy", "precision", "f1", "brier")
TITLES_SHOWN = {name: TITLES[name] for name in SHOWN} | {"sensitivity": "Sensitivity (recall)"}
AT_OPERATING_POINTS = tuple(name for name in METRICS if name.endswith(("_spec90", "_sens90")))


class Notes:
    """Numbered reasons below a table: the same reason has one number."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def mark(self, reason: str) -> int:
        if reason not in self.reasons:
            self.reasons.append(reason)
        return self.reasons.index(reason) + 1


def page(judgement: Judgement) -> str:
    """The whole page; the same judgement gives the same bytes."""
    environment = template_environment(PAGE)
    environment.filters |= {
        "number": number,
        "interval": interval,
        "percent": _percent,
        "seconds": _seconds,
        "megabytes": _megabytes,
    }
    return (
        environment.get_template("page.html")
        .render(
            j=judgement,
            policy=content_policy(STYLE),
            style=Markup(STYLE),
            titles=TITLES_SHOWN,
            operating_keys=AT_OPERATING_POINTS,
            points=judgement.operating_points,
            definitions=DEFINITIONS,
            new_notes=Notes,
            reason_titles=REASONS,
            splits=("train", "validation", "test"),
            pictures=pictures(judgement),
            **_derived(judgement),
        )
        .lstrip()
    )


def _derived(judgement: Judgement) -> dict[str, Any]:
    """Look-ups that a template should not make."""
    rounds = judgement.timings.rounds
    adapted = [row for row in judgement.sites if ADAPTED in row.baselines]
    return {
        "adaptations": {"label": adapted_label(judgement), "rows": adapted} if adapted else {},
        "held_out": ", ".join(judgement.held_out),
        "synthetic_sites": synthetic_sites(judgement),
        "reasons": {kind: _reasons(judgement, kind) for kind in REASONS},
        "trained": sorted({part.site for part in judgement.participation}),
        "parts": {(part.server_round, part.site): part for part in judgement.participation},
        "subgroups": _subgroups(judgement),
        "level_words": LEVELS,
        "seconds": {(timing.server_round, site): s for timing in rounds for site, s in timing.train_s.items()},
    }


def _subgroups(judgement: Judgement) -> list[tuple[str, list[tuple[str, list[SubgroupRow | None]]]]]:
    """By variable and level: a cell for each site and one for those together; None where nobody was asked."""
    found = {(row.variable, row.level, row.site): row for row in judgement.subgroups}
    there = {(variable, level) for variable, level, _ in found}
    columns = [*(row.name for row in judgement.sites), None]
    titled: dict[str, list[tuple[str, list[SubgroupRow | None]]]] = {}
    for (variable, level), words in LEVELS.items():
        if (variable, level) in there:
            cells = [found.get((variable, level, column)) for column in columns]
            titled.setdefault(SUBGROUP_TITLES[variable], []).append((words, cells))
    return list(titled.items())


def _reasons(judgement: Judgement, kind: str) -> list[tuple[str, list[int]]]:
    """Each reason of a kind with its number at each site, in the order of the ledgers."""
    counts = [getattr(ledger, kind) for ledger in judgement.ledgers]
    return [(reason, [own.get(reason, 0) for own in counts]) for reason in sorted(set().union(*counts))]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB"


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.1f} s"
