"""The focal loss against PyTorch's cross-entropy, its own formula written plainly, and finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fedlung.model.losses import focal_loss


def plain_focal_loss(logits_B: Tensor, labels_B: Tensor, gamma: float, weights: tuple[float, float]) -> Tensor:
    """Equation 5 as it stands in the paper, in float64; fails only for extreme logits."""
    p_B = logits_B.double().sigmoid()
    p_t_B = torch.where(labels_B == 1, p_B, 1 - p_B)
    weight_B = torch.where(labels_B == 1, weights[1], weights[0])
    return (-weight_B * (1 - p_t_B) ** gamma * p_t_B.log()).mean()


@pytest.fixture
def logits_B() -> Tensor:
    return (4 * torch.randn(64, generator=torch.Generator().manual_seed(1))).requires_grad_()


@pytest.fixture
def labels_B() -> Tensor:
    return (torch.rand(64, generator=torch.Generator().manual_seed(2)) < 0.3).long()


def test_gamma_zero_is_weighted_cross_entropy(logits_B: Tensor, labels_B: Tensor) -> None:
    weight_B = torch.tensor([0.4, 1.6])[labels_B]
    expected = functional.binary_cross_entropy_with_logits(logits_B, labels_B.float(), weight=weight_B)
    assert focal_loss(logits_B, labels_B, gamma=0.0, weights=(0.4, 1.6)).item() == pytest.approx(
        expected.item(), rel=1e-6
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_value_and_gradient_are_those_of_the_plain_formula(gamma: float, logits_B: Tensor, labels_B: Tensor) -> None:
    ours = focal_loss(logits_B, labels_B, gamma=gamma, weights=(0.4, 1.6))
    plain = plain_focal_loss(logits_B, labels_B, gamma, (0.4, 1.6))
    assert ours.item() == pytest.approx(plain.item(), rel=1e-5)
    gradients = [torch.autograd.grad(loss, logits_B)[0] for loss in (ours, plain)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_gradient_is_the_slope_of_the_loss(gamma: float) -> None:
    step = 1e-5
    for label in (0, 1):
        for logit in (-2.0, -0.3, 0.0, 1.7):
            logits_B, labels_B = torch.tensor([logit], requires_grad=True), torch.tensor([label])
            loss = focal_loss(logits_B, labels_B, gamma=gamma, weights=(0.7, 1.3))
            above, below = (
                plain_focal_loss(torch.tensor([logit + sign * step], dtype=torch.float64), labels_B, gamma, (0.7, 1.3))
                for sign in (1, -1)
            )
            slope = (above - below).item() / (2 * step)
            assert torch.autograd.grad(loss, logits_B)[0].item() == pytest.approx(slope, rel=1e-4, abs=1e-6)
