"""The reliability diagram of a site: what was predicted against what was seen.

To be called within ``plotstyle.house_style()``.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit, logit

from fedlung.evaluation.estimates import ReliabilityPoint
from fedlung.evaluation.judgement import SiteRow
from fedlung.evaluation.report.plotstyle import ROLE_COLOURS, axes_within, figure_of
from fedlung.evaluation.report.words import UNDEFINED
from fedlung.webpage import INK, SOFT

SIDE = 216


def reliability_diagram(row: SiteRow) -> Figure:
    """Shares of positives with intervals against mean probabilities, the fitted line as a curve, and the diagonal."""
    figure = figure_of(SIDE, SIDE)
    axes = axes_within(figure, left=42, right=10, top=10, bottom=42)
    axes.plot((0, 1), (0, 1), color=SOFT, linewidth=0.8, linestyle="--")
    if row.reliability:
        _draw_line(axes, row)
        for point in row.reliability:
            _draw_point(axes, point, ROLE_COLOURS[row.role])
    else:
        axes.text(0.5, 0.56, UNDEFINED, ha="center", color=SOFT, backgroundcolor="white")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="share of positives")
    axes.set(xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), xticklabels=("0", "0.5", "1"), yticklabels=("0", "0.5", "1"))
    axes.grid()
    return figure


def _draw_line(axes: Axes, row: SiteRow) -> None:
    """The regression between the outermost points: beyond them there is nothing that it was fitted to."""
    slope, intercept = row.calibration_slope.value, row.calibration_intercept.value
    if slope is None or intercept is None:
        return
    x = np.linspace(row.reliability[0].predicted, row.reliability[-1].predicted, 50)
    axes.plot(x, expit(intercept + slope * logit(x)), color=INK, linewidth=1.1, clip_on=False, zorder=3)


def _draw_point(axes: Axes, point: ReliabilityPoint, colour: str) -> None:
    x, seen = point.predicted, point.observed
    if seen.low is not None and seen.high is not None:
        axes.vlines(x, seen.low, seen.high, color=colour, linewidth=0.9, clip_on=False, zorder=4)
    if seen.value is not None:
        axes.plot(x, seen.value, "o", color=colour, markersize=4.5, clip_on=False, zorder=5)
