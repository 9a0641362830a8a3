"""FedAvgM: momentum at the server."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fedlung.model.networks import parameter_names
from fedlung.protocol import State
from server.aggregation import Merged
from server.strategies.fedavg import FedAvg
from server.sums import Sums


class FedAvgM(FedAvg):
    """The mean update is a gradient, and the server takes a step along it with momentum (Hsu et al., 2019).

    With Delta = mean of the sites' weights - current weights:

        m <- b m + Delta        w <- w + eta m

    b = ``strategy.momentum``, eta = ``strategy.server-learning-rate``. Only parameters are stepped. BatchNorm's
    running statistics are no direction to go along: they take the mean.
    """

    def begin(self) -> None:
        """No moments yet."""
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
