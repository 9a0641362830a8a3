"""Server optimisers: the mean update is a gradient, and the server takes a step along it.

Reddi et al., Adaptive Federated Optimization, ICLR 2021, algorithm 2; Hsu et al. 2019 for momentum. With
Delta = mean of the sites' weights - current weights:

    FedAvgM   m <- b m + Delta                          w <- w + eta m
    FedAdam   m <- b1 m + (1 - b1) Delta                w <- w + eta m / (sqrt(v) + tau)
              v <- b2 v + (1 - b2) Delta²
    FedYogi   v <- v - (1 - b2) Delta² sign(v - Delta²)

Only parameters are stepped. BatchNorm's running statistics are no direction to go along: they take the mean.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fedlung.model.networks import parameter_names
from fedlung.protocol import State
from server.aggregation import Merged, Sums
from server.strategies.fedavg import FedAvg


class FedAvgM(FedAvg):
    """Momentum at the server: ``strategy.momentum`` and ``strategy.server-learning-rate``."""

    def __init__(self, *run: object) -> None:
        super().__init__(*run)  # type: ignore[arg-type]
        self.parameters = parameter_names(self.config.model)
        self.first: Sums = {}
        self.second: Sums = {}

    def stepped(self, merged: Merged) -> State:
        """The mean, in which every parameter is replaced by the optimiser's step."""
        return merged.state | {name: self._stepped(name, merged.state[name]) for name in sorted(self.parameters)}

    def memory(self) -> State:
        """The moments."""
        return {f"{kind}/{name}": values for kind, sums in self._moments().items() for name, values in sums.items()}

    def recall(self, memory: Mapping[str, np.ndarray]) -> None:
        """The moments of ``memory``."""
        for kind, sums in self._moments().items():
            sums.clear()
            sums |= {name.partition("/")[2]: v for name, v in memory.items() if name.startswith(f"{kind}/")}

    def step(self, name: str, delta: np.ndarray) -> np.ndarray:
        """What is added to a parameter, given its mean change (float64)."""
        cfg = self.config.strategy
        self.first[name] = cfg.momentum * self.first.get(name, 0.0) + delta
        return cfg.server_learning_rate * self.first[name]

    def _stepped(self, name: str, mean: np.ndarray) -> np.ndarray:
        before = self.current[name].astype(np.float64)
        return (before + self.step(name, mean.astype(np.float64) - before)).astype(mean.dtype)

    def _moments(self) -> dict[str, Sums]:
        return {"first": self.first, "second": self.second}


class FedAdam(FedAvgM):
    """``strategy.adaptive-learning-rate``, ``beta1``, ``beta2``, ``tau``; no bias correction, as in the paper."""

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


class FedYogi(FedAdam):
    """FedAdam whose second moment moves by no more than the square itself."""

    def second_moment(self, before: np.ndarray, squared: np.ndarray) -> np.ndarray:
        """Additive: one large update is not forgotten slowly."""
        return before - (1.0 - self.config.strategy.beta2) * squared * np.sign(before - squared)
