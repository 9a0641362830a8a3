"""The end that all networks share: features to one logit."""

# B batch, C channel, D slice, H row, W column

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014) that draws from a generator of its own; ``drawing_from`` lends it one.

    nn.Dropout draws from the process's global generator, so that what else ran before would change the weights.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None

    def forward(self, x_BC: Tensor) -> Tensor:
        if not self.training or not self.probability:
            return x_BC
        kept_BC = torch.rand(x_BC.shape, generator=self.generator, device=x_BC.device) >= self.probability
        return x_BC * kept_BC / (1.0 - self.probability)


class Head(nn.Module):
    """Global mean, dropout, one dense unit.

    Always in float32: a bfloat16 logit has three digits, and scores that tie cannot be ranked. The mean is a plain one
    because AdaptiveAvgPool3d has no deterministic backward pass on CUDA.
    """

    def __init__(self, channels: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.dense = nn.Linear(channels, 1)

    def forward(self, features_BCDHW: Tensor) -> Tensor:
        """Features of any size -> logits_B."""
        with torch.autocast(features_BCDHW.device.type, enabled=False):
            features_BC = features_BCDHW.float().mean((2, 3, 4))
            return self.dense(self.dropout(features_BC)).squeeze(1)
