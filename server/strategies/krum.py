"""Krum."""

from __future__ import annotations

import numpy as np

from fedlung.protocol import State
from server.aggregation import Merging
from server.strategies.fedavg import FedAvg
from server.strategies.spool import Floats, RobustMerging, Spool, gram_matrix


class KrumMerging(RobustMerging):
    """The one update that lies nearest to its neighbours."""

    def __init__(self, current: State, num_byzantine: int) -> None:
        super().__init__(current)
        self._num_byzantine = num_byzantine

    def site_weights(self, spool: Spool) -> Floats:
        """All of the share to the site with the least sum of squared distances to its K - f - 2 nearest."""
        gram_KK = gram_matrix(spool)
        squared_K = np.diag(gram_KK)
        distance_KK = squared_K[:, None] + squared_K[None, :] - 2.0 * gram_KK
        np.fill_diagonal(distance_KK, np.inf)
        num_near = max(1, min(len(squared_K) - 1, len(squared_K) - self._num_byzantine - 2))
        scores_K = np.sort(distance_KK, axis=1)[:, :num_near].sum(axis=1)
        return np.eye(len(squared_K))[np.argmin(scores_K)]


class Krum(FedAvg):
    """Krum (Blanchard et al., NeurIPS 2017): bears ``strategy.num-byzantine`` wrong sites of at least 2 f + 3."""

    def merging(self) -> Merging:
        """One of the updates as it is."""
        return KrumMerging(self.current, self.config.strategy.num_byzantine)
