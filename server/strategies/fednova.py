"""FedNova: sites that take more steps do not pull the model their way for it."""

from __future__ import annotations

import numpy as np

from fedlung.config import OptimizerConfig
from fedlung.model.networks import parameter_names
from fedlung.protocol import State, TrainReply
from server.aggregation import Merged, Merging, WeightedMean, shares_of
from server.strategies.fedavg import FedAvg
from server.sums import Sums, add_scaled


class FedNova(FedAvg):
    """Normalised averaging (Wang et al., NeurIPS 2020, equations 5 to 10).

    With p_i = n_i / n, Delta_i = w_i - w and a_i the sum of the weights that site i's solver gives its gradients:

        w <- w + tau_eff · sum_i p_i Delta_i / a_i        tau_eff = sum_i p_i a_i

    Equal numbers of steps make it FedAvg. Buffers take the mean.
    """

    def merging(self) -> Merging:
        """Normalised by steps."""
        return NovaMerging(self.current, parameter_names(self.config.model), self.config.optimizer)


class NovaMerging:
    """Sums of n_i Delta_i / a_i for parameters; the weighted mean for everything else."""

    def __init__(self, current: State, parameters: frozenset[str], optimizer: OptimizerConfig) -> None:
        self._mean = WeightedMean(current, lambda reply: reply.num_examples)
        self._current, self._parameters, self._optimizer = current, parameters, optimizer
        self._sums: Sums = {}
        self._steps: dict[str, tuple[int, float]] = {}

    def add(self, reply: TrainReply, state: State) -> None:
        """Take one site in."""
        gradients = accumulated(reply.num_steps, self._optimizer)
        self._steps[reply.site] = (reply.num_examples, gradients)
        factor = reply.num_examples / gradients
        change = {name: np.subtract(state[name], self._current[name], dtype=np.float64) for name in self._parameters}
        add_scaled(self._sums, change, factor)
        self._mean.add(reply, state)

    def merged(self) -> Merged:
        """The state after the normalised step."""
        total = sum(number for number, _ in self._steps.values())
        effective = sum(number * gradients for number, gradients in self._steps.values()) / total
        state = self._mean.merged().state
        for name, sums in self._sums.items():
            state[name] = (self._current[name] + effective * sums / total).astype(state[name].dtype)
        weights = {site: number / gradients for site, (number, gradients) in self._steps.items()}
        return Merged(state, shares_of(weights))


def accumulated(num_steps: int, optimizer: OptimizerConfig) -> float:
    """||a_i||_1 of a site's local steps.

    SGD with momentum rho: [tau - rho (1 - rho^tau) / (1 - rho)] / (1 - rho). An AdamW step is about as long whatever
    the gradient, so that each counts as one.
    """
    rho = optimizer.momentum if optimizer.name == "sgd" else 0.0
    return (num_steps - rho * (1.0 - rho**num_steps) / (1.0 - rho)) / (1.0 - rho)
