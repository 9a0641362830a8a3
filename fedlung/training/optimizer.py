"""One step of local optimisation: the optimiser, the pull towards the global model, the clipping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from fedlung.config import OptimizerConfig

FUSED_ON = {"cpu", "cuda"}


def make_optimizer(
    model: nn.Module, cfg: OptimizerConfig, *, learning_rate: float, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) or SGD with momentum, fused where the device has it.

    Weight decay is for the weights of convolutions and of the dense layer: shrinking a bias or the scale of a
    normalisation regularises nothing.
    """
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": cfg.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = device.type in FUSED_ON
    if cfg.name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=cfg.momentum, fused=fused)
    return torch.optim.AdamW(groups, lr=learning_rate, fused=fused)


class ProximalTerm:
    """FedProx's ``mu / 2 · ||w - w_global||²`` (Li et al. 2020, equation 2), as the gradient ``mu (w - w_global)``.

    The global weights are those of the model when the term is made; with ``mu`` 0 it keeps nothing and does nothing.
    """

    def __init__(self, model: nn.Module, mu: float) -> None:
        self.mu = mu
        self.weights = list(model.parameters()) if mu else []
        self.global_weights = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Adds the term's gradient to that of each weight."""
        for weight, global_weight in zip(self.weights, self.global_weights, strict=True):
            if weight.grad is not None:
                weight.grad.add_(weight - global_weight, alpha=self.mu)


class Correction:
    """A constant that is added to the gradient in every step: c - c_i of SCAFFOLD (Karimireddy et al. 2020, eq. 3).

    ``by_name`` has a tensor for some or all of the parameters. Raises ValueError where it is not the model's.
    """

    def __init__(self, model: nn.Module, by_name: Mapping[str, Tensor], device: torch.device) -> None:
        parameters = dict(model.named_parameters())
        if wrong := [n for n, value in by_name.items() if n not in parameters or value.shape != parameters[n].shape]:
            raise ValueError(f"{len(wrong)} tensors of the correction are not the model's parameters")
        self._pairs = [(parameters[name], value.to(device)) for name, value in by_name.items()]

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Adds it to the gradient of each weight."""
        for weight, value in self._pairs:
            if weight.grad is not None:
                weight.grad.add_(value)


def clip_gradient(parameters: Iterable[Tensor], clip_norm: float) -> None:
    """Scales all gradients together to a norm of at most ``clip_norm``; 0 leaves them as they are."""
    if clip_norm:
        nn.utils.clip_grad_norm_(parameters, clip_norm)
