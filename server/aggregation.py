"""The sites' weights to one state: checked first, then merged, exactly and in whatever order they came.

Updates are taken in the order of the sites' names and summed in float64, so that neither the order of arrival nor the
number of sites shows in the last digit. However many sites there are, a mean holds ``AT_ONCE`` updates, the one that
comes and one sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fedlung.errors import UpdateError
from fedlung.protocol import State, TrainReply
from server.sums import Scaled, Sums, add_all, is_floating, mean_of

Weigh = Callable[[TrainReply], float]

AT_ONCE = 4  # updates: with no more sites than that, their sum goes into the mean and is never written as a whole


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
        self._waiting: list[Scaled] = []
        self._counters = Counters()

    def add(self, reply: TrainReply, state: State) -> None:
        """Take one site in. Its state may wait to be read until the mean is asked for."""
        weight = self._weights[reply.site] = self._weigh(reply)
        self._counters.add(state)
        if len(self._waiting) == AT_ONCE:
            add_all(self._sums, self._waiting)
            self._waiting.clear()
        self._waiting.append((weight, state))

    def merged(self) -> Merged:
        """The mean, in the model's own types. It is asked for once: the updates and their sum are let go."""
        total = sum(self._weights.values())
        state = in_types_of(self.current, self._sums, self._counters, total, self._waiting)
        self._sums.clear()
        self._waiting.clear()
        return Merged(state, shares_of(self._weights))


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


def in_types_of(
    current: State, sums: Sums, counters: Counters, divisor: float, waiting: Sequence[Scaled] = ()
) -> State:
    """A state with the names and types of ``current``: sums and what waits, / divisor; and the largest counters."""
    state = mean_of(sums, waiting, divisor, current) | counters.largest
    return {name: state[name] for name in sorted(current)}


def shares_of(weights: dict[str, float]) -> dict[str, float]:
    """Weights scaled to a sum of one."""
    total = sum(weights.values())
    return {site: weight / total for site, weight in weights.items()}


def _refused(site: str, sentence: str) -> UpdateError:
    text = f"{site}: {sentence}; its update was left out of this round"
    return UpdateError(text, public=text)
