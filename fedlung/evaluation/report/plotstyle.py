"""How every figure of the report looks, and how it becomes an SVG.

Text stays text: the reader's own fonts draw it, so that a name in any script comes out, and nothing in it is taken as
markup or mathematics. The same figure gives the same bytes.
"""

from __future__ import annotations

import io
import warnings
from contextlib import AbstractContextManager
from typing import Any, Literal

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlung.webpage import ACCENT, APART, INK, LINE, SOFT

ROLE_COLOURS = {"source": ACCENT, "held-out": APART, "summary": SOFT}
# After Okabe and Ito, darkened for white paper and without their vermilion, which is the held-out site's alone.
SITE_COLOURS = ("#0072b2", "#007d5a", "#a3528a", "#8a6d00", "#2f88b8", "#5a5a5a", "#6a4ca3")
SITE_MARKERS = ("o", "s", "^", "v", "P")  # not as many as colours: 35 sites go by before a pair comes again

PIXELS_PER_INCH = 96  # of a style sheet
POINTS_PER_PIXEL = 72 / PIXELS_PER_INCH
TEXT = 12 * POINTS_PER_PIXEL
SMALL = 11 * POINTS_PER_PIXEL

SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fedlung",
    "text.parse_math": False,
    # The first comes with matplotlib, and is what text is measured with: the wide one, so the others fit as well.
    "font.sans-serif": ["DejaVu Sans", "Segoe UI", "Helvetica Neue", "Arial", "sans-serif"],
    "font.size": TEXT,
    "axes.labelsize": SMALL,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": "#9aa6b2",
    "axes.linewidth": 0.75,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "text.color": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": "#9aa6b2",
    "ytick.color": "#9aa6b2",
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "figure.facecolor": "white",
}


def house_style() -> AbstractContextManager[None]:
    """Within it figures are drawn and saved; what a user has set for matplotlib counts for nothing in it."""
    return matplotlib.style.context(["default", SETTINGS])


def figure_of(width: float, height: float, *, layout: Literal["constrained"] | None = None) -> Figure:
    """An empty figure of so many pixels."""
    return Figure(figsize=(width / PIXELS_PER_INCH, height / PIXELS_PER_INCH), layout=layout)


def axes_within(figure: Figure, *, left: float, right: float, top: float, bottom: float) -> Axes:
    """Axes with margins of so many pixels."""
    width, height = size_in_pixels(figure)
    box = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    return figure.add_axes(box)


def size_in_pixels(figure: Figure) -> tuple[int, int]:
    width, height = figure.get_size_inches() * PIXELS_PER_INCH
    return round(width), round(height)


def svg(figure: Figure) -> bytes:
    """The figure as a file, without the date and without the program's name."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # Measured here, drawn by the reader's fonts: a glyph that DejaVu has not is not missing there.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def shown_name(name: str, *, most: int = 18) -> str:
    """A site's name as it fits a figure (the tables have the whole of it), without what XML forbids."""
    printable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    return printable if len(printable) <= most else printable[: most - 1] + "…"
