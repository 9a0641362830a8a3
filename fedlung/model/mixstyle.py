"""MixStyle: features that are trained under styles which no site has.

Zhou et al., "Domain Generalization with MixStyle", ICLR 2021, equations 2 to 6. The style of an example is the mean and
the deviation of each of its feature maps, and much of what a scanner does to an image is in the style of the early
maps. Each example is given a style between its own and another example's of its batch; nothing leaves a site for it.
"""

# B batch, C channel, D slice, H row, W column

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

SPACE = (2, 3, 4)
EPSILON = 1e-6  # added to a variance, as the authors do


class MixStyle(nn.Module):
    """``sigma_mix (x - mu) / sigma + mu_mix`` while training; it has no weights and does nothing in evaluation.

    probability   that a batch is mixed at all
    alpha         shares are drawn from Beta(alpha, alpha): a small one leaves most examples near a style that there is
    rng           lent by ``drawing_from``; it draws on the CPU, so that every device mixes alike
    """

    def __init__(self, probability: float, alpha: float) -> None:
        super().__init__()
        self.probability, self.alpha = probability, alpha
        self.rng: np.random.Generator | None = None

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Raises RuntimeError when it trains without a generator: a global one ties a run to what ran before it."""
        if not self.training or not self.probability:
            return x_BCDHW
        if self.rng is None:
            raise RuntimeError("MixStyle trains inside drawing_from only, which lends it a generator")
        if self.rng.random() >= self.probability:
            return x_BCDHW
        share_B = self.rng.beta(self.alpha, self.alpha, len(x_BCDHW)).astype(np.float32)
        partner_B = self.rng.permutation(len(x_BCDHW))
        return mixed(x_BCDHW, *(torch.from_numpy(drawn_B).to(x_BCDHW.device) for drawn_B in (share_B, partner_B)))


def mixed(x_BCDHW: Tensor, share_B: Tensor, partner_B: Tensor) -> Tensor:
    """Each example with ``share`` of its own style and the rest of its partner's; the style counts as a constant.

    The statistics are in float32 whatever the type of the features, which the result keeps.
    """
    variance, mean = torch.var_mean(x_BCDHW.detach().float(), SPACE, correction=0, keepdim=True)
    deviation = (variance + EPSILON).sqrt()
    share = share_B.view(-1, 1, 1, 1, 1)
    mean_mix, deviation_mix = (
        share * own + (1.0 - share) * own.index_select(0, partner_B) for own in (mean, deviation)
    )
    factor = deviation_mix / deviation
    return torch.addcmul(mean_mix - mean * factor, x_BCDHW, factor).to(x_BCDHW.dtype)
