"""Weighted sums of states in float64, and the mean that they come to.

Reading and writing memory costs more than the arithmetic. So several states are added in one pass, a block of numbers
at a time: it is widened, added and divided while it is in the cache. Each number's additions are those of one state
after the other, so that no digit shows how many states were added at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import daxpy

from fedlung.protocol import State

Sums = dict[str, npt.NDArray[np.float64]]
Scaled = tuple[float, State]  # a factor, and the state whose floating-point tensors it scales
Terms = list[tuple[float, npt.NDArray]]  # the same of one tensor, its numbers in a row

BLOCK = 1 << 13  # numbers: OpenBLAS wakes its other threads for 10,000 and more, which costs far more than it brings


def add_scaled(sums: Sums, state: State, factor: float) -> None:
    """sums += factor · state, for floating-point tensors."""
    add_all(sums, [(factor, state)])


def add_all(sums: Sums, scaled: Sequence[Scaled]) -> None:
    """sums += factor · state for each in turn; of the same tensors, and of any number of them."""
    for name, like in _floating(scaled[0][1]):
        if name not in sums:
            sums[name] = np.zeros(like.shape)
        sum_P, terms = sums[name].reshape(-1), _terms(name, scaled)
        for block in _blocks(sum_P.size):
            _add(sum_P[block], terms, block)


def mean_of(sums: Sums, scaled: Sequence[Scaled], divisor: float, like: State) -> State:
    """(sums + factor · state for each in turn) / divisor, rounded once to the types of ``like``.

    ``sums`` may be empty. They stay as they are: with few states no sum of a whole tensor is ever written.
    """
    return {name: _mean(sums.get(name), _terms(name, scaled), divisor, values) for name, values in _floating(like)}


def is_floating(values: npt.NDArray) -> bool:
    """Whether a tensor holds weights or statistics, and no counter."""
    return bool(np.issubdtype(values.dtype, np.floating))


def _terms(name: str, scaled: Sequence[Scaled]) -> Terms:
    return [(factor, state[name].reshape(-1)) for factor, state in scaled]


def _mean(sums: npt.NDArray[np.float64] | None, terms: Terms, divisor: float, like: npt.NDArray) -> npt.NDArray:
    mean = np.empty(like.shape, like.dtype)
    mean_P, sum_P = mean.reshape(-1), None if sums is None else sums.reshape(-1)
    scratch_B = np.empty(min(BLOCK, mean.size))
    for block in _blocks(mean.size):
        mean_B = mean_P[block]
        sum_B = scratch_B[: mean_B.size]
        sum_B[...] = 0.0 if sum_P is None else sum_P[block]
        _add(sum_B, terms, block)
        sum_B /= divisor
        mean_B[...] = sum_B
    return mean


def _add(sum_B: npt.NDArray[np.float64], terms: Terms, block: slice) -> None:
    """sum_B += factor · values[block] for each term in turn, in place: ``daxpy`` writes into its second argument."""
    for factor, values_P in terms:
        daxpy(values_P[block].astype(np.float64), sum_B, a=factor)


def _floating(state: Mapping[str, npt.NDArray]) -> Iterator[tuple[str, npt.NDArray]]:
    return ((name, values) for name, values in state.items() if is_floating(values))


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, size, BLOCK))
