"""SCAFFOLD: each site's gradient is corrected for the way in which it differs from the others'."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from flwr.app import ArrayRecord, RecordDict

from fedlung.model.networks import parameter_names
from fedlung.protocol import State, TrainReply, TrainTask, encode, encode_state
from server.aggregation import Merged, Merging, WeightedMean
from server.strategies.fedavg import FedAvg
from server.sums import Sums

GLOBAL = "global"


class Scaffold(FedAvg):
    """Stochastic controlled averaging (Karimireddy et al., ICML 2020, algorithm 1, option II).

        local    y <- y - eta_l (g - c_i + c)
        c_i+     = c_i - c + (w - y) / (K eta_l)
        server   w <- w + eta_g · mean(y_i - w)        c <- c + (|S| / N) · mean(c_i+ - c_i)

    Plain SGD only. The server works out each c_i+ from what it has anyhow, so a site keeps nothing from one round to
    the next, and is sent c - c_i beside the weights. A control says of a site what a gradient does.
    """

    def begin(self) -> None:
        """No control yet."""
        self.parameters = parameter_names(self.config.model)
        self.common: Sums = {}
        self.own: dict[str, Sums] = {}
        self._merging = ControlledMean({}, frozenset(), 1.0)

    def train_content(self, site: str, task: TrainTask, arrays: ArrayRecord) -> RecordDict:
        """With the correction c - c_i, none before the first round."""
        own = self.own.get(site, {})
        correction = {name: common - own.get(name, 0.0) for name, common in self.common.items()}
        record = encode_state({name: values.astype(np.float32) for name, values in correction.items()})
        return encode(task, weights=arrays, correction=record if correction else None)

    def merging(self) -> Merging:
        """The unweighted mean, which also finds out how far each site went for each step."""
        self._merging = ControlledMean(self.current, self.parameters, self.training.learning_rate)
        return self._merging

    def stepped(self, merged: Merged) -> State:
        """ORDER: the new controls are made with the c that the sites were sent."""
        num_sources = len(self.sources)
        changes: Sums = {}
        for site, mean_gradient in self._merging.gradients.items():
            own = self.own.get(site, {})
            change = {name: values - self.common.get(name, 0.0) for name, values in mean_gradient.items()}
            self.own[site] = {name: own.get(name, 0.0) + values for name, values in change.items()}
            changes = {name: changes.get(name, 0.0) + values for name, values in change.items()}
        self.common = {name: self.common.get(name, 0.0) + values / num_sources for name, values in changes.items()}
        return merged.state | {name: self._stepped(name, merged.state[name]) for name in sorted(self.parameters)}

    def memory(self) -> State:
        """The controls."""
        controls = {GLOBAL: self.common} | {f"site/{site}": own for site, own in self.own.items()}
        return {f"{of}/{name}": values for of, control in controls.items() for name, values in control.items()}

    def recall(self, memory: Mapping[str, np.ndarray]) -> None:
        """The controls of ``memory``."""
        self.common, self.own = {}, {}
        for key, values in memory.items():
            if key.startswith(f"{GLOBAL}/"):
                self.common[key.removeprefix(f"{GLOBAL}/")] = values
            else:
                _, site, name = key.split("/", 2)
                self.own.setdefault(site, {})[name] = values

    def _stepped(self, name: str, mean: np.ndarray) -> np.ndarray:
        before = self.current[name].astype(np.float64)
        return (before + self.config.strategy.server_learning_rate * (mean - before)).astype(mean.dtype)


class ControlledMean(WeightedMean):
    """The unweighted mean; ``gradients`` holds (w - y) / (K eta_l) of each site: its mean corrected gradient."""

    def __init__(self, current: State, parameters: frozenset[str], learning_rate: float) -> None:
        super().__init__(current, lambda reply: 1.0)
        self._parameters, self._learning_rate = parameters, learning_rate
        self.gradients: dict[str, Sums] = {}

    def add(self, reply: TrainReply, state: State) -> None:
        """Take one site in."""
        super().add(reply, state)
        way = reply.num_steps * self._learning_rate
        self.gradients[reply.site] = {
            name: np.subtract(self.current[name], state[name], dtype=np.float64) / way for name in self._parameters
        }
