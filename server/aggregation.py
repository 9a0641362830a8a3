"""The sites' weights to one state: checked first, then merged, exactly and in whatever order they came.

Updates are taken in the order of the sites' names and summed in float64, so that neither the order of arrival nor the
number of sites shows in the last digit. A mean holds the updates of ``FEW`` sites and its result; or, of however many
more, ``AT_ONCE`` updates and their sum in float64, which is as much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fedlung.errors import UpdateError
from fedlung.protocol import State, TrainReply
from server.fused import MOST_TERMS
from server.sums import Scaled, Sums, add_all, divided, is_floating, mean_of

Weigh = Callable[[TrainReply], float]

FEW = MOST_TERMS  # sites: their updates wait for each other and are read once
AT_ONCE = 2  # updates of more sites that are added to their sum in one pass


@dataclass(frozen=True)
class Merged:
    """A state out of the sites' updates, and the share that each site has in it; shares add up to one.

    ``refused`` says why a site's update is not in it.
    """

    state: State
    shares: dict[str, float]
    refused: dict[str, str] = field(default_factory=dict)


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
        self._waiting.append((weight, state))
        if len(self._waiting) == AT_ONCE:
            self._sum_up()

    def merged(self) -> Merged:
        """The mean, in the model's own types. It is asked for once: the sum is let go."""
        if self._waiting:
            self._sum_up()
        state = in_types_of(self.current, self._sums, self._counters, sum(self._weights.values()))
        self._sums.clear()
        return Merged(state, shares_of(self._weights))

    def _sum_up(self) -> None:
        add_all(self._sums, self._waiting)
        self._waiting.clear()


class MeanOfFew:
    """The ``WeightedMean`` of at most ``FEW`` sites, digit for digit, and every number of an update is read just once.

    So it takes updates whose numbers nobody has looked at: one that is not finite shows in the mean, which is made
    again without it.
    """

    def __init__(self, current: State, weigh: Weigh) -> None:
        self.current = current
        self._weigh = weigh
        self._updates: dict[str, Scaled] = {}

    def add(self, reply: TrainReply, state: State) -> None:
        """Take one site in."""
        self._updates[reply.site] = (self._weigh(reply), state)

    def merged(self) -> Merged:
        """The mean of the finite updates, in the model's own types; the model as it is where there is none."""
        merged = self._mean()
        if all(map(all_finite, merged.state.values())):
            return merged
        refused = {site: reason for site, (_, state) in self._updates.items() if (reason := not_finite(site, state))}
        self._updates = {site: update for site, update in self._updates.items() if site not in refused}
        return replace(self._mean(), refused=refused) if self._updates else Merged(self.current, {}, refused)

    def _mean(self) -> Merged:
        weights, counters = {site: weight for site, (weight, _) in self._updates.items()}, Counters()
        for _, state in self._updates.values():
            counters.add(state)
        with np.errstate(invalid="ignore"):  # infinities that cancel are looked for in the mean
            mean = mean_of(list(self._updates.values()), sum(weights.values()), self.current)
        return Merged(_sorted(mean | counters.largest), shares_of(weights))


def mean_for(num_sites: int, current: State, weigh: Weigh) -> WeightedMean | MeanOfFew:
    """What takes the updates of so many sites with the least work and memory."""
    return MeanOfFew(current, weigh) if num_sites <= FEW else WeightedMean(current, weigh)


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
    """``state`` if it is ``fitting`` and all its numbers are finite.

    Raises UpdateError, which names the site and the first tensor that does not fit.
    """
    if reason := not_finite(site, fitting(site, state, current)):
        raise UpdateError(reason, public=reason)
    return state


def fitting(site: str, state: State, current: State) -> State:
    """``state`` if it has the names, shapes and types of ``current``. Raises UpdateError as ``checked`` does."""
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
    return state


def not_finite(site: str, state: State) -> str:
    """Why an update is refused for its numbers; empty if all of them are finite."""
    for name, values in state.items():
        if not all_finite(values):
            return _refusal(site, f"{name} has {np.count_nonzero(~np.isfinite(values))} values that are not finite")
    return ""


def all_finite(values: npt.NDArray) -> bool:
    """Whether there is no infinity and no NaN.

    Either would show in the sum of squares, which takes half the time; large numbers overflow it and are looked at.
    """
    return not is_floating(values) or bool(np.isfinite(np.vdot(values, values)) or np.isfinite(values).all())


def in_types_of(current: State, sums: Sums, counters: Counters, divisor: float) -> State:
    """A state with the names and types of ``current``: the sums / divisor, and the largest counters."""
    return _sorted(divided(sums, divisor, current) | counters.largest)


def shares_of(weights: dict[str, float]) -> dict[str, float]:
    """Weights scaled to a sum of one."""
    total = sum(weights.values())
    return {site: weight / total for site, weight in weights.items()}


def _sorted(state: State) -> State:
    return dict(sorted(state.items()))


def _refused(site: str, sentence: str) -> UpdateError:
    text = _refusal(site, sentence)
    return UpdateError(text, public=text)


def _refusal(site: str, sentence: str) -> str:
    return f"{site}: {sentence}; its update was left out of this round"
