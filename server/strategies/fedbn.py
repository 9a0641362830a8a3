"""FedBN: normalisation stays with the site, the rest is averaged."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from flwr.app import ArrayRecord

from fedlung.model.networks import norm_names
from fedlung.protocol import State, TrainReply, decode_state, encode_state
from server.aggregation import Merged, Merging, WeightedMean
from server.strategies.fedavg import FedAvg


class FedBN(FedAvg):
    """FedAvg in which every site trains and is judged with its own BatchNorm tensors (Li et al., ICLR 2021).

    Weights, biases and running statistics of the normalisation are a site's own. A site that has none, which is what a
    held-out hospital is, gets the mean of the source sites', weighted by examples as everything else: that is the
    model of the checkpoints.

    The tensors are kept at the server and sent back, so that a site keeps nothing between rounds; they do leave it.
    """

    def begin(self) -> None:
        """No site has norms of its own yet."""
        self.own: dict[str, State] = {}
        self._names = norm_names(self.config.model)
        self._merging = OwnNorms({}, frozenset())

    def weights_for(self, site: str, arrays: ArrayRecord) -> ArrayRecord:
        """The global weights with the site's own normalisation."""
        own = self.own.get(site)
        return encode_state(decode_state(arrays, copy=False) | own) if own else arrays

    def merging(self) -> Merging:
        """The mean, which also keeps each site's own tensors."""
        self._merging = OwnNorms(self.current, self._names)
        return self._merging

    def stepped(self, merged: Merged) -> State:
        """The mean; from now on each site has the tensors that it sent."""
        self.own |= self._merging.own
        return merged.state

    def memory(self) -> State:
        """The sites' own tensors."""
        return {f"{site}/{name}": values for site, own in self.own.items() for name, values in own.items()}

    def recall(self, memory: Mapping[str, np.ndarray]) -> None:
        """The tensors of ``memory``."""
        self.own = {}
        for key, values in memory.items():
            site, _, name = key.partition("/")
            self.own.setdefault(site, {})[name] = values


class OwnNorms(WeightedMean):
    """The mean weighted by examples; ``own`` holds each site's normalisation."""

    def __init__(self, current: State, names: frozenset[str]) -> None:
        super().__init__(current, lambda reply: reply.num_examples)
        self._names = names
        self.own: dict[str, State] = {}

    def add(self, reply: TrainReply, state: State) -> None:
        """Take one site in."""
        super().add(reply, state)
        self.own[reply.site] = {name: state[name].copy() for name in self._names}
