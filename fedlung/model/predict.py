"""Logits of a set of examples."""

# N examples, B batch, C channel, D slice, H row, W column

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedlung.config import Precision
from fedlung.model.precision import autocasting, deterministic_convolutions


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
    progress: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.float64]:
    """logits_N in the order of the examples, whatever the batch size; the model moves to ``device``.

    Dropout is off and running statistics stand still; the model is left in the mode in which it came. ``progress`` is
    told (examples done, all examples).
    """
    logits_N = np.empty(len(examples), dtype=np.float64)
    model.to(device)
    with torch.inference_mode(), evaluating(model), deterministic_convolutions(), autocasting(device, precision):
        for start in range(0, len(examples), batch_size):
            indices_B = np.arange(start, min(start + batch_size, len(examples)), dtype=np.int64)
            logits_N[indices_B] = model(examples.load(indices_B).to(device)).double().cpu().numpy()
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
