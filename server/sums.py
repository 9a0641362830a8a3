"""Weighted sums of states in float64, and the mean that they come to.

Reading and writing memory costs more than the arithmetic. So several states are added in one pass, a block of numbers
at a time: it is widened, multiplied and added while it is in the cache; or number by number, by ``server.fused``. Each
number's operations are those of one state after the other, so that no digit shows how many states were added at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from fedlung.protocol import State, written
from server.fused import Loops, Term, loops_for

Sums = dict[str, npt.NDArray[np.float64]]
Scaled = tuple[float, State]  # a factor, and the state whose floating-point tensors it scales

BLOCK = 1 << 13  # numbers: 64 KB in float64


def add_scaled(sums: Sums, state: State, factor: float) -> None:
    """sums += factor · state, for floating-point tensors."""
    add_all(sums, [(factor, state)])


def add_all(sums: Sums, scaled: Sequence[Scaled]) -> None:
    """sums += factor · state for each in turn; of the same tensors, and of any number of them."""
    loops = _loops(scaled)
    for name, like in _floating(scaled[0][1]):
        if name not in sums:
            sums[name] = np.zeros(like.shape)
        sum_P, terms = sums[name].reshape(-1), _terms(name, scaled)
        if loops and like.dtype == np.float32:
            loops.add(sum_P, terms)
            continue
        for block in _blocks(sum_P.size):
            _add(sum_P[block], terms, block)


def divided(sums: Sums, divisor: float, like: State) -> State:
    """sums / divisor, rounded once to the types of ``like``."""
    return {name: written(values, partial(_divide, sums[name], divisor)) for name, values in _floating(like)}


def mean_of(scaled: Sequence[Scaled], divisor: float, like: State) -> State:
    """(0 + factor · state for each in turn) / divisor, rounded once to the types of ``like``.

    No sum of a whole tensor is ever written.
    """
    loops = _loops(scaled)
    return {
        name: written(values, partial(_mean, _terms(name, scaled), divisor, loops)) for name, values in _floating(like)
    }


def is_floating(values: npt.NDArray) -> bool:
    """Whether a tensor holds weights or statistics, and no counter."""
    return bool(np.issubdtype(values.dtype, np.floating))


def _loops(scaled: Sequence[Scaled]) -> Loops | None:
    sizes = (values.size for values in scaled[0][1].values() if values.dtype == np.float32)
    return loops_for(sum(sizes), len(scaled))


def _terms(name: str, scaled: Sequence[Scaled]) -> list[Term]:
    return [(factor, state[name].reshape(-1)) for factor, state in scaled]


def _divide(total: npt.NDArray[np.float64], divisor: float, mean: npt.NDArray) -> None:
    total_P, mean_P = total.reshape(-1), mean.reshape(-1)
    for block in _blocks(mean.size):
        mean_P[block] = total_P[block] / divisor


def _mean(terms: Sequence[Term], divisor: float, loops: Loops | None, mean: npt.NDArray) -> None:
    mean_P = mean.reshape(-1)
    if loops and mean.dtype == np.float32:
        loops.mean(mean_P, terms, divisor)
        return
    for block in _blocks(mean.size):
        total_B = np.zeros(mean_P[block].size)
        _add(total_B, terms, block)
        mean_P[block] = total_B / divisor


def _add(sum_B: npt.NDArray[np.float64], terms: Sequence[Term], block: slice) -> None:
    """sum_B += factor · values[block] for each term in turn, in place."""
    for factor, values_P in terms:
        scaled_B = values_P[block].astype(np.float64)
        scaled_B *= factor
        sum_B += scaled_B


def _floating(state: Mapping[str, npt.NDArray]) -> Iterator[tuple[str, npt.NDArray]]:
    return ((name, values) for name, values in state.items() if is_floating(values))


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, size, BLOCK))
