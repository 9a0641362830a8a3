"""Thresholds chosen on validation: by the run's own rule, and at the two operating points that readers ask for."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from fedlung.evaluation.metrics import Confusion, Counts, f1, sensitivity, specificity
from fedlung.evaluation.statistics import LOGIT_EDGES, NUM_BINS, ScoreStatistics

THRESHOLD_RULES = ("youden", "f1")

OperatingPoint = Literal["spec90", "sens90"]
OPERATING_POINTS: tuple[OperatingPoint, ...] = get_args(OperatingPoint)
OPERATING_RULES: dict[OperatingPoint, str] = {
    "spec90": "the highest sensitivity at a specificity of at least .90",
    "sens90": "the highest specificity at a sensitivity of at least .90",
}
LEAST = 0.9


def choose_threshold(statistics: ScoreStatistics, rule: str) -> int | None:
    """The inner bin edge that maximises ``rule`` ("youden": sensitivity + specificity - 1, or "f1"); None if undefined.

    The best edge is seldom alone: between two neighbouring scores all edges are equal. The middle one of all that are
    best (the lower of two) is as far from both scores as can be.
    """
    assert rule in THRESHOLD_RULES, rule
    at = confusions_at_every_edge(statistics.histogram_CK)
    score = f1(at) if rule == "f1" else sensitivity(at) + specificity(at) - 1.0
    if np.isnan(score).any():
        return None
    return _middle(score >= score.max() - 1e-12)


def choose_operating_point(statistics: ScoreStatistics, point: OperatingPoint) -> int | None:
    """The inner bin edge of an operating point; None with one class only, or where no edge reaches it.

    "spec90": of the edges with a specificity of at least .90 those with the highest sensitivity, of these the ones with
    the highest specificity, of these the middle one; "sens90" with the two rates exchanged.
    """
    at = confusions_at_every_edge(statistics.histogram_CK)
    held, sought = specificity(at), sensitivity(at)
    if point == "sens90":
        held, sought = sought, held
    # A share of exactly 9/10 and the literal are the same float, so that no tolerance is needed.
    reached = held >= LEAST
    if np.isnan(held + sought).any() or not reached.any():
        return None
    best = reached & (sought == sought[reached].max())
    return _middle(best & (held == held[best].max()))


def confusions_at_every_edge(histogram_CK: Counts) -> Confusion:
    """Counts at the inner edges 1 .. K - 1, each of the shape (K - 1,)."""
    below = np.cumsum(histogram_CK, axis=-1)[:, :-1]
    above = histogram_CK.sum(axis=-1, keepdims=True) - below
    return Confusion(true_positive=above[1], false_positive=above[0], false_negative=below[1], true_negative=below[0])


def probability_of(edge: int) -> float:
    """The probability at a bin edge: what scores at least this is called positive."""
    return float(expit(LOGIT_EDGES[edge]))


def _middle(best: npt.NDArray[np.bool_]) -> int:
    """The middle one (the lower of two) of the inner edges marked."""
    edges = np.arange(1, NUM_BINS)[best]
    return int(edges[(len(edges) - 1) // 2])
