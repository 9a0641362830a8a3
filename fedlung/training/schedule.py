"""The learning rate of a round. It changes between rounds, never within one, so that all sites step alike."""

from __future__ import annotations

import math

from fedlung.config import RunConfig

FINAL_SHARE = 0.01


def learning_rate_at(cfg: RunConfig, server_round: int) -> float:
    """The learning rate of rounds 1 to ``federation.rounds``.

    'cosine' goes from the full rate in the first round to 1 % of it in the last (Loshchilov & Hutter 2017, equation 5,
    without restarts); 'constant' stays. A run of a single round has the full rate.
    """
    full, rounds = cfg.optimizer.learning_rate, cfg.federation.rounds
    assert 1 <= server_round <= rounds, f"round {server_round} of {rounds}"
    if cfg.optimizer.schedule == "constant" or rounds == 1:
        return full
    progress = (server_round - 1) / (rounds - 1)
    return full * (FINAL_SHARE + (1.0 - FINAL_SHARE) * 0.5 * (1.0 + math.cos(math.pi * progress)))
