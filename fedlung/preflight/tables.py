"""The categories of the distributions: slice thickness, kernel, nodule size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from fedlung.ct.scanners import KERNEL_CLASSES, kernel_class

__all__ = ["KERNEL_CLASSES", "SIZES_MM", "THICKNESSES_MM", "binned", "kernel_class"]

THICKNESSES_MM = (1.0, 1.5, 2.0, 3.0, 5.0)
SIZES_MM = (6.0, 8.0, 15.0, 30.0)  # Fleischner's guideline, Radiology 284:228, 2017; beyond 30 mm it is a mass
NOT_SAID = "not said"


def binned(values: Iterable[float], edges: Sequence[float]) -> dict[str, int]:
    """How many values lie up to each edge and beyond the last; NaN is counted apart."""
    labels = [f"≤ {edges[0]:g}", *(f"{low:g}–{high:g}" for low, high in pairwise(edges))]
    labels += [f"> {edges[-1]:g}", NOT_SAID]
    counts = dict.fromkeys(labels, 0)
    for value in values:
        counts[NOT_SAID if math.isnan(value) else labels[sum(value > edge for edge in edges)]] += 1
    return counts
