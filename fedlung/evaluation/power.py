"""What a site of a given size can show: the width of an interval, and the smallest difference that would be found."""

from __future__ import annotations

import math

from scipy.special import ndtri


def standard_error(auc: float, num_positive: int, num_negative: int) -> float:
    """Of an AUC, for independent examples (Hanley and McNeil, Radiology 143, 1982, equations 1 and 2).

    It is never 0 within (0, 1), however well the sample was separated; used at the AUC that one would plan for.
    """
    q1, q2 = auc / (2.0 - auc), 2.0 * auc**2 / (1.0 + auc)
    variance = auc * (1.0 - auc) + (num_positive - 1) * (q1 - auc**2) + (num_negative - 1) * (q2 - auc**2)
    return math.sqrt(variance / (num_positive * num_negative))


def half_width(auc: float, num_positive: int, num_negative: int, *, z: float = 1.96) -> float:
    """Half the width of an AUC's 95 % interval."""
    return z * standard_error(auc, num_positive, num_negative)


def detectable_difference(
    auc: float,
    num_positive: int,
    num_negative: int,
    *,
    correlation: float = 0.8,
    power: float = 0.8,
    level: float = 0.05,
) -> float:
    """The smallest difference between two models' AUCs on the same examples that a two-sided test finds with ``power``.

    (z of 1 - level/2 + z of power) · √(2 · SE² · (1 - correlation)); ``correlation`` is that of the two AUC estimates
    (Hanley and McNeil, Radiology 148, 1983).
    """
    error = standard_error(auc, num_positive, num_negative) * math.sqrt(2.0 * (1.0 - correlation))
    return float(ndtri(1.0 - level / 2.0) + ndtri(power)) * error
