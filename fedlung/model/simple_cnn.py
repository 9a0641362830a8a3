"""The plain network that a residual one has to beat: convolution and pooling three times, then one dense layer.

The pooling is max pooling over blocks of 2³, written with ``amax``, because MaxPool3d has no deterministic backward
pass on CUDA.
"""

# B batch, C channel, D slice, H row, W column

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from fedlung.model.head import Head

CHANNELS = (16, 32, 64)


class SimpleCNN(nn.Module):
    """16, 32 and 64 channels of 3³, each pooled by two; the mean over what is left makes any edge of 8 or more do."""

    def __init__(self, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv3d(channels_in, channels_out, 3, padding=1)
            for channels_in, channels_out in zip((1, *CHANNELS), CHANNELS, strict=False)
        )
        self.head = Head(CHANNELS[-1], dropout=dropout)

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """(B, 1, D, H, W) in [0, 1] -> logits_B."""
        for conv in self.convolutions:
            x_BCDHW = max_pool_by_two(functional.relu(conv(x_BCDHW)))
        return self.head(x_BCDHW)


def max_pool_by_two(x_BCDHW: Tensor) -> Tensor:
    """The largest of each block of 2³; an odd last slice, row or column is dropped, as max pooling does."""
    depth, height, width = (edge // 2 for edge in x_BCDHW.shape[2:])
    even_BCDHW = x_BCDHW[:, :, : 2 * depth, : 2 * height, : 2 * width]
    return even_BCDHW.reshape(*x_BCDHW.shape[:2], depth, 2, height, 2, width, 2).amax((3, 5, 7))
