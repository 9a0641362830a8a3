"""The free-response ROC of a site: sensitivity against false positives a scan.

To be called within ``plotstyle.house_style()``.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from fedlung.evaluation.judgement import DetectionRow
from fedlung.evaluation.report.plotstyle import ROLE_COLOURS, axes_within, figure_of
from fedlung.evaluation.report.words import UNDEFINED
from fedlung.webpage import INK, SOFT

SIDE = 216
LOWEST, HIGHEST = 0.125, 8.0
TICKS = {0.125: "1/8", 0.5: "1/2", 2.0: "2", 8.0: "8"}


def froc(row: DetectionRow, role: str) -> Figure:
    """The curve with the seven sensitivities whose mean is the CPM, each with its interval. ``role``: the site's."""
    figure = figure_of(SIDE, SIDE)
    axes = axes_within(figure, left=42, right=10, top=10, bottom=42)
    axes.set_xscale("log", base=2)
    if row.froc:
        rates, sensitivities = zip(*_extended(row.froc), strict=True)
        axes.plot(rates, sensitivities, color=ROLE_COLOURS[role], linewidth=1.6, zorder=3)
        for rate, found in row.sensitivities.items():
            if found.low is not None and found.high is not None:
                axes.vlines(float(rate), found.low, found.high, color=INK, linewidth=0.9, clip_on=False, zorder=4)
            if found.value is not None:
                axes.plot(float(rate), found.value, "o", color=INK, markersize=3, clip_on=False, zorder=5)
    else:
        axes.text(1.0, 0.56, UNDEFINED, ha="center", color=SOFT, backgroundcolor="white")
    axes.set(xlim=(LOWEST, HIGHEST), ylim=(0, 1), xlabel="false positives a scan", ylabel="sensitivity")
    axes.set(xticks=tuple(TICKS), yticks=(0, 0.5, 1), xticklabels=tuple(TICKS.values()), yticklabels=("0", "0.5", "1"))
    axes.minorticks_off()
    axes.grid()
    return figure


def _extended(points: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """The points with 0 false positives moved to where a logarithm shows them, and the end drawn to the edge."""
    shown = [(max(rate, LOWEST / 2), sensitivity) for rate, sensitivity in points]
    return [*shown, (max(HIGHEST, shown[-1][0]), shown[-1][1])]
