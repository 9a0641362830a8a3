"""FedAvg in which a large site counts no more than a small one."""

from __future__ import annotations

from server.aggregation import Merging
from server.strategies.fedavg import FedAvg


class UniformFedAvg(FedAvg):
    """The unweighted mean of the sites' weights: it minimises the mean of the sites' losses, not of the examples'."""

    def merging(self) -> Merging:
        """Every site counts once."""
        return self.mean(lambda reply: 1.0)
