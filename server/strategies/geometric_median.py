"""Geometric median."""

from __future__ import annotations

import numpy as np

from server.aggregation import Merging
from server.strategies.fedavg import FedAvg
from server.strategies.spool import Floats, RobustMerging, Spool, gram_matrix

MAX_WEISZFELD = 50
SMOOTHING = 1e-6  # of the distance in Weiszfeld's weights (Pillutla et al., algorithm 2)


class GeometricMedianMerging(RobustMerging):
    """The point with the least sum of distances to the updates, by smoothed Weiszfeld steps."""

    def site_weights(self, spool: Spool) -> Floats:
        """Each site's share in the geometric median, which is a convex combination of the updates."""
        gram_KK = gram_matrix(spool)
        weights_K = super().site_weights(spool)
        for _ in range(MAX_WEISZFELD):
            distance_K = np.sqrt(np.maximum(distances_to_mean(gram_KK, weights_K), 0.0))
            raised = 1.0 / np.maximum(distance_K, SMOOTHING)
            before, weights_K = weights_K, raised / raised.sum()
            if np.abs(weights_K - before).max() < 1e-9:
                break
        return weights_K


class GeometricMedian(FedAvg):
    """Robust federated aggregation (Pillutla et al., IEEE TSP 2022, algorithm 2), sites weighted alike."""

    def merging(self) -> Merging:
        """By the geometric median."""
        return GeometricMedianMerging(self.current)


def distances_to_mean(gram_KK: Floats, weights_K: Floats) -> Floats:
    """(K,) squared distances of the updates to their weighted mean: g_kk - 2 (G w)_k + w' G w."""
    projected_K = gram_KK @ weights_K
    return np.diag(gram_KK) - 2.0 * projected_K + weights_K @ projected_K
