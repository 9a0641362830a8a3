"""The report's figures: AUC by site, ROC curves, learning curves. Sizes are in the page's pixels.

To be called within ``plotstyle.house_style()``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, MultipleLocator

from fedlung.evaluation.estimates import Estimate, Scores
from fedlung.evaluation.judgement import CurvePoint, Judgement, SiteRow
from fedlung.evaluation.report.plotstyle import (
    POINTS_PER_PIXEL,
    ROLE_COLOURS,
    SITE_COLOURS,
    SITE_MARKERS,
    SMALL,
    axes_within,
    figure_of,
    shown_name,
)
from fedlung.evaluation.report.words import UNDEFINED, with_interval
from fedlung.webpage import APART, APART_TINT, INK, LINE, SOFT

Measured = Literal["auc", "loss"]
TITLES = {"auc": "AUC", "loss": "Loss"}

# --- AUC by site ---------------------------------------------------------------------------------

FOREST_WIDTH, FOREST_LEFT, FOREST_RIGHT = 770, 265, 175
ROW_HEIGHT = 32
NAMES_AT, COUNTS_AT, VALUES_AT = 0, 245, 610  # left edge, right edge, left edge of the columns of text
FOREST_MARKERS: dict[str, dict[str, Any]] = {
    "source": {"marker": "s", "markersize": 6.5},
    "held-out": {"marker": "D", "markersize": 7, "markerfacecolor": "white", "markeredgewidth": 1.6},
    "summary": {"marker": "D", "markersize": 6.5},
}


@dataclass(frozen=True)
class ForestRow:
    """One line of the forest plot. ``kind``: "source", "held-out" or "summary"; ``size``: the diameter's AUC."""

    name: str
    kind: str
    counts: str
    auc: Estimate
    size: float | None = None


def forest(judgement: Judgement) -> Figure:
    """AUC by site with intervals; the mean over sources and the pooled value below."""
    rows = forest_rows(judgement)
    figure = figure_of(FOREST_WIDTH, ROW_HEIGHT * len(rows) + 66)
    axes = axes_within(figure, left=FOREST_LEFT, right=FOREST_RIGHT, top=26, bottom=40)
    for y, row in enumerate(rows):
        _draw_forest_row(axes, y, row)
    _draw_forest_heads(axes, judgement.confidence)
    axes.axhline(len(judgement.sites) - 0.5, color=LINE, linewidth=0.8)
    _set_forest_axes(axes, rows)
    return figure


def forest_rows(judgement: Judgement) -> list[ForestRow]:
    """Every site in the tables' order, then the two summaries."""
    num_averaged = sum(row.role == "source" and row.auc.value is not None for row in judgement.sites)
    averaged = f"{num_averaged} site{'s' * (num_averaged != 1)}"
    return [
        *(ForestRow(row.name, row.role, _counts(row), row.auc, _size_auc(row)) for row in judgement.sites),
        ForestRow("Mean of sources", "summary", averaged, judgement.mean_sources.auc),
        ForestRow("All pooled", "summary", _counts(judgement.pooled), judgement.pooled.auc),
    ]


def _counts(row: Scores) -> str:
    return f"{row.num_patients} ({row.num_positive} / {row.num_negative})"


def _size_auc(row: SiteRow) -> float | None:
    return row.baselines["size"].value if "size" in row.baselines else None


