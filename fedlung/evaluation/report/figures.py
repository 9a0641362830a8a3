"""Where everything in the report's figures stands, in pixels. The page's template draws it.

Numbers are rounded to a tenth of a pixel, so that the same judgement gives the same page to the byte.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedlung.evaluation.judgement import CurvePoint, Estimate, Judgement, SiteRow
from fedlung.evaluation.report.words import with_interval

# Okabe and Ito's colours, which people with any colour vision tell apart; as classes, for the page's style sheet.
NUM_COLOURS = 7


@dataclass(frozen=True)
class Scale:
    """From values to pixels along one axis."""

    low: float
    high: float
    first: float  # pixel of ``low``
    last: float  # pixel of ``high``

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.first + share * (self.last - self.first), 1)


@dataclass(frozen=True)
class Tick:
    position: float
    label: str


@dataclass(frozen=True)
class ForestRow:
    """One site's AUC; positions are None where it is undefined."""

    name: str
    kind: str  # "source", "held-out" or "summary"
    y: float
    x: float | None
    low: float | None
    high: float | None
    size: float | None  # the diameter alone
    text: str


@dataclass(frozen=True)
class Forest:
    width: int
    height: int
    left: float
    right: float
    bottom: float
    ticks: tuple[Tick, ...]
    rows: tuple[ForestRow, ...]


@dataclass(frozen=True)
class Roc:
    """One site's curve in a square of ``SIDE`` pixels; ``point`` is where the frozen threshold lies."""

    name: str
    role: str
    path: str
    point: tuple[float, float] | None
    auc: str
    reason: str


@dataclass(frozen=True)
class Line:
    """A site's values over the rounds. ``kind``: "source", "held-out" or "mean"."""

    name: str
    kind: str
    colour: int
    path: str
    end: tuple[float, float]


@dataclass(frozen=True)
class Curves:
    title: str
    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    selected: float


SIDE = 150
ROW = 30


def forest(judgement: Judgement) -> Forest:
    """AUC by site with intervals; the mean over sources and the pooled value below."""
    aucs = [row.auc for row in judgement.sites] + [judgement.mean_sources.auc, judgement.pooled.auc]
    sizes = [row.baselines["size"] for row in judgement.sites if "size" in row.baselines]
    shown = [end for found in [*aucs, *sizes] for end in (found.value, found.low) if end is not None]
    low = max(0.0, math.floor((min(shown, default=0.5) - 0.02) * 10) / 10)
    scale = Scale(min(low, 0.5), 1.0, 170.0, 860.0)
    bottom = 14.0 + ROW * (len(aucs))
    rows = [_forest_row(row.name, row.role, row.auc, row.baselines.get("size")) for row in judgement.sites]
    rows += [
        _forest_row("Mean of sources", "summary", judgement.mean_sources.auc, None),
        _forest_row("All pooled", "summary", judgement.pooled.auc, None),
    ]
    return Forest(
        width=1040,
        height=int(bottom) + 38,
        left=scale.first,
        right=scale.last,
        bottom=bottom,
        ticks=tuple(Tick(scale(value), f"{value:.1f}") for value in _steps(scale.low, scale.high, 0.1)),
        rows=tuple(_placed(row, index, scale) for index, row in enumerate(rows)),
    )


def roc(row: SiteRow) -> Roc:
    """A site's ROC curve, from its thinned points."""
    across, up = Scale(0.0, 1.0, 0.0, SIDE), Scale(0.0, 1.0, SIDE, 0.0)
    at, point = row.confusion, None
    if at is not None and row.num_positive and row.num_negative:
        point = (across(at.false_positive / row.num_negative), up(at.true_positive / row.num_positive))
    return Roc(
        name=row.name,
        role=row.role,
        path=_path([(across(x), up(y)) for x, y in row.roc]),
        point=point,
        auc=with_interval(row.auc),
        reason=row.auc.reason or "",
    )


def learning_curves(judgement: Judgement) -> tuple[Curves, ...]:
    """AUC and loss over the rounds: sources on validation, their mean, held-out sites on test (for looking at only)."""
    if not judgement.curves:
        return ()
    return tuple(curves for what in ("auc", "loss") if (curves := _curves(judgement, what)) is not None)


