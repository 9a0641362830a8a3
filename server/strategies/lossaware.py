"""What the algorithms for fairness among the seen sites share: they go by each site's loss at the start of a round.

F_k is the training loss at site k of the weights that the round began with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fedlung.errors import ProtocolError
from fedlung.protocol import START_LOSS, State, TrainReply, TrainTask
from server.aggregation import Merged, Merging, shares_of
from server.strategies.fedavg import FedAvg

LEAST_SHARE = 1e-3  # of 1 / number of sites: a site that once did well must be able to come back


class LossAware(FedAvg):
    """Asks every site for its loss at the start of the round."""

    def train_task(self, task: TrainTask) -> TrainTask:
        """With the wish for F_k."""
        return replace(task, report_start_loss=True)

    def check_reply(self, reply: TrainReply) -> None:
        """Refuses an answer without F_k."""
        if START_LOSS not in reply.losses:
            raise ProtocolError(f"{reply.site} did not say its loss at the start of the round")


class MovingShares(LossAware):
    """The mean by shares lambda that follow the losses, from one round to the next."""

    def begin(self) -> None:
        """Equal shares."""
        self.shares = {site: 1.0 / len(self.sources) for site in self.sources}

    def merging(self) -> Merging:
        """By lambda; a site that is absent leaves its share to the others."""
        shares = dict(self.shares)
        return self.mean(lambda reply: shares[reply.site])

    def stepped(self, merged: Merged) -> State:
        """The mean; lambda moves for the next round."""
        told = {site: reply.losses[START_LOSS] for site, reply in self.training.replies.items()}
        mean = sum(told.values()) / len(told)  # an absent site is neither raised nor lowered against the others
        losses = {site: told.get(site, mean) for site in self.shares}
        floor = LEAST_SHARE / len(self.shares)
        self.shares = shares_of({site: max(share, floor) for site, share in self.moved(losses).items()})
        return merged.state

    def moved(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Lambda after a round with these losses, not yet scaled. Every site has one."""
        raise NotImplementedError

    def memory(self) -> State:
        """Lambda."""
        return {site: np.array(share) for site, share in self.shares.items()}

    def recall(self, memory: Mapping[str, np.ndarray]) -> None:
        """The lambda of ``memory``."""
        self.shares |= {site: float(share) for site, share in memory.items()}