def _draw_forest_row(axes: Axes, y: int, row: ForestRow) -> None:
    colour = ROLE_COLOURS[row.kind]
    if row.kind == "held-out":
        axes.axhspan(y - 0.5, y + 0.5, xmin=-2, xmax=2, color=APART_TINT, linewidth=0, clip_on=False, zorder=0)
        _write(axes, NAMES_AT, y + 0.25, "held out", color=colour, fontsize=10 * POINTS_PER_PIXEL)
    name_y = y - 0.16 if row.kind == "held-out" else y
    _write(axes, NAMES_AT, name_y, shown_name(row.name), color=colour if row.kind == "held-out" else INK)
    _write(axes, COUNTS_AT, y, row.counts, ha="right", color=SOFT)
    _write(axes, VALUES_AT, y, with_interval(row.auc))
    if row.auc.low is not None and row.auc.high is not None:
        axes.hlines(y, row.auc.low, row.auc.high, color=colour, linewidth=1.6, clip_on=False)
    if row.auc.value is not None:
        axes.plot(row.auc.value, y, color=colour, clip_on=False, zorder=3, **FOREST_MARKERS[row.kind])
    if row.size is not None:
        axes.plot(row.size, y, "o", color=INK, markerfacecolor="none", markersize=6, clip_on=False, zorder=4)


def _draw_forest_heads(axes: Axes, confidence: float) -> None:
    heads = (
        (NAMES_AT, "left", "Site"),
        (COUNTS_AT, "right", "Patients (pos / neg)"),
        (VALUES_AT, "left", f"AUC [{confidence:.0%} interval]"),
    )
    for at, side, head in heads:
        _write(axes, at, -0.85, head, ha=side, color=SOFT, fontsize=SMALL)


def _write(axes: Axes, pixels: float, y: float, text: str, *, ha: str = "left", **look: Any) -> None:
    """Text beside the axes: ``pixels`` from the figure's left edge, at a row's height."""
    across = (pixels - FOREST_LEFT) / (FOREST_WIDTH - FOREST_LEFT - FOREST_RIGHT)
    axes.text(across, y, text, transform=axes.get_yaxis_transform(), ha=ha, va="center_baseline", **look)


def _set_forest_axes(axes: Axes, rows: Sequence[ForestRow]) -> None:
    """From the lowest number in the figure, or chance, up to 1."""
    found = [value for row in rows for value in (row.auc.value, row.auc.low, row.size) if value is not None]
    low = max(0.0, math.floor((min(found, default=0.5) - 0.02) * 10) / 10)
    axes.set(xlim=(min(low, 0.5), 1.0), ylim=(len(rows) - 0.5, -0.5), yticks=(), xlabel="AUC")
    axes.xaxis.set_major_locator(MultipleLocator(0.1))
    axes.grid(axis="x")
    axes.axvline(0.5, color=SOFT, linewidth=0.9, linestyle="--", clip_on=False)
    axes.spines["left"].set_visible(False)


# --- ROC -----------------------------------------------------------------------------------------

ROC_SIDE = 216


def roc(row: SiteRow) -> Figure:
    """A site's curve from its thinned points, and where the frozen threshold lies with both intervals."""
    figure = figure_of(ROC_SIDE, ROC_SIDE)
    axes = axes_within(figure, left=42, right=10, top=10, bottom=42)
    axes.plot((0, 1), (0, 1), color=SOFT, linewidth=0.8, linestyle="--")
    if row.roc:
        axes.plot(*zip(*row.roc, strict=True), color=ROLE_COLOURS[row.role], linewidth=1.6, clip_on=False, zorder=3)
        _draw_operating_point(axes, row.specificity, row.sensitivity)
    else:
        axes.text(0.5, 0.56, UNDEFINED, ha="center", color=SOFT, backgroundcolor="white")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="1 − specificity", ylabel="sensitivity")
    axes.set(xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), xticklabels=("0", "0.5", "1"), yticklabels=("0", "0.5", "1"))
    axes.grid()
    return figure


def _draw_operating_point(axes: Axes, specificity: Estimate, sensitivity: Estimate) -> None:
    if specificity.value is None or sensitivity.value is None:
        return
    x, y = 1 - specificity.value, sensitivity.value
    whisker: dict[str, Any] = {"color": INK, "linewidth": 0.9, "clip_on": False, "zorder": 4}
    if specificity.low is not None and specificity.high is not None:
        axes.hlines(y, 1 - specificity.high, 1 - specificity.low, **whisker)
    if sensitivity.low is not None and sensitivity.high is not None:
        axes.vlines(x, sensitivity.low, sensitivity.high, **whisker)
    axes.plot(x, y, "o", color=INK, markerfacecolor="white", markersize=5.5, clip_on=False, zorder=5)


