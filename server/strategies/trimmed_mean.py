"""Trimmed mean."""

from __future__ import annotations

import numpy as np

from fedlung.protocol import State
from server.aggregation import Merging
from server.strategies.fedavg import FedAvg
from server.strategies.spool import Floats, RobustMerging


class TrimmedMerging(RobustMerging):
    """The mean of each number without its ``num_trimmed`` largest and smallest."""

    def __init__(self, current: State, trim: float) -> None:
        super().__init__(current)
        self._trim = trim

    def combine(self, values_KC: Floats, weights_K: Floats) -> Floats:
        """At least one value is left."""
        num_sites = len(values_KC)
        num_trimmed = min(int(self._trim * num_sites), (num_sites - 1) // 2)
        return np.sort(values_KC, axis=0)[num_trimmed : num_sites - num_trimmed].mean(axis=0)


class TrimmedMean(FedAvg):
    """Coordinate-wise trimmed mean (Yin et al., ICML 2018, option II); ``strategy.trim`` is cut off at each end."""

    def merging(self) -> Merging:
        """By the trimmed mean."""
        return TrimmedMerging(self.current, self.config.strategy.trim)