def _curves(judgement: Judgement, what: str) -> Curves | None:
    points = judgement.curves
    series = _series(points, what)
    values = [value for _, _, values in series for value in values if value is not None]
    if not values:
        return None
    rounds = [point.server_round for point in points]
    across = Scale(rounds[0] - 0.3, rounds[-1] + 0.3, 46.0, 420.0)
    step = _nice_step(min(values), max(values))
    low, high = math.floor(min(values) / step) * step, math.ceil(max(values) / step) * step
    up = Scale(low, high if high > low else low + step, 226.0, 16.0)
    return Curves(
        title={"auc": "AUC", "loss": "Loss"}[what],
        width=540,
        height=272,
        left=across.first,
        right=across.last,
        top=up.last,
        bottom=up.first,
        x_ticks=tuple(Tick(across(number), str(number)) for number in _thinned(rounds, 12)),
        y_ticks=tuple(Tick(up(value), f"{value:.{_decimals(step)}f}") for value in _steps(up.low, up.high, step)),
        lines=_spread([line for entry in enumerate(series) if (line := _line(entry, rounds, across, up)) is not None]),
        selected=across(judgement.selection.server_round),
    )


def _series(points: Sequence[CurvePoint], what: str) -> list[tuple[str, str, list[float | None]]]:
    """(name, kind, value by round) of every line; a site keeps its place, hence its colour, in both panels."""
    sources = sorted({site for point in points for site in point.validation})
    held_out = sorted({site for point in points for site in point.held_out})
    series: list[tuple[str, str, list[float | None]]] = [
        (site, kind, [getattr(values.get(site), what, None) for values in (getattr(point, where) for point in points)])
        for kind, where, sites in (("source", "validation", sources), ("held-out", "held_out", held_out))
        for site in sites
    ]
    mean = [getattr(point, f"mean_validation_{what}") for point in points]
    return [*series, ("mean of sources", "mean", mean)]


def _line(
    entry: tuple[int, tuple[str, str, list[float | None]]], rounds: Sequence[int], across: Scale, up: Scale
) -> Line | None:
    index, (name, kind, values) = entry
    corners = [(across(x), up(y)) for x, y in zip(rounds, values, strict=True) if y is not None]
    if not corners:
        return None
    return Line(name=_short(name), kind=kind, colour=index % NUM_COLOURS, path=_path(corners), end=corners[-1])


def _spread(lines: list[Line], *, apart: float = 13.0) -> tuple[Line, ...]:
    """Moves the names at the lines' ends apart, downwards in order of height, so that none covers another."""
    ends: dict[str, float] = {}
    lowest = -math.inf
    for line in sorted(lines, key=lambda line: line.end[1]):
        lowest = max(line.end[1], lowest + apart)
        ends[line.name] = lowest
    return tuple(Line(**{**vars(line), "end": (line.end[0], round(ends[line.name], 1))}) for line in lines)


def _forest_row(name: str, kind: str, auc: Estimate, size: Estimate | None) -> tuple[str, str, Estimate, float | None]:
    return name, kind, auc, size.value if size is not None else None


def _placed(row: tuple[str, str, Estimate, float | None], index: int, scale: Scale) -> ForestRow:
    name, kind, auc, size = row

    def at(value: float | None) -> float | None:
        return None if value is None else scale(value)

    y = 14.0 + ROW * (index + 0.5)
    return ForestRow(_short(name), kind, y, at(auc.value), at(auc.low), at(auc.high), at(size), with_interval(auc))


def _path(corners: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in corners) if corners else ""


def _steps(low: float, high: float, step: float) -> list[float]:
    return [round(low + index * step, 10) for index in range(round((high - low) / step) + 1)]


def _nice_step(low: float, high: float) -> float:
    """1, 2 or 5 times a power of ten that cuts the range into about five."""
    rough = max(high - low, 1e-3) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)


def _decimals(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _short(name: str, *, most: int = 18) -> str:
    """A name that fits its place in a figure; the tables have the whole of it."""
    return name if len(name) <= most else name[: most - 1] + "…"


def _thinned(rounds: Sequence[int], most: int) -> list[int]:
    every = math.ceil(len(rounds) / most)
    return list(rounds[::every])
