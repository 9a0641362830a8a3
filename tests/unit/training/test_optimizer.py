"""The parts of a step by themselves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fedlung.config import OptimizerConfig
from fedlung.training.optimizer import ProximalTerm, clip_gradient, make_optimizer

CPU = torch.device("cpu")


def test_the_proximal_gradient_is_mu_times_the_way_gone() -> None:
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, 2.0)
    term = ProximalTerm(model, 0.5)
    nn.init.constant_(model.weight, 5.0)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    term.add_gradient()
    assert model.weight.grad is not None and model.bias.grad is not None
    assert model.weight.grad.item() == pytest.approx(1.0 + 0.5 * (5.0 - 2.0))
    assert model.bias.grad.item() == 1.0


def test_the_proximal_gradient_is_the_slope_of_half_mu_times_the_squared_norm() -> None:
    model = nn.Linear(3, 2)
    term = ProximalTerm(model, 0.3)
    start = [parameter.detach().clone() for parameter in model.parameters()]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.7)
            parameter.grad = torch.zeros_like(parameter)
    term.add_gradient()
    pairs = zip(model.parameters(), start, strict=True)
    penalty = sum(0.3 / 2 * (weight - old).square().sum() for weight, old in pairs)
    assert isinstance(penalty, torch.Tensor)
    for parameter, expected in zip(
        model.parameters(), torch.autograd.grad(penalty, list(model.parameters())), strict=True
    ):
        torch.testing.assert_close(parameter.grad, expected)


def test_weights_decay_and_biases_and_norms_do_not() -> None:
    model = nn.Sequential(nn.Conv3d(1, 2, 1), nn.GroupNorm(1, 2))
    for parameter in model.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    make_optimizer(model, OptimizerConfig(weight_decay=0.1), learning_rate=0.5, device=CPU).step()
    assert model[0].weight.flatten().tolist() == pytest.approx([0.95, 0.95])
    assert all(p.tolist() == [1.0, 1.0] for p in (model[0].bias, model[1].weight, model[1].bias))


def test_clipping_scales_all_gradients_together_and_zero_leaves_them() -> None:
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    for clip_norm, expected in ((0.0, (3.0, 4.0)), (10.0, (3.0, 4.0)), (1.0, (0.6, 0.8))):
        for parameter, gradient in zip(parameters, (3.0, 4.0), strict=True):
            parameter.grad = torch.tensor([gradient])
        clip_gradient(parameters, clip_norm)
        assert [p.grad.item() for p in parameters if p.grad is not None] == pytest.approx(expected, rel=1e-5)
