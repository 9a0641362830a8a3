"""FedDG-GA: sites that lose most by being averaged count more in the next round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from flwr.app import Message, MetricRecord

from fedlung.errors import ProtocolError
from fedlung.protocol import VALIDATION_LOSS, State, TrainReply, TrainTask
from server.aggregation import Merging, shares_of
from server.strategies.fedavg import FedAvg

FLOOR = 0.1  # of 1 / number of sites


class FedDGGA(FedAvg):
    """Generalization adjustment (Zhang et al., CVPR 2023), in the centred form of the paper.

    With the validation losses of site k of the averaged model and of its own model before averaging:

        G_k = L_k(averaged) - L_k(own)
        a_k <- a_k + (d_t / M) (G_k - mean G) / max_j |G_j - mean G|        d_t = (1 - t / T) d

    for M sites in round t of T, with d = ``strategy.gap-step``; then a is kept between a floor and 1 and scaled to a
    sum of one. Equal gaps leave a as it is. Only scalars cross the wire.
    """

    def begin(self) -> None:
        """Equal shares."""
        self.shares = {site: 1.0 / len(self.sources) for site in self.sources}

    def train_task(self, task: TrainTask) -> TrainTask:
        """With the wish for the loss of a site's own model on its validation patients."""
        return replace(task, report_validation_loss=True)

    def check_reply(self, reply: TrainReply) -> None:
        """A site without validation patients takes part, and its share stays as it is."""
        if VALIDATION_LOSS not in reply.losses and self._has_examples(reply.site, "validation"):
            raise ProtocolError(f"{reply.site} did not say the loss of its own model on its validation patients")

    def merging(self) -> Merging:
        """By a."""
        shares = dict(self.shares)
        return self.mean(lambda reply: shares[reply.site])

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """The sites' losses with the averaged model are in: a moves."""
        record = super().aggregate_evaluate(server_round, replies)
        own = {site: reply.losses.get(VALIDATION_LOSS) for site, reply in self.training.replies.items()}
        averaged = {site: reply.loss for site, reply in self.evaluation.replies.items() if reply.split == "validation"}
        gaps = {site: averaged[site] - loss for site, loss in own.items() if loss is not None and site in averaged}
        if self.training.is_committed and server_round == self.training.server_round:
            self.shares = adjusted(self.shares, gaps, step=self._step(server_round))
        return record

    def memory(self) -> State:
        """a."""
        return {site: np.array(share) for site, share in self.shares.items()}

    def recall(self, memory: Mapping[str, np.ndarray]) -> None:
        """The a of ``memory``."""
        self.shares |= {site: float(share) for site, share in memory.items()}

    def _step(self, server_round: int) -> float:
        return self.config.strategy.gap_step * (1.0 - server_round / self.config.federation.rounds)


def adjusted(shares: Mapping[str, float], gaps: Mapping[str, float], *, step: float) -> dict[str, float]:
    """The shares after gaps were seen; where all gaps are equal they are as before."""
    if not gaps:
        return dict(shares)
    mean = sum(gaps.values()) / len(gaps)
    widest = max(abs(gap - mean) for gap in gaps.values())
    if widest == 0.0:
        return dict(shares)
    num_sites = len(shares)
    moved = {site: share + step / num_sites * (gaps.get(site, mean) - mean) / widest for site, share in shares.items()}
    return shares_of({site: min(max(share, FLOOR / num_sites), 1.0) for site, share in moved.items()})
