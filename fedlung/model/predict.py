"""Logits of a set of examples."""

# N examples, B batch, M mirror image, C channel, D slice, H row, W column

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedlung.config import Precision
from fedlung.model.precision import autocasting, deterministic_convolutions

# The axes that are reversed: depth, row, column in every choice; the first leaves the cube as it came.
MIRRORS = [axes for num in range(4) for axes in combinations((2, 3, 4), num)]


class Loadable(Protocol):
    """Examples that can be counted and loaded by number."""

    def __len__(self) -> int: ...

    def load(self, indices_B: npt.NDArray[np.int64], /) -> Tensor:
        """x_BCDHW float32, C = 1, values in [0, 1]."""
        ...


def predict_logits(
    model: nn.Module,
    examples: Loadable,
    *,
    batch_size: int,
    device: torch.device,
    precision: Precision,
    mirrored: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.float64]:
    """logits_N in the order of the examples, whatever the batch size; the model moves to ``device``.

    ``mirrored`` gives the mean over the eight mirror images of each example, for eight times the work: training shows
    all of them under one label, and few examples teach a network only roughly that they are the same. Dropout is off
    and running statistics stand still; the model is left in the mode in which it came. ``progress`` is told (examples
    done, all examples).
    """
    mirrors = MIRRORS if mirrored else MIRRORS[:1]
    logits_N = np.empty(len(examples), dtype=np.float64)
    model.to(device)
    with torch.inference_mode(), evaluating(model), deterministic_convolutions(), autocasting(device, precision):
        for start in range(0, len(examples), batch_size):
            indices_B = np.arange(start, min(start + batch_size, len(examples)), dtype=np.int64)
            x_BCDHW = examples.load(indices_B).to(device)
            logits_MB = torch.stack([model(x_BCDHW.flip(axes)) for axes in mirrors])
            logits_N[indices_B] = logits_MB.double().mean(dim=0).cpu().numpy()
            if progress is not None:
                progress(start + len(indices_B), len(examples))
    return logits_N


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; put back into its own on leaving."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
