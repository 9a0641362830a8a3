"""What a site does with the model in one round: some epochs over its own examples."""

# N examples, B batch, C channel, D slice, H row, W column

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedlung.config import RunConfig
from fedlung.errors import DataError
from fedlung.model.drawing import drawing_from
from fedlung.model.losses import focal_loss
from fedlung.model.precision import autocasting, deterministic_convolutions, require_training_precision
from fedlung.patches.dataset import ExampleSet
from fedlung.seeding import derive, derive_torch
from fedlung.training.changes import BatchChanges
from fedlung.training.optimizer import Correction, ProximalTerm, clip_gradient, make_optimizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoundOutcome:
    """What one round of local training was.

    num_examples   examples of the site's training set, each seen once an epoch
    num_steps      optimiser steps of all local epochs
    loss           mean loss of an example over all local epochs, without the proximal term
    seconds        wall-clock time
    """

    num_examples: int
    num_steps: int
    loss: float
    seconds: float


def train_round(
    model: nn.Module,
    examples: ExampleSet,
    cfg: RunConfig,
    *,
    server_round: int,
    site: str,
    learning_rate: float,
    weights: tuple[float, float],
    proximal_mu: float,
    device: torch.device,
    correction: Mapping[str, Tensor] | None = None,
) -> RoundOutcome:
    """Trains the model in place for ``federation.local_epochs``; it ends on ``device`` and in training mode.

    The weights that the model comes with are the global ones: ``proximal_mu`` > 0 pulls towards them, and
    ``correction`` (by parameter name) is added to every gradient, as SCAFFOLD's control variates are. The optimiser is
    made afresh, so that nothing is carried from one round to the next: a round depends on the global weights, the
    examples, the configuration, the site's name and the round's number alone. Order, augmentation, virtual scanners,
    MixStyle and dropout have a random stream each. On the CPU, the same number of threads gives the same weights, bit
    for bit.

    ``weights`` are the classes' (negative, positive). Raises DataError where there is nothing to train on or where the
    loss is no longer finite, ConfigError for bfloat16 on a CPU.
    """
    started = time.perf_counter()
    require_training_precision(device, cfg.optimizer.precision)
    model.to(device).train()
    trainer = _Trainer(model, cfg, weights, learning_rate=learning_rate, proximal_mu=proximal_mu, device=device)
    trainer.correction = Correction(model, correction or {}, device)
    order_rng, style_rng = (derive(cfg.seed, purpose, site, server_round) for purpose in ("order", "mixstyle"))
    changes = BatchChanges(cfg, examples, site=site, server_round=server_round)
    dropout_rng = derive_torch(cfg.seed, "dropout", site, server_round, device=device)
    with drawing_from(model, dropout=dropout_rng, mixstyle=style_rng), deterministic_convolutions():
        for _ in range(cfg.federation.local_epochs):
            for indices_B in batches(len(examples), cfg, order_rng):
                x_BCDHW = changes.applied(examples.load(indices_B).to(device))
                trainer.step(x_BCDHW, torch.from_numpy(examples.labels_N[indices_B]).to(device))
            trainer.check_finite(server_round)
    outcome = RoundOutcome(len(examples), trainer.num_steps, trainer.loss, time.perf_counter() - started)
    logger.info(
        "round %d: loss %.4f in %d steps, %.1f s", server_round, outcome.loss, outcome.num_steps, outcome.seconds
    )
    return outcome


def batches(num_examples: int, cfg: RunConfig, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """The numbers of all examples in a new order, ``optimizer.batch_size`` at a time.

    The last batch is what is left. Under BatchNorm a batch of one is left out of the epoch (another example in each, as
    the order is new), because one example has no variance to normalise by.
    """
    size = cfg.optimizer.batch_size
    smallest = 2 if cfg.model.norm == "batch" else 1
    if num_examples < smallest or size < smallest:
        raise _too_few(smallest, min(num_examples, size))
    order_N = rng.permutation(num_examples)
    for start in range(0, num_examples, size):
        indices_B = order_N[start : start + size]
        if len(indices_B) >= smallest:
            yield indices_B


class _Trainer:
    """The model with its optimiser and the sum of its losses, for one round."""

    def __init__(
        self,
        model: nn.Module,
        cfg: RunConfig,
        weights: tuple[float, float],
        *,
        learning_rate: float,
        proximal_mu: float,
        device: torch.device,
    ) -> None:
        self.model, self.cfg, self.weights = model, cfg, weights
        self.learning_rate = learning_rate
        self.optimizer = make_optimizer(model, cfg.optimizer, learning_rate=learning_rate, device=device)
        self.proximal = ProximalTerm(model, proximal_mu)
        self.correction = Correction(model, {}, device)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.num_seen = 0
        self.num_steps = 0

    def step(self, x_BCDHW: Tensor, labels_B: Tensor) -> None:
        """ORDER: the proximal gradient before clipping, for it is part of the objective; the correction after it, so
        that what a site is corrected by is what its own clipped gradients came to."""
        self.optimizer.zero_grad()
        with autocasting(x_BCDHW.device, self.cfg.optimizer.precision):
            loss = focal_loss(self.model(x_BCDHW), labels_B, gamma=self.cfg.loss.gamma, weights=self.weights)
        loss.backward()
        self.proximal.add_gradient()
        clip_gradient(self.model.parameters(), self.cfg.optimizer.clip_norm)
        self.correction.add_gradient()
        self.optimizer.step()
        self.loss_sum += loss.detach() * len(labels_B)
        self.num_seen += len(labels_B)
        self.num_steps += 1

    @property
    def loss(self) -> float:
        """Mean loss of an example so far."""
        return float(self.loss_sum) / self.num_seen

    def check_finite(self, server_round: int) -> None:
        """Once an epoch, not once a step: reading a number makes a GPU wait, and a sum stays what is not finite."""
        if math.isfinite(self.loss):
            return
        text = (
            f"round {server_round}: expected a finite training loss, found {self.loss}. Lower optimizer.learning-rate "
            f"({self.learning_rate:g} in this round) or optimizer.clip-norm ({self.cfg.optimizer.clip_norm:g}; 0 is "
            "none), or set optimizer.precision to float32."
        )
        raise DataError(text, public=text)


def _too_few(smallest: int, found: int) -> DataError:
    return DataError(
        f"expected at least {smallest} training examples in a batch, found {found}. "
        "Check what was prepared and left out, optimizer.batch-size, and model.norm ('group' does with one example).",
        public=f"fewer than {smallest} training examples in a batch",
    )
