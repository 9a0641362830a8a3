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
        means = {name: sums / total for name, sums in self._sums.items()}
        return Merged(in_types_of(self.current, means, self._counters), shares_of(self._weights))


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
        if not np.isfinite(found).all():
            raise _refused(site, f"{name} has {np.count_nonzero(~np.isfinite(found))} values that are not finite")
    return state


def add_scaled(sums: Sums, state: State, factor: float) -> None:
    """sums += factor · state in float64, for floating-point tensors."""
    for name, values in state.items():
        if is_floating(values):
            scaled = np.asarray(np.multiply(values, factor, dtype=np.float64))  # of no dimension it is a number
            sums[name] = np.add(sums[name], scaled, out=sums[name]) if name in sums else scaled


def in_types_of(current: State, values: Sums, counters: Counters) -> State:
    """A state with the names and types of ``current``: these values, and the largest counters."""
    floats = {name: np.asarray(found, dtype=current[name].dtype) for name, found in values.items()}
    return {name: (floats | counters.largest)[name] for name in sorted(current)}


def shares_of(weights: dict[str, float]) -> dict[str, float]:
    """Weights scaled to a sum of one."""
    total = sum(weights.values())
    return {site: weight / total for site, weight in weights.items()}


def is_floating(values: npt.NDArray) -> bool:
    """Whether a tensor holds weights or statistics, and no counter."""
    return bool(np.issubdtype(values.dtype, np.floating))


def _refused(site: str, sentence: str) -> UpdateError:
    text = f"{site}: {sentence}; its update was left out of this round"
    return UpdateError(text, public=text)
