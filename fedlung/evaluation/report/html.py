"""report.html: one page that asks the network for nothing and runs nothing.

The content security policy forbids everything but the page's own style sheet, which it names by hash, and images that
are within the page: whatever got through the template's escaping could neither run nor load. Names come from sites;
none is trusted.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from fedlung.evaluation.judgement import Judgement
from fedlung.evaluation.report.page import DEFINITIONS, PAGE
from fedlung.evaluation.report.pictures import pictures
from fedlung.evaluation.report.style import STYLE
from fedlung.evaluation.report.words import REASONS, TITLES, interval, number, synthetic_sites

# Recall is the sensitivity: one column.
TITLES_SHOWN = {name: title for name, title in TITLES.items() if name != "recall"} | {
    "sensitivity": "Sensitivity (recall)"
}


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
    # Names of templates end in .html so that autoescaping could not be lost by a change of its rule; it is on for all.
    environment = Environment(
        loader=DictLoader({"page.html": PAGE}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "interval": interval, "percent": _percent, "seconds": _seconds}
    return (
        environment.get_template("page.html")
        .render(
            j=judgement,
            policy=_policy(STYLE),
            style=Markup(STYLE),
            titles=TITLES_SHOWN,
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
    return {
        "held_out": ", ".join(judgement.held_out),
        "synthetic_sites": synthetic_sites(judgement),
        "reasons": {kind: _reasons(judgement, kind) for kind in REASONS},
        "trained": sorted({part.site for part in judgement.participation}),
        "parts": {(part.server_round, part.site): part for part in judgement.participation},
        "seconds": {(timing.server_round, site): s for timing in rounds for site, s in timing.train_s.items()},
    }


def _reasons(judgement: Judgement, kind: str) -> list[tuple[str, list[int]]]:
    """Each reason of a kind with its number at each site, in the order of the ledgers."""
    counts = [getattr(ledger, kind) for ledger in judgement.ledgers]
    return [(reason, [own.get(reason, 0) for own in counts]) for reason in sorted(set().union(*counts))]


def _policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.1f} s"
