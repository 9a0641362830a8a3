"""The categories of the distributions: slice thickness, kernel, nodule size."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

THICKNESSES_MM = (1.0, 1.5, 2.0, 3.0, 5.0)
SIZES_MM = (6.0, 8.0, 15.0, 30.0)  # Fleischner's guideline, Radiology 284:228, 2017; beyond 30 mm it is a mass
NOT_SAID = "not said"
KERNEL_CLASSES = ("smooth", "sharp", "unknown")

# By vendor: GE's names, Siemens' letters with a number, Toshiba's FC numbers, Philips' letters.
_SMOOTH = r"STANDARD|STND|SOFT|DETAIL|CHST|[BIQ][rv]?[1-4]\d[a-z]?(\\\d)?|FC[0-3]\d(-\w+)?|A|B|C|I?CT? ?[ABC]"
_SHARP = r"LUNG|BONE(PLUS)?|EDGE|[BIQ][rlv]?[5-9]\d[a-z]?(\\\d)?|FC[58]\d(-\w+)?|D|E|L|Y[A-D]"


def binned(values: Iterable[float], edges: Sequence[float]) -> dict[str, int]:
    """How many values lie up to each edge and beyond the last; NaN is counted apart."""
    labels = [f"≤ {edges[0]:g}", *(f"{low:g}–{high:g}" for low, high in pairwise(edges))]
    labels += [f"> {edges[-1]:g}", NOT_SAID]
    counts = dict.fromkeys(labels, 0)
    for value in values:
        counts[NOT_SAID if math.isnan(value) else labels[sum(value > edge for edge in edges)]] += 1
    return counts


def kernel_class(kernel: str) -> str:
    """Whether a reconstruction kernel of a known name is smooth (soft tissue) or sharp (lung, bone)."""
    name = kernel.strip()
    if re.fullmatch(_SMOOTH, name, re.IGNORECASE):
        return "smooth"
    return "sharp" if re.fullmatch(_SHARP, name, re.IGNORECASE) else "unknown"
