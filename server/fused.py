"""The inner loops of ``server.sums`` as machine code, for models so large that a second of compiling is worth it.

Each loop reads every number once and does with it what the loops over blocks do, operation for operation in IEEE
float64 and without fused multiply-add, so that no digit shows which of them ran. It needs numba, which the extra
``server`` brings; without it there are no such loops, and the blocks do the same more slowly.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_TERMS = 4
WORTHWHILE = 1 << 23  # numbers of a model; the loops take 0.6 s to compile, once in a process

Term = tuple[float, npt.NDArray[Any]]


@dataclass(frozen=True)
class Loops:
    """``_add`` and ``_mean``, compiled."""

    compiled_add: Callable[..., None]
    compiled_mean: Callable[..., None]

    def add(self, sum_P: npt.NDArray[np.float64], terms: Sequence[Term]) -> None:
        """sum_P += factor · values_P for each term in turn."""
        self.compiled_add(sum_P, *_four(terms))

    def mean(self, mean_P: npt.NDArray[np.float32], terms: Sequence[Term], divisor: float) -> None:
        """mean_P = (0 + factor · values_P for each term in turn) / divisor, rounded once."""
        self.compiled_mean(mean_P, *_four(terms), divisor)


def loops_for(num_values: int, num_terms: int) -> Loops | None:
    """The loops for a model of so many numbers; None where they are not worth it, too few, or numba is missing."""
    return compiled() if num_values >= WORTHWHILE and 1 <= num_terms <= MOST_TERMS else None


@functools.cache
def compiled() -> Loops | None:
    """The loops; None without numba."""
    if importlib.util.find_spec("numba") is None:
        return None
    from numba import float32, float64, njit, types, void

    values_P = types.Array(float32, 1, "C", readonly=True)
    four = [values_P] * MOST_TERMS + [float64] * MOST_TERMS
    return Loops(
        njit(void(float64[::1], *four), nogil=True)(_add),
        njit(void(float32[::1], *four, float64), nogil=True)(_mean),
    )


def _four(terms: Sequence[Term]) -> list[Any]:
    """The arrays and the factors of four terms: zero times the first adds nothing, not even the sign of a zero."""
    padded = [*terms, *[(0.0, terms[0][1])] * (MOST_TERMS - len(terms))]
    return [*(values_P for _, values_P in padded), *(factor for factor, _ in padded)]


def _add(sum_P, a_P, b_P, c_P, d_P, a, b, c, d):  # type: ignore[no-untyped-def]
    for i in range(sum_P.size):
        total = sum_P[i] + a * np.float64(a_P[i])
        total += b * np.float64(b_P[i])
        total += c * np.float64(c_P[i])
        total += d * np.float64(d_P[i])
        sum_P[i] = total


def _mean(mean_P, a_P, b_P, c_P, d_P, a, b, c, d, divisor):  # type: ignore[no-untyped-def]
    for i in range(mean_P.size):
        total = 0.0 + a * np.float64(a_P[i])
        total += b * np.float64(b_P[i])
        total += c * np.float64(c_P[i])
        total += d * np.float64(d_P[i])
        mean_P[i] = np.float32(total / divisor)
