"""Layers that draw random numbers while they train, and the generators that are lent to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from fedlung.model.head import Dropout
from fedlung.model.mixstyle import MixStyle


@contextmanager
def drawing_from(model: nn.Module, *, dropout: torch.Generator, mixstyle: np.random.Generator) -> Iterator[None]:
    """Inside, whatever the model draws comes from these generators; ``dropout`` is on the model's device."""
    modules = list(model.modules())
    _lend(modules, dropout, mixstyle)
    try:
        yield
    finally:
        _lend(modules, None, None)


def _lend(modules: list[nn.Module], dropout: torch.Generator | None, mixstyle: np.random.Generator | None) -> None:
    for module in modules:
        if isinstance(module, Dropout):
            module.generator = dropout
        elif isinstance(module, MixStyle):
            module.rng = mixstyle
