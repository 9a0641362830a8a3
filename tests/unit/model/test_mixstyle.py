"""MixStyle by hand, and that it is nothing but a training-time change of statistics."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from fedlung.config import ModelConfig, RunConfig
from fedlung.errors import ConfigError
from fedlung.model.drawing import drawing_from
from fedlung.model.mixstyle import MixStyle, mixed
from fedlung.model.networks import build_model


def two_examples() -> torch.Tensor:
    """(2, 1, 1, 1, 2): means 1 and 20, deviations 1 and 10."""
    return torch.tensor([[0.0, 2.0], [10.0, 30.0]]).view(2, 1, 1, 1, 2)


def in_training(probability: float, seed: int = 0) -> MixStyle:
    layer = MixStyle(probability, 0.1).train()
    layer.rng = np.random.default_rng(seed)
    return layer


def test_two_examples_by_hand() -> None:
    out = mixed(two_examples(), torch.tensor([0.25, 0.6]), torch.tensor([1, 0]))
    # First: mean 0.25·1 + 0.75·20 = 15.25 and deviation 0.25·1 + 0.75·10 = 7.75; second: 0.6·20 + 0.4·1 and 6.4.
    expected = [15.25 - 7.75, 15.25 + 7.75, 12.4 - 6.4, 12.4 + 6.4]
    assert out.flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_an_example_that_is_its_own_partner_stays_as_it_is() -> None:
    out = mixed(two_examples(), torch.tensor([0.3, 0.9]), torch.tensor([0, 1]))
    torch.testing.assert_close(out, two_examples())


def test_no_gradient_goes_through_the_style() -> None:
    x_BCDHW = two_examples().requires_grad_()
    out = mixed(x_BCDHW, torch.tensor([0.25, 0.6]), torch.tensor([1, 0]))
    (gradient,) = torch.autograd.grad(out.sum(), x_BCDHW)
    # With the style constant it is sigma_mix / sigma at every voxel; through mu and sigma it would be 0 at the first.
    assert gradient.flatten().tolist() == pytest.approx([7.75, 7.75, 0.64, 0.64], rel=1e-5)


def test_features_keep_their_type_and_layout() -> None:
    x_BCDHW = torch.rand(4, 8, 6, 6, 6).contiguous(memory_format=torch.channels_last_3d)
    draws = torch.full((4,), 0.5), torch.tensor([3, 2, 1, 0])
    assert mixed(x_BCDHW, *draws).is_contiguous(memory_format=torch.channels_last_3d)
    assert mixed(x_BCDHW.bfloat16(), *draws).dtype == torch.bfloat16


def test_it_mixes_as_often_as_it_should_and_never_in_evaluation() -> None:
    x_BCDHW = torch.rand(4, 2, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    layer = in_training(0.3)
    share = np.mean([layer(x_BCDHW) is not x_BCDHW for _ in range(2000)])
    assert share == pytest.approx(0.3, abs=0.03)
    assert in_training(1.0).eval()(x_BCDHW) is x_BCDHW


def test_the_same_generator_mixes_alike_and_no_global_one_is_touched() -> None:
    x_BCDHW = torch.rand(8, 2, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, same, other = (in_training(1.0, seed)(x_BCDHW) for seed in (5, 5, 6))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)


def test_training_without_a_generator_is_refused() -> None:
    with pytest.raises(RuntimeError, match="drawing_from"):
        MixStyle(1.0, 0.1).train()(two_examples())


def test_a_network_with_it_has_the_same_state_and_judges_alike() -> None:
    plain, styled = (build_model(ModelConfig(width=4, mixstyle_probability=p), 0) for p in (0.0, 1.0))
    assert styled.state_dict().keys() == plain.state_dict().keys()
    x_BCDHW = torch.rand(3, 1, 16, 16, 16)
    assert torch.equal(styled.eval()(x_BCDHW), plain.eval()(x_BCDHW))


def test_a_network_mixes_while_it_trains_and_gives_the_generator_back() -> None:
    styled = build_model(ModelConfig(width=4, mixstyle_probability=1.0), 0).train()
    plain = copy.deepcopy(styled)
    plain.get_submodule("mixstyle").probability = 0.0
    x_BCDHW = torch.rand(6, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    with drawing_from(styled, dropout=torch.Generator(), mixstyle=np.random.default_rng(0)):
        assert not torch.equal(styled(x_BCDHW), plain(x_BCDHW))
    assert styled.get_submodule("mixstyle").rng is None


def test_the_plain_network_cannot_have_it() -> None:
    with pytest.raises(ConfigError, match="mixstyle-probability is for residual networks"):
        RunConfig.from_run_config({"model.name": "simple-cnn", "model.mixstyle-probability": 0.5})
