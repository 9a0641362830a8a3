"""FedAvg with a pull towards the global weights in local training."""

from __future__ import annotations

from dataclasses import replace

from fedlung.protocol import TrainTask
from server.strategies.fedavg import FedAvg


class FedProx(FedAvg):
    """FedAvg with the local objective h_k(w) = F_k(w) + (mu / 2) · ||w - w_t||² (Li et al. 2020, equation 2).

    The norm is squared. The sites add the term; the server only says how strong it is.
    """

    def train_task(self, task: TrainTask) -> TrainTask:
        """With ``strategy.proximal-mu``."""
        return replace(task, proximal_mu=self.config.strategy.proximal_mu)
