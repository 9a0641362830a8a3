"""A seed gives a network, bit for bit, and nothing else in the process notices."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fedlung.config import ModelConfig
from fedlung.model.networks import build_model
from fedlung.model.simple_cnn import max_pool_by_two

NAMES = ["resnet10", "resnet18", "resnet34", "resnet50", "simple-cnn"]


def states_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_state_bit_for_bit(name: str) -> None:
    cfg = ModelConfig(name=name, width=4, norm="batch")
    assert states_equal(build_model(cfg, 3).state_dict(), build_model(cfg, 3).state_dict())
    assert not states_equal(build_model(cfg, 3).state_dict(), build_model(cfg, 4).state_dict())


def test_building_moves_no_global_generator() -> None:
    before = torch.get_rng_state()
    build_model(ModelConfig(width=4), 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_gives_one_finite_float32_logit_an_example(name: str) -> None:
    logits_B = build_model(ModelConfig(name=name, width=4, norm="batch"), 0)(torch.rand(3, 1, 16, 18, 20))
    assert logits_B.shape == (3,)
    assert logits_B.dtype == torch.float32
    assert torch.isfinite(logits_B).all()


def test_a_fresh_network_takes_no_side() -> None:
    model = build_model(ModelConfig(width=8), 0)
    assert model(torch.rand(4, 1, 16, 16, 16)).sigmoid().tolist() == pytest.approx([0.5] * 4, abs=0.05)
    assert model.get_parameter("head.dense.bias").item() == 0.0


def test_convolutions_start_with_the_variance_of_he() -> None:
    weight = build_model(ModelConfig(width=64), 0).get_parameter("stages.3.0.conv2.weight")
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (27 * 512)), rel=0.01)


def test_the_simple_cnn_has_the_parameters_worked_by_hand() -> None:
    expected = (27 * 16 + 16) + (27 * 16 * 32 + 32) + (27 * 32 * 64 + 64) + (64 + 1)
    assert sum(p.numel() for p in build_model(ModelConfig(name="simple-cnn"), 0).parameters()) == expected


def test_pooling_by_two_is_max_pooling_with_its_gradient() -> None:
    x_BCDHW = torch.randn(2, 3, 7, 8, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ours, theirs = max_pool_by_two(x_BCDHW), functional.max_pool3d(x_BCDHW, 2)
    assert torch.equal(ours, theirs)
    assert torch.equal(*(torch.autograd.grad(pooled.square().sum(), x_BCDHW)[0] for pooled in (ours, theirs)))


def test_logits_stay_float32_under_bfloat16_autocast() -> None:
    model = build_model(ModelConfig(width=4), 0)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(torch.rand(2, 1, 16, 16, 16)).dtype == torch.float32
