"""The mean of the models of late rounds: it costs nothing and moves less from round to round than any of them.

Stochastic weight averaging (Izmailov et al., UAI 2018, algorithm 1 with a cycle of one round), at the server. Training
goes on from the round's own model; the mean is what is judged and kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fedlung.protocol import State
from server.aggregation import Counters, in_types_of
from server.sums import Sums, add_scaled

COUNT, SUM = "num-states", "sum/"


class LateAverage:
    """The mean of the states of round ``first_round`` and later ones; 0 is never."""

    def __init__(self, first_round: int) -> None:
        self._first_round = first_round
        self._sums: Sums = {}
        self._num_states = 0

    def begins(self, server_round: int) -> bool:
        """Whether a round is one of those that are averaged."""
        return 0 < self._first_round <= server_round

    def take(self, state: State) -> State:
        """What is judged after a round that ended with ``state``: the mean so far."""
        self._num_states += 1
        add_scaled(self._sums, state, 1.0)
        counters = Counters()
        counters.add(state)
        return in_types_of(state, self._sums, counters, self._num_states)

    def memory(self) -> State:
        """What is carried from round to round: the sums as they are, in float64, and how many states are in them."""
        return {SUM + name: values for name, values in self._sums.items()} | {COUNT: np.array(self._num_states)}

    def recall(self, memory: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from what ``memory`` gave after an earlier round."""
        self._sums = {name.removeprefix(SUM): values for name, values in memory.items() if name != COUNT}
        self._num_states = int(memory[COUNT])
