"""Residual networks for volumes: 10, 18, 34 (basic blocks) and 50 (bottlenecks) layers, one logit.

Provenance. Written from the papers:
    He et al., "Deep Residual Learning for Image Recognition", CVPR 2016: blocks, depths, projection shortcuts (option
        B); the stride of a bottleneck is on its 3³ convolution, as is usual since.
    Hara et al., "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?", CVPR 2018: every 3² becomes
        a 3³.
    Wu & He, "Group Normalization", ECCV 2018: normalisation that needs no batch and keeps no running statistics, so
        that sites of unlike scanners and batches of few patches neither mix nor drift.
Three things differ from the papers. The stem is a setting, because 7³/2 followed by a pool leaves 8³ of a patch of 32³,
where a nodule of 5 mm is a single voxel. Nothing is max-pooled, because MaxPool3d has no deterministic backward pass on
CUDA: with the "quarter" stem the first stage strides where the papers pool. The sum with the shortcut is not in place,
because hooks that take gradients per example cannot bear that.
"""

# B batch, C channel, D slice, H row, W column

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedlung.config import Norm, Stem
from fedlung.model.head import Head
from fedlung.model.mixstyle import MixStyle

STEM_KERNEL: dict[Stem, int] = {"full": 3, "half": 3, "quarter": 7}
STEM_STRIDE: dict[Stem, int] = {"full": 1, "half": 2, "quarter": 2}
MAX_GROUPS = 8
MIXED_STAGES = 2  # the first ones, after which styles are mixed


def normalization(channels: int, norm: Norm) -> nn.Module:
    """The normalisation of ``channels``; the groups are the most, up to 8, that divide them."""
    if norm == "batch":
        return nn.BatchNorm3d(channels)
    return nn.GroupNorm(max(g for g in range(1, MAX_GROUPS + 1) if channels % g == 0), channels)


def convolution(channels_in: int, channels_out: int, kernel: int, *, stride: int = 1) -> nn.Conv3d:
    """A convolution without bias (a normalisation follows) that keeps the size, but for its stride."""
    return nn.Conv3d(channels_in, channels_out, kernel, stride=stride, padding=kernel // 2, bias=False)


class Residual(nn.Module):
    """What both blocks share: ``relu(branch(x) + shortcut(x))``."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int, norm: Norm) -> None:
        super().__init__()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                convolution(channels_in, channels_out, 1, stride=stride), normalization(channels_out, norm)
            )

    def branch(self, x_BCDHW: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        return functional.relu(self.branch(x_BCDHW) + self.shortcut(x_BCDHW))


class BasicBlock(Residual):
    """Two 3³ convolutions."""

    expansion = 1

    def __init__(self, channels_in: int, channels: int, *, stride: int, norm: Norm) -> None:
        super().__init__(channels_in, channels, stride=stride, norm=norm)
        self.conv1 = convolution(channels_in, channels, 3, stride=stride)
        self.norm1 = normalization(channels, norm)
        self.conv2 = convolution(channels, channels, 3)
        self.norm2 = normalization(channels, norm)

    def branch(self, x_BCDHW: Tensor) -> Tensor:
        out_BCDHW = functional.relu(self.norm1(self.conv1(x_BCDHW)))
        return self.norm2(self.conv2(out_BCDHW))


class Bottleneck(Residual):
    """1³ down, 3³, 1³ up to four times the channels."""

    expansion = 4

    def __init__(self, channels_in: int, channels: int, *, stride: int, norm: Norm) -> None:
        channels_out = channels * self.expansion
        super().__init__(channels_in, channels_out, stride=stride, norm=norm)
        self.conv1 = convolution(channels_in, channels, 1)
        self.norm1 = normalization(channels, norm)
        self.conv2 = convolution(channels, channels, 3, stride=stride)
        self.norm2 = normalization(channels, norm)
        self.conv3 = convolution(channels, channels_out, 1)
        self.norm3 = normalization(channels_out, norm)

    def branch(self, x_BCDHW: Tensor) -> Tensor:
        out_BCDHW = functional.relu(self.norm1(self.conv1(x_BCDHW)))
        out_BCDHW = functional.relu(self.norm2(self.conv2(out_BCDHW)))
        return self.norm3(self.conv3(out_BCDHW))


Block = type[BasicBlock] | type[Bottleneck]

LAYOUTS: dict[str, tuple[Block, tuple[int, int, int, int]]] = {
    "resnet10": (BasicBlock, (1, 1, 1, 1)),
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}


class ResNet3D(nn.Module):
    """Stem, four stages of residual blocks (channels double, size halves), global mean, dropout, one logit.

    name     a key of ``LAYOUTS``
    width    channels of the stem and of the first stage's convolutions (64 in the papers)
    stem     "full" 3³ stride 1; "half" 3³ stride 2; "quarter" 7³ stride 2 and a first stage of stride 2
    mixstyle mixes the styles of a training batch after the first and the second stage, as the paper does; None: never
    """

    def __init__(
        self,
        name: str,
        *,
        width: int,
        stem: Stem,
        norm: Norm,
        dropout: float = 0.0,
        mixstyle: MixStyle | None = None,
    ) -> None:
        super().__init__()
        block, depths = LAYOUTS[name]
        self.stem = nn.Sequential(
            convolution(1, width, STEM_KERNEL[stem], stride=STEM_STRIDE[stem]), normalization(width, norm), nn.ReLU()
        )
        self.stages = nn.Sequential()
        channels_in = width
        for stage, depth in enumerate(depths):
            channels = width * 2**stage
            first_stride = 2 if stage or stem == "quarter" else 1
            self.stages.append(_stage(block, channels_in, channels, depth, first_stride=first_stride, norm=norm))
            channels_in = channels * block.expansion
        self.mixstyle = mixstyle or nn.Identity()
        self.head = Head(channels_in, dropout=dropout)

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """(B, 1, D, H, W) in [0, 1] -> logits_B."""
        # Channels last from here on: up to 1.8 times as fast on one CPU thread, and never slower. Only the features are
        # laid out so; the weights stay contiguous, as files and messages want them.
        features_BCDHW = self.stem(x_BCDHW).contiguous(memory_format=torch.channels_last_3d)
        for number, stage in enumerate(self.stages):
            features_BCDHW = stage(features_BCDHW)
            if number < MIXED_STAGES:
                features_BCDHW = self.mixstyle(features_BCDHW)
        return self.head(features_BCDHW)


def _stage(
    block: Block, channels_in: int, channels: int, depth: int, *, first_stride: int, norm: Norm
) -> nn.Sequential:
    first = block(channels_in, channels, stride=first_stride, norm=norm)
    rest = (block(channels * block.expansion, channels, stride=1, norm=norm) for _ in range(depth - 1))
    return nn.Sequential(first, *rest)
