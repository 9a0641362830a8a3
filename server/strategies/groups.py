"""Fairness among the sites that are seen: those with a high loss count more.

All of them go by F_k, the training loss at site k of the weights that the round began with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fedlung.errors import ProtocolError
from fedlung.model.networks import parameter_names
from fedlung.protocol import START_LOSS, State, TrainReply, TrainTask
from server.aggregation import Merged, Merging, Sums, WeightedMean, add_scaled, shares_of
from server.strategies.fedavg import FedAvg

LEAST_SHARE = 1e-3  # of 1 / number of sites: a site that once did well must be able to come back


class LossAware(FedAvg):
    """Asks every site for its loss at the start of the round."""

    def train_task(self, task: TrainTask) -> TrainTask:
        """With the wish for F_k."""
        return replace(task, report_start_loss=True)

    def check_reply(self, reply: TrainReply) -> None:
        """Refuses an answer without F_k."""
        if START_LOSS not in reply.losses:
            raise ProtocolError(f"{reply.site} did not say its loss at the start of the round")


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


class MovingShares(LossAware):
    """The mean by shares lambda that follow the losses, from one round to the next."""

    def __init__(self, *run: object) -> None:
        super().__init__(*run)  # type: ignore[arg-type]
        self.shares = {site: 1.0 / len(self.sources) for site in self.sources}

    def merging(self) -> Merging:
        """By lambda; a site that is absent leaves its share to the others."""
        shares = dict(self.shares)
        return WeightedMean(self.current, lambda reply: shares[reply.site])

    def stepped(self, merged: Merged) -> State:
        """The mean; lambda moves for the next round."""
        losses = {site: reply.losses[START_LOSS] for site, reply in self.training.replies.items()}
        self.shares = self.moved(losses)
        return merged.state

    def moved(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Lambda after a round with these losses; a site without one keeps its own."""
        raise NotImplementedError

    def memory(self) -> State:
        """Lambda."""
        return {site: np.array(share) for site, share in self.shares.items()}

    def recall(self, memory: Mapping[str, np.ndarray]) -> None:
        """The lambda of ``memory``."""
        self.shares |= {site: float(share) for site, share in memory.items()}


class AgnosticFed(MovingShares):
    """Agnostic federated learning (Mohri et al., ICML 2019): lambda <- projection on the simplex of lambda + g F."""

    def moved(self, losses: Mapping[str, float]) -> dict[str, float]:
        """``strategy.group-step`` is g."""
        sites, step = sorted(self.shares), self.config.strategy.group_step
        raised = np.array([self.shares[site] + step * losses.get(site, 0.0) for site in sites])
        floor = LEAST_SHARE / len(sites)
        projected = np.maximum(project_on_simplex(raised), floor)
        return shares_of(dict(zip(sites, projected.tolist(), strict=True)))


class GroupDRO(MovingShares):
    """Group DRO (Sagawa et al., ICLR 2020, algorithm 1): lambda_k <- lambda_k exp(gamma F_k), normalised."""

    def moved(self, losses: Mapping[str, float]) -> dict[str, float]:
        """``strategy.group-step`` is gamma."""
        highest, step = max(losses.values(), default=0.0), self.config.strategy.group_step
        raised = {
            site: share * math.exp(step * (losses.get(site, highest) - highest)) for site, share in self.shares.items()
        }
        return shares_of(raised)


def project_on_simplex(values_K: np.ndarray) -> np.ndarray:
    """The nearest point with entries >= 0 and sum 1 (Duchi et al., ICML 2008, figure 1)."""
    descending = np.sort(values_K)[::-1]
    excess = (np.cumsum(descending) - 1.0) / np.arange(1, len(descending) + 1)
    return np.maximum(values_K - excess[np.flatnonzero(descending > excess)[-1]], 0.0)
