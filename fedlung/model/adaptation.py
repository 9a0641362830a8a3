"""BatchNorm's statistics taken anew from unlabelled images of the site where the model is used: test-time adaptation.

Li et al., "Revisiting Batch Normalization for Practical Domain Adaptation" (AdaBN, 2016), and Schneider et al.,
"Improving robustness against common corruptions by covariate shift adaptation" (NeurIPS 2020). What comes out is
another model, made with the new site's images: its scores are reported as adapted and never as the model's own.
"""

# N examples, B batch, C channel, D slice, H row, W column

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fedlung.config import Precision
from fedlung.errors import ConfigError, DataError
from fedlung.model.predict import Loadable, predict_logits


def adapt_statistics(
    model: nn.Module,
    examples: Loadable,
    *,
    prior_examples: float,
    batch_size: int,
    device: torch.device,
    precision: Precision,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Sets every running mean and variance to those of the examples, in place; weights and mode stay as they are.

    One norm after the other, each over all examples at once, with the norms before it adapted already: the result is
    independent of the batch size, and without a prior the model's logits are those that it would give in training mode
    to all examples as one batch. ``prior_examples`` is how many examples the statistics that the model comes with count
    for (N of Schneider et al., equation 2); 0 replaces them. ``progress`` is told (norms done, all norms).

    Raises ConfigError for a model without running statistics, DataError without examples.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    if not norms:
        raise _nothing_to_adapt()
    if not len(examples):
        text = "test-time adaptation: expected images of at least one patient, found none"
        raise DataError(text, public=text)
    share = len(examples) / (len(examples) + prior_examples)
    for done, norm in enumerate(norms, start=1):
        moments = _Moments()
        with norm.register_forward_pre_hook(moments.add):
            predict_logits(model, examples, batch_size=batch_size, device=device, precision=precision)
        for name, found_C in (("running_mean", moments.mean_C), ("running_var", moments.variance_C)):
            running_C = norm.get_buffer(name)
            running_C.lerp_(found_C.to(running_C), share)
        if progress is not None:
            progress(done, len(norms))


class _Moments:
    """Mean and variance by channel of all that goes into a layer, each voxel counting alike, in float64."""

    def __init__(self) -> None:
        self._count = 0
        self._sum_C: Tensor | float = 0.0
        self._squares_C: Tensor | float = 0.0

    def add(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        """A hook to be called before the layer."""
        x_BCDHW = inputs[0].double()
        self._count += x_BCDHW.numel() // x_BCDHW.shape[1]
        self._sum_C = self._sum_C + x_BCDHW.sum((0, 2, 3, 4))
        self._squares_C = self._squares_C + x_BCDHW.square().sum((0, 2, 3, 4))

    @property
    def mean_C(self) -> Tensor:
        return torch.as_tensor(self._sum_C) / self._count

    @property
    def variance_C(self) -> Tensor:
        """Of the inputs themselves, not of what they were drawn from: divided by their number."""
        return (torch.as_tensor(self._squares_C) / self._count - self.mean_C.square()).clamp_min(0.0)


def _nothing_to_adapt() -> ConfigError:
    text = (
        "test-time adaptation takes BatchNorm's running statistics anew, and this model has none. Set model.norm "
        "'batch' for a residual network, or evaluate.adapt-patients 0."
    )
    return ConfigError(text, public=text)
