"""The figures as the page embeds them: each an SVG within the page, with a text that says what it shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from matplotlib.figure import Figure

from fedlung.evaluation.judgement import DetectionRow, Judgement, SiteRow
from fedlung.evaluation.report.calibrationplot import reliability_diagram
from fedlung.evaluation.report.figures import (
    TITLES,
    Measured,
    curves_of,
    forest,
    forest_rows,
    learning_curves,
    roc,
)
from fedlung.evaluation.report.frocplot import froc
from fedlung.evaluation.report.plotstyle import house_style, size_in_pixels, svg
from fedlung.evaluation.report.words import number, with_interval
from fedlung.webpage import data_uri


@dataclass(frozen=True)
class Picture:
    """``src`` is a data URI: the browser runs nothing in an image and loads nothing for it."""

    src: str
    alt: str
    width: int
    height: int


@dataclass(frozen=True)
class Pictures:
    """``roc``, ``reliability`` and ``froc`` are by site (None: pooled); ``curves`` by what some round has."""

    forest: Picture
    roc: dict[str, Picture]
    reliability: dict[str, Picture]
    froc: dict[str | None, Picture]
    curves: dict[str, Picture]


def pictures(judgement: Judgement) -> Pictures:
    """Every figure of the page; the same judgement gives the same bytes."""
    measured: tuple[Measured, ...] = ("auc", "loss")
    with house_style():
        return Pictures(
            forest=_picture(forest(judgement), _say_forest(judgement)),
            roc={row.name: _picture(roc(row), _say_roc(row)) for row in judgement.sites},
            reliability={
                row.name: _picture(reliability_diagram(row), _say_reliability(row)) for row in judgement.sites
            },
            froc=_frocs(judgement),
            curves={
                TITLES[what]: _picture(figure, _say_curves(judgement, what))
                for what in measured
                if (figure := learning_curves(judgement, what)) is not None
            },
        )


def _picture(figure: Figure, alt: str) -> Picture:
    width, height = size_in_pixels(figure)
    return Picture(data_uri(svg(figure), "svg+xml"), alt, width, height)


def _say_forest(judgement: Judgement) -> str:
    rows = (
        f"{row.name}{' (held out)' if row.kind == 'held-out' else ''} {with_interval(row.auc)}"
        for row in forest_rows(judgement)
    )
    return f"Forest plot of the AUC with its {judgement.confidence:.0%} interval: {'; '.join(rows)}."


def _say_roc(row: SiteRow) -> str:
    curve = f"ROC curve of {row.name}, AUC {with_interval(row.auc)}"
    if row.sensitivity.value is None or row.specificity.value is None:
        return f"{curve}; no point at the frozen threshold."
    return (
        f"{curve}; at the frozen threshold sensitivity {with_interval(row.sensitivity)}, "
        f"specificity {with_interval(row.specificity)}."
    )


def _say_reliability(row: SiteRow) -> str:
    if not row.reliability:
        return f"Reliability diagram of {row.name}: undefined, {row.ece.reason}."
    points = "; ".join(
        f"predicted {number(point.predicted)}, seen {with_interval(point.observed)}" for point in row.reliability
    )
    return (
        f"Reliability diagram of {row.name}, calibration slope {with_interval(row.calibration_slope)}, "
        f"calibration error {with_interval(row.ece)}. {points}."
    )


def _frocs(judgement: Judgement) -> dict[str | None, Picture]:
    rows = judgement.detection.rows if judgement.detection else ()
    roles: dict[str | None, str] = {row.name: row.role for row in judgement.sites}
    return {row.site: _picture(froc(row, roles.get(row.site, "summary")), _say_froc(row)) for row in rows}


def _say_froc(row: DetectionRow) -> str:
    name = row.site or "all sites pooled"
    if not row.froc:
        return f"Free-response ROC of {name}: undefined, {row.cpm.reason}."
    points = ", ".join(f"{number(found.value)} at {rate}" for rate, found in row.sensitivities.items())
    return (
        f"Free-response ROC of {name}, CPM {with_interval(row.cpm)}; sensitivity by false positives a scan: {points}."
    )


def _say_curves(judgement: Judgement, what: Measured) -> str:
    rounds = [point.server_round for point in judgement.curves]
    ends = (
        f"{curve.label} from {_defined(curve.values[0])} to {_defined(curve.values[-1])}"
        for curve in curves_of(judgement, what)
    )
    return (
        f"{TITLES[what]} over rounds {rounds[0]} to {rounds[-1]}: {'; '.join(ends)}. "
        f"Round {judgement.selection.server_round} was selected; held-out values were never used for selection."
    )


def _defined(value: float) -> str:
    return number(None if math.isnan(value) else value)
