"""FedAdam: each parameter has a step size of its own at the server."""

from __future__ import annotations

import numpy as np

from server.strategies.fedavgm import FedAvgM


class FedAdam(FedAvgM):
    """Adaptive federated optimisation (Reddi et al., ICLR 2021, algorithm 2), without bias correction as there.

        m <- b1 m + (1 - b1) Delta        v <- b2 v + (1 - b2) Delta²        w <- w + eta m / (sqrt(v) + tau)

    eta, b1, b2, tau = ``strategy.adaptive-learning-rate``, ``beta1``, ``beta2``, ``tau``.
    """

    def step(self, name: str, delta: np.ndarray) -> np.ndarray:
        """Adam's step; the second moment starts at tau² (algorithm 2 asks for at least that)."""
        cfg = self.config.strategy
        squared = delta**2
        self.first[name] = cfg.beta1 * self.first.get(name, 0.0) + (1.0 - cfg.beta1) * delta
        self.second[name] = self.second_moment(self.second.get(name, np.full_like(delta, cfg.tau**2)), squared)
        return cfg.adaptive_learning_rate * self.first[name] / (np.sqrt(self.second[name]) + cfg.tau)

    def second_moment(self, before: np.ndarray, squared: np.ndarray) -> np.ndarray:
        """An exponential mean."""
        beta2 = self.config.strategy.beta2
        return beta2 * before + (1.0 - beta2) * squared
