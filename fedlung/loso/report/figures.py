"""The page's forest plot: the AUC of every row at every unseen site, a panel for each site and one for their mean.

To be called within ``plotstyle.house_style()``. Sizes are in the page's pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.report.pictures import Picture
from fedlung.evaluation.report.plotstyle import (
    SMALL,
    axes_within,
    figure_of,
    house_style,
    shown_name,
    size_in_pixels,
    svg,
)
from fedlung.evaluation.report.words import UNDEFINED, with_interval
from fedlung.loso.record import LosoResults, Row, RowKind
from fedlung.webpage import ACCENT, APART, INK, LINE, SOFT, data_uri

WIDTH, NAMES, ROW_HEIGHT, HEAD, FOOT, BETWEEN = 1136, 236, 24, 30, 40, 26
MOST_PANELS = 6  # in one figure; more go into another below it

LOOKS: dict[RowKind, dict[str, Any]] = {
    "method": {"color": ACCENT, "marker": "s", "markersize": 6},
    "baseline": {"color": SOFT, "marker": "D", "markersize": 5},
    "without pixels": {"color": INK, "marker": "o", "markersize": 5.5, "markerfacecolor": "white"},
}


@dataclass(frozen=True)
class Panel:
    """One column of the plot: the AUC of each row, in the rows' order."""

    title: str
    found: tuple[Estimate, ...]


def forests(results: LosoResults) -> list[Picture]:
    """The plot, in as many figures as its panels need; each says in words what it shows."""
    rows, panels = results.tables["auc"].rows, panels_of(results)
    chunks = [panels[start : start + MOST_PANELS] for start in range(0, len(panels), MOST_PANELS)]
    with house_style():
        limits = _limits(panels)
        figures = [(_forest(results, rows, chunk, limits), chunk) for chunk in chunks]
        return [
            Picture(data_uri(svg(figure), "svg+xml"), _say(results, rows, chunk), *size_in_pixels(figure))
            for figure, chunk in figures
        ]


def panels_of(results: LosoResults) -> list[Panel]:
    """A panel for every unseen site, and the mean over them."""
    rows = results.tables["auc"].rows
    sites = [Panel(site, tuple(row.unseen[site].estimate for row in rows)) for site in results.sites]
    return [*sites, Panel("Mean of the sites", tuple(row.unseen_mean.estimate for row in rows))]


def _say(results: LosoResults, rows: Sequence[Row], panels: Sequence[Panel]) -> str:
    told = (
        f"{panel.title}: "
        + ", ".join(f"{row.name} {with_interval(found)}" for row, found in zip(rows, panel.found, strict=True))
        for panel in panels
    )
    synthetic = "Synthetic data. " if results.synthetic else ""
    return (
        f"{synthetic}Forest plot of the AUC at each site, unseen, with its {results.confidence:.0%} interval. "
        f"{'; '.join(told)}."
    )


def _forest(results: LosoResults, rows: Sequence[Row], panels: Sequence[Panel], limits: tuple[float, float]) -> Figure:
    heights = list(_heights(rows))
    figure = figure_of(WIDTH, round(ROW_HEIGHT * (heights[-1] + 1)) + HEAD + FOOT)
    each = (WIDTH - NAMES) / min(MOST_PANELS, len(results.sites) + 1)
    for number, panel in enumerate(panels):
        left = NAMES + number * each
        axes = axes_within(figure, left=left, right=WIDTH - left - each + BETWEEN, top=HEAD, bottom=FOOT)
        _draw_panel(axes, rows, heights, panel, limits)
        if number == 0:
            _write_names(axes, rows, heights, each - BETWEEN)
    if results.synthetic:
        figure.text(0.0, 1.0, "SYNTHETIC", ha="left", va="top", color=APART, fontsize=SMALL, fontweight="bold")
    return figure


def _heights(rows: Sequence[Row]) -> Iterator[float]:
    """Where each row lies: one below the other, with half a row between kinds."""
    y = 0.0
    for number, row in enumerate(rows):
        y += 0.5 * (number > 0 and row.kind != rows[number - 1].kind)
        yield y
        y += 1.0


def _draw_panel(
    axes: Axes, rows: Sequence[Row], heights: Sequence[float], panel: Panel, limits: tuple[float, float]
) -> None:
    for row, y, found in zip(rows, heights, panel.found, strict=True):
        look = LOOKS[row.kind]
        if found.low is not None and found.high is not None:
            axes.hlines(y, found.low, found.high, color=look["color"], linewidth=1.5, clip_on=False)
        if found.value is not None:
            axes.plot(found.value, y, clip_on=False, zorder=3, **look)
        else:
            _write_undefined(axes, limits[0], y)
    axes.set_title(shown_name(panel.title), fontsize=SMALL, fontweight="bold", loc="left", pad=6)
    axes.set(xlim=limits, ylim=(heights[-1] + 0.6, -0.6), yticks=(), xlabel="AUC")
    _set_ticks(axes, limits)


def _write_undefined(axes: Axes, x: float, y: float) -> None:
    paper = {"facecolor": "white", "linewidth": 0, "pad": 1}  # the line at chance does not run through the word
    axes.text(x, y, UNDEFINED, color=SOFT, fontsize=SMALL, va="center_baseline", fontstyle="italic", bbox=paper)


def _set_ticks(axes: Axes, limits: tuple[float, float]) -> None:
    """At most five ticks at tenths or fifths, without the leading 0."""
    step = 0.1 if limits[1] - limits[0] < 0.45 else 0.2
    first = math.ceil(round(limits[0] / step, 6))
    ticks = [round(number * step, 6) for number in range(first, math.floor(round(limits[1] / step, 6)) + 1)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.1f}".removeprefix("0")))
    axes.grid(axis="x")
    axes.axvline(0.5, color=SOFT, linewidth=0.9, linestyle="--")
    axes.spines["left"].set(color=LINE)


def _write_names(axes: Axes, rows: Sequence[Row], heights: Sequence[float], width: float) -> None:
    """The rows' names left of the first panel, from the figure's edge."""
    for row, y in zip(rows, heights, strict=True):
        name = shown_name(row.name, most=36)
        axes.text(-NAMES / width, y, name, transform=axes.get_yaxis_transform(), va="center_baseline", fontsize=SMALL)


def _limits(panels: Sequence[Panel]) -> tuple[float, float]:
    """From the lowest number of all panels, or chance, to 1."""
    ends = [end for panel in panels for found in panel.found for end in (found.value, found.low) if end is not None]
    return max(0.0, math.floor((min(*ends, 0.5) if ends else 0.5) * 10 - 0.2) / 10), 1.0
