"""From the configuration and a seed to a network with weights.

Every weight comes from one generator derived from the seed, so the same seed gives the same state, bit for bit, and
building a network moves no global generator.
"""

from __future__ import annotations

import torch
from torch import nn

from fedlung.config import ModelConfig
from fedlung.model.mixstyle import MixStyle
from fedlung.model.resnet3d import ResNet3D
from fedlung.model.simple_cnn import SimpleCNN
from fedlung.seeding import derive_torch

HEAD_SD = 0.01


def build_model(cfg: ModelConfig, seed: int) -> nn.Module:
    """A float32 network on the CPU whose forward is x_BCDHW (C = 1, values in [0, 1]) -> logits_B.

    A fresh one gives a probability of about one half to everything. ``width``, ``stem`` and ``norm`` are the residual
    network's; "simple-cnn" is the fixed baseline and has none of them.
    """
    with torch.device("meta"):
        model = _architecture(cfg)
    model.to_empty(device="cpu")
    _initialize(model, derive_torch(seed, "model", cfg.name))
    return model


def parameter_names(cfg: ModelConfig) -> frozenset[str]:
    """The tensors of the state that are trained; the others are buffers, such as BatchNorm's running statistics."""
    with torch.device("meta"):
        return frozenset(name for name, _ in _architecture(cfg).named_parameters())


def norm_names(cfg: ModelConfig) -> frozenset[str]:
    """The tensors of the state that belong to BatchNorm: weights, biases, statistics, counters."""
    with torch.device("meta"):
        norms = [(f"{path}.", m) for path, m in _architecture(cfg).named_modules() if isinstance(m, nn.BatchNorm3d)]
    return frozenset(prefix + name for prefix, norm in norms for name in norm.state_dict())


def _architecture(cfg: ModelConfig) -> ResNet3D | SimpleCNN:
    if cfg.name == "simple-cnn":
        return SimpleCNN(dropout=cfg.dropout)
    mixstyle = MixStyle(cfg.mixstyle_probability, cfg.mixstyle_alpha)
    return ResNet3D(cfg.name, width=cfg.width, stem=cfg.stem, norm=cfg.norm, dropout=cfg.dropout, mixstyle=mixstyle)


def _initialize(model: nn.Module, generator: torch.Generator) -> None:
    """He et al. 2015 for convolutions, one and zero for norms, a near-zero head.

    The head's bias is zero and not the log odds of few positives (Lin et al. 2017, section 4.1): the class weights make
    up for those already.

    The last norm of a block starts at one, not at zero as in Goyal et al. 2017: under AdamW a scale grows by about the
    learning rate a step, and the few steps of a short federation end before branches that start shut have opened.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.GroupNorm | nn.BatchNorm3d):
            module.reset_parameters()
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=HEAD_SD, generator=generator)
            nn.init.zeros_(module.bias)