# --- learning curves -----------------------------------------------------------------------------

CURVES_WIDTH, CURVES_HEIGHT, LEGEND_ROW = 550, 290, 18
CURVE_LOOKS: dict[str, dict[str, Any]] = {
    "source": {"linewidth": 1.2},
    "held-out": {"color": APART, "linewidth": 1.5, "linestyle": (0, (5, 3)), "markerfacecolor": "white"},
    "mean": {"color": INK, "linewidth": 2.4, "marker": None},
}


@dataclass(frozen=True)
class Curve:
    """One line over the rounds, nan where there is no value. ``kind``: "source", "held-out" or "mean"."""

    label: str
    kind: str
    values: tuple[float, ...]


def learning_curves(judgement: Judgement, what: Measured) -> Figure | None:
    """AUC or loss over the rounds; None where no round has a number.

    Source sites on validation, their mean, held-out sites on test (dashed; for looking at only).
    """
    curves = curves_of(judgement, what)
    if all(math.isnan(value) for curve in curves for value in curve.values):
        return None
    num_entries = len(curves) + 1
    height = CURVES_HEIGHT + LEGEND_ROW * math.ceil(num_entries / 2)
    figure = figure_of(CURVES_WIDTH, height, layout="constrained")
    axes = figure.add_subplot()
    rounds = [point.server_round for point in judgement.curves]
    handles = [_draw_curve(axes, rounds, index, curve) for index, curve in enumerate(curves)]
    handles.append(_draw_selected(axes, judgement.selection.server_round))
    axes.set(xlim=(rounds[0] - 0.4, rounds[-1] + 0.4), xlabel="round", ylabel=TITLES[what])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
    axes.grid(axis="y")
    figure.legend(handles=handles, loc="outside lower left", ncols=2)
    return figure


def curves_of(judgement: Judgement, what: Measured) -> list[Curve]:
    """A site keeps its place, hence its colour and marker, in the figures of AUC and of loss."""
    points = judgement.curves
    patients = {
        (ledger.site, split): row.num_patients for ledger in judgement.ledgers for split, row in ledger.splits.items()
    }
    curves = [
        # A legend would leave out a label that begins with an underscore, as a name may.
        Curve(f"{said}: {shown_name(site)}{_n(patients.get((site, split)))}", kind, _values(points, where, site, what))
        for kind, said, where, split in (
            ("source", "source", "validation", "validation"),
            ("held-out", "held out", "held_out", "test"),
        )
        for site in sorted({site for point in points for site in getattr(point, where)})
    ]
    means = (getattr(point, f"mean_validation_{what}") for point in points)
    return [*curves, Curve("mean of sources", "mean", tuple(math.nan if mean is None else mean for mean in means))]


def _n(num_patients: int | None) -> str:
    return "" if num_patients is None else f" (n = {num_patients})"


def _values(points: Sequence[CurvePoint], where: str, site: str, what: Measured) -> tuple[float, ...]:
    found = (getattr(getattr(point, where).get(site), what, None) for point in points)
    return tuple(math.nan if value is None else value for value in found)


def _draw_curve(axes: Axes, rounds: Sequence[int], index: int, curve: Curve) -> Line2D:
    look: dict[str, Any] = {
        "color": SITE_COLOURS[index % len(SITE_COLOURS)],
        "marker": SITE_MARKERS[index % len(SITE_MARKERS)],
        "markersize": 3.6,
        "markevery": math.ceil(len(rounds) / 25),
    }
    (line,) = axes.plot(rounds, curve.values, label=curve.label, **(look | CURVE_LOOKS[curve.kind]))
    return line


def _draw_selected(axes: Axes, server_round: int) -> Line2D:
    return axes.axvline(
        server_round, color=INK, linewidth=1, linestyle=":", zorder=1, label=f"selected: round {server_round}"
    )
