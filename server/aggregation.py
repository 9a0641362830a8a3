"""Updates to state: the mean of the sites' weights, exactly, in whatever order they came.

Sites are taken in the order of their names and summed in float64, so that neither the order of arrival nor the number
of sites shows in the last digit. One decoded update is held at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedlung.errors import FedlungError, UpdateError
from fedlung.protocol import State


@dataclass(frozen=True)
class Update:
    """One site's weights after local training. ``load`` decodes them when their turn comes."""

    site: str
    num_examples: int
    load: Callable[[], State]


@dataclass(frozen=True)
class Aggregate:
    """The new state (None without a single valid update), who is in it, and who was refused and why."""

    state: State | None
    num_examples: dict[str, int]
    refused: dict[str, str]


def aggregate(updates: Iterable[Update], current: State) -> Aggregate:
    """The mean of the updates weighted by their examples; an update that cannot enter is refused by its site's name.

    Floating-point tensors are averaged (BatchNorm's running statistics as well); an integer buffer, which is a counter
    such as ``num_batches_tracked``, becomes the largest of the sites'.
    """
    mean = WeightedMean(current)
    num_examples: dict[str, int] = {}
    refused: dict[str, str] = {}
    for update in sorted(updates, key=lambda update: update.site):
        try:
            mean.add(checked(update, current), update.num_examples)
        except FedlungError as error:
            refused[update.site] = str(error)
        else:
            num_examples[update.site] = update.num_examples
    return Aggregate(mean.state() if num_examples else None, num_examples, refused)


def checked(update: Update, current: State) -> State:
    """The update's state if it has the names, shapes and types of ``current`` and only finite values.

    Raises UpdateError, which names the site and the first tensor that does not fit.
    """
    state = update.load()
    if missing := sorted(current.keys() - state.keys()):
        raise _refused(update, f"{len(missing)} of {len(current)} tensors are missing, the first is {missing[0]}")
    if num_extra := len(state.keys() - current.keys()):
        raise _refused(update, f"{num_extra} tensors are not the model's")
    for name, expected in current.items():
        found = state[name]
        if found.shape != expected.shape or found.dtype != expected.dtype:
            raise _refused(
                update, f"{name} is {found.dtype} {found.shape}, the model's is {expected.dtype} {expected.shape}"
            )
        if not np.isfinite(found).all():
            raise _refused(update, f"{name} has {np.count_nonzero(~np.isfinite(found))} values that are not finite")
    return state


class WeightedMean:
    """sum(n_k · w_k) / sum(n_k), tensor by tensor, accumulated in float64."""

    def __init__(self, like: State) -> None:
        self._like = like
        self._sums: dict[str, npt.NDArray[np.float64]] = {}
        self._counters: State = {}
        self._weight = 0

    def add(self, state: State, num_examples: int) -> None:
        """Take one site in."""
        for name, values in state.items():
            if not np.issubdtype(values.dtype, np.floating):
                self._counters[name] = np.maximum(values, self._counters.get(name, values))
            elif name in self._sums:
                self._sums[name] += np.multiply(values, num_examples, dtype=np.float64)
            else:
                self._sums[name] = np.multiply(values, num_examples, dtype=np.float64)
        self._weight += num_examples

    def state(self) -> State:
        """The mean, in the model's own types."""
        means = {name: (total / self._weight).astype(self._like[name].dtype) for name, total in self._sums.items()}
        return {name: (means | self._counters)[name] for name in sorted(self._like)}


def _refused(update: Update, sentence: str) -> UpdateError:
    text = f"{update.site}: {sentence}; its update was left out of this round"
    return UpdateError(text, public=text)
