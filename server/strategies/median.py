"""Coordinate median."""

from __future__ import annotations

import numpy as np

from server.aggregation import Merging
from server.strategies.fedavg import FedAvg
from server.strategies.spool import Floats, RobustMerging


class MedianMerging(RobustMerging):
    """The median of each number."""

    def combine(self, values_KC: Floats, weights_K: Floats) -> Floats:
        """Of an even number of sites the mean of the middle two."""
        return np.median(values_KC, axis=0)


class CoordinateMedian(FedAvg):
    """Coordinate-wise median (Yin et al., ICML 2018, option I)."""

    def merging(self) -> Merging:
        """By the median."""
        return MedianMerging(self.current)
