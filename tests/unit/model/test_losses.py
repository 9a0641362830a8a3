"""Class weights and focal loss by hand."""

from __future__ import annotations

import math

import pytest
import torch

from fedlung.config import LossConfig
from fedlung.errors import DataError
from fedlung.model.losses import class_weights, focal_loss


def test_the_focal_loss_of_two_examples_is_the_one_worked_by_hand() -> None:
    # p = .5 and .8 for the positive class; the second example is negative, so p_t = .2.
    logits_B, labels_B = torch.tensor([0.0, math.log(4.0)]), torch.tensor([1, 0])
    loss = focal_loss(logits_B, labels_B, gamma=2.0, weights=(1.5, 0.5))
    assert loss.item() == pytest.approx((0.5 * 0.25 * math.log(2) + 1.5 * 0.64 * math.log(5)) / 2)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_loss_and_gradient_are_finite_for_logits_of_any_size(gamma: float) -> None:
    logits_B = torch.tensor([-1e30, -1e4, -90.0, 0.0, 90.0, 1e4, 1e30]).repeat(2).requires_grad_()
    labels_B = torch.arange(2).repeat_interleave(7)
    loss = focal_loss(logits_B, labels_B, gamma=gamma, weights=(1.0, 1.0))
    (gradient_B,) = torch.autograd.grad(loss, logits_B)
    assert math.isfinite(loss.item())
    assert torch.isfinite(gradient_B).all()


def test_bfloat16_logits_give_a_float32_loss() -> None:
    loss = focal_loss(torch.zeros(2, dtype=torch.bfloat16), torch.tensor([0, 1]), gamma=2.0, weights=(1.0, 1.0))
    assert loss.dtype == torch.float32


def test_the_effective_number_gives_the_weights_worked_by_hand() -> None:
    # beta = .5: E_1 = 1, E_2 = 1.5, so the weights stand as 1 to 2/3 and sum to 2.
    assert class_weights(2, 1, LossConfig(beta=0.5)) == pytest.approx((0.8, 1.2))


def test_the_effective_number_reproduces_the_weights_of_lidc_scans() -> None:
    # 135 scans without and 883 with a nodule, beta = .9999.
    assert class_weights(135, 883, LossConfig(beta=0.9999)) == pytest.approx((1.73, 0.27), abs=0.005)


def test_inverse_weights_stand_as_the_other_class_count() -> None:
    assert class_weights(30, 10, LossConfig(alpha="inverse")) == pytest.approx((0.5, 1.5))


def test_no_weighting_is_one_and_one_and_so_is_a_beta_of_zero() -> None:
    assert class_weights(30, 10, LossConfig(alpha="none")) == (1.0, 1.0)
    assert class_weights(30, 10, LossConfig(beta=0.0)) == (1.0, 1.0)


@pytest.mark.parametrize("alpha", ["effective-number", "inverse", "none"])
@pytest.mark.parametrize(("counts", "kind"), [((0, 5), "negative"), ((5, 0), "positive")])
def test_a_class_that_no_site_has_is_refused_by_its_kind(alpha: str, counts: tuple[int, int], kind: str) -> None:
    with pytest.raises(DataError, match=f"no {kind} one"):
        class_weights(*counts, LossConfig(alpha=alpha))
