"""q-FFL: a site with a higher loss pulls the model more."""

from __future__ import annotations

import math

import numpy as np

from fedlung.model.networks import parameter_names
from fedlung.protocol import START_LOSS, State, TrainReply
from server.aggregation import Merged, Merging, WeightedMean, shares_of
from server.strategies.lossaware import LossAware
from server.sums import Sums, add_scaled


class QFedAvg(LossAware):
    """q-FFL (Li et al., ICLR 2020, algorithm 2): minimises sum_k F_k^(q+1) / (q + 1).

    With L = 1 / learning rate, and g_k = L (w - w_k):

        D_k = F_k^q g_k        h_k = q F_k^(q-1) ||g_k||² + L F_k^q        w <- w - sum D_k / sum h_k

    q = ``strategy.fairness``; 0 is the unweighted mean. Buffers take the unweighted mean.
    """

    def merging(self) -> Merging:
        """By loss."""
        q, rate = self.config.strategy.fairness, self.training.learning_rate
        return FairMerging(self.current, parameter_names(self.config.model), fairness=q, learning_rate=rate)


class FairMerging:
    """Sums of D_k and h_k."""

    def __init__(self, current: State, parameters: frozenset[str], *, fairness: float, learning_rate: float) -> None:
        self._mean = WeightedMean(current, lambda reply: 1.0)
        self._current, self._parameters = current, parameters
        self._q, self._lipschitz = fairness, 1.0 / learning_rate
        self._sums: Sums = {}
        self._curvature = 0.0
        self._weights: dict[str, float] = {}

    def add(self, reply: TrainReply, state: State) -> None:
        """Take one site in."""
        loss = max(reply.losses[START_LOSS], 1e-10)  # 0^(q-1) is no number
        names = sorted(self._parameters)
        way = {name: np.subtract(self._current[name], state[name], dtype=np.float64) for name in names}
        squared = self._lipschitz**2 * math.fsum(float(np.vdot(values, values)) for values in way.values())
        self._weights[reply.site] = loss**self._q
        self._curvature += self._q * loss ** (self._q - 1) * squared + self._lipschitz * loss**self._q
        add_scaled(self._sums, way, loss**self._q * self._lipschitz)
        self._mean.add(reply, state)

    def merged(self) -> Merged:
        """The state after the fair step."""
        state = self._mean.merged().state
        for name, sums in self._sums.items():
            state[name] = (self._current[name] - sums / self._curvature).astype(state[name].dtype)
        return Merged(state, shares_of(self._weights))
