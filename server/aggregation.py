"""The sites' weights to one state: checked first, then merged, exactly and in whatever order they came.

Updates are taken in the order of the sites' names and summed in float64, so that neither the order of arrival nor the
number of sites shows in the last digit. A mean holds one update and one sum at a time, however many sites there are.

``K`` sites, ``P`` numbers in all floating-point tensors of a state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fedlung.errors import UpdateError
from fedlung.protocol import State, TrainReply

Sums = dict[str, npt.NDArray[np.float64]]
Weigh = Callable[[TrainReply], float]

BLOCK = 1 << 14  # numbers at a time, so that products stay in the cache: filling fresh memory costs more than the sum


@dataclass(frozen=True)
class Merged:
    """A state out of the sites' updates, and the share that each site has in it; shares add up to one."""

    state: State
    shares: dict[str, float]


class Merging(Protocol):
    """Takes one checked update at a time, in the order of the sites' names."""

    def add(self, reply: TrainReply, state: State) -> None: ...

    def merged(self) -> Merged: ...


class WeightedMean:
    """sum(a_k · w_k) / sum(a_k), where ``weigh(reply)`` gives a_k, such as the number of examples.

    Floating-point tensors are averaged (BatchNorm's running statistics as well); an integer buffer, which is a counter
    such as ``num_batches_tracked``, becomes the largest of the sites'.
    """

    def __init__(self, current: State, weigh: Weigh) -> None:
        self.current = current
        self._weigh = weigh
        self._weights: dict[str, float] = {}
        self._sums: Sums = {}
        self._counters = Counters()

    def add(self, reply: TrainReply, state: State) -> None:
        """Take one site in."""
        weight = self._weights[reply.site] = self._weigh(reply)
        self._counters.add(state)
        add_scaled(self._sums, state, weight)

    def merged(self) -> Merged:
        """The mean, in the model's own types."""
        total = sum(self._weights.values())
        return Merged(in_types_of(self.current, self._sums, self._counters, total), shares_of(self._weights))


class Counters:
    """The largest value that any site has in each integer buffer."""

    def __init__(self) -> None:
        self.largest: State = {}

    def add(self, state: State) -> None:
        """Take one site's counters in."""
        for name, values in state.items():
            if not is_floating(values):
                self.largest[name] = np.maximum(values, self.largest.get(name, values))


def checked(site: str, state: State, current: State) -> State:
    """``state`` if it has the names, shapes and types of ``current`` and only finite values.

    Raises UpdateError, which names the site and the first tensor that does not fit.
    """
    if missing := sorted(current.keys() - state.keys()):
        raise _refused(site, f"{len(missing)} of {len(current)} tensors are missing, the first is {missing[0]}")
    if num_extra := len(state.keys() - current.keys()):
        raise _refused(site, f"{num_extra} tensors are not the model's")
    for name, expected in current.items():
        found = state[name]
        if found.shape != expected.shape or found.dtype != expected.dtype:
            raise _refused(
                site, f"{name} is {found.dtype} {found.shape}, the model's is {expected.dtype} {expected.shape}"
            )
        if not all_finite(found):
            raise _refused(site, f"{name} has {np.count_nonzero(~np.isfinite(found))} values that are not finite")
    return state


def all_finite(values: npt.NDArray) -> bool:
    """Whether there is no infinity and no NaN.

    Either would show in the sum of squares, which takes half the time; large numbers overflow it and are looked at.
    """
    return not is_floating(values) or bool(np.isfinite(np.vdot(values, values)) or np.isfinite(values).all())


def add_scaled(sums: Sums, state: State, factor: float) -> None:
    """sums += factor · state in float64, for floating-point tensors."""
    for name, values in state.items():
        if not is_floating(values):
            continue
        if name in sums:
            _add_scaled(sums[name].reshape(-1), values.reshape(-1), factor)
        else:
            sums[name] = np.asarray(np.multiply(values, factor, dtype=np.float64))  # of no dimension it is a number


def in_types_of(current: State, sums: Sums, counters: Counters, divisor: float) -> State:
    """A state with the names and types of ``current``: sums / divisor, rounded once, and the largest counters."""
    state = dict(counters.largest)
    for name, values in sums.items():
        quotient = np.empty(values.shape, current[name].dtype)
        state[name] = np.divide(values, divisor, out=quotient, casting="same_kind")
    return {name: state[name] for name in sorted(current)}


def shares_of(weights: dict[str, float]) -> dict[str, float]:
    """Weights scaled to a sum of one."""
    total = sum(weights.values())
    return {site: weight / total for site, weight in weights.items()}


def is_floating(values: npt.NDArray) -> bool:
    """Whether a tensor holds weights or statistics, and no counter."""
    return bool(np.issubdtype(values.dtype, np.floating))


def _add_scaled(sums_P: npt.NDArray[np.float64], values_P: npt.NDArray, factor: float) -> None:
    scaled = np.empty(min(BLOCK, values_P.size))
    for start in range(0, values_P.size, BLOCK):
        block = sums_P[start : start + BLOCK]
        block += np.multiply(values_P[start : start + BLOCK], factor, out=scaled[: block.size], dtype=np.float64)


def _refused(site: str, sentence: str) -> UpdateError:
    text = f"{site}: {sentence}; its update was left out of this round"
    return UpdateError(text, public=text)
