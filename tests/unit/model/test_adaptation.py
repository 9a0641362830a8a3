"""BatchNorm's statistics of a new site: exactly those of its images, or mixed with what the model came with."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedlung.config import ModelConfig
from fedlung.errors import ConfigError, DataError
from fedlung.model.adaptation import adapt_statistics
from fedlung.model.networks import build_model
from fedlung.model.predict import predict_logits

CPU = torch.device("cpu")


class Images:
    """Noise that is brighter and wider than what a fresh network expects; it has no label to look at."""

    def __init__(self, num: int = 11) -> None:
        self.x_NCDHW = 0.7 + 0.2 * torch.randn(num, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.x_NCDHW)

    def load(self, indices_B: np.ndarray) -> Tensor:
        return self.x_NCDHW[indices_B]


def network(norm: str = "batch") -> nn.Module:
    return build_model(ModelConfig(width=4, norm=norm), 0)


def adapted(model: nn.Module, images: Images, *, prior: float = 0.0, batch_size: int = 4) -> nn.Module:
    own = copy.deepcopy(model)
    adapt_statistics(own, images, prior_examples=prior, batch_size=batch_size, device=CPU, precision="float32")
    return own


def test_the_adapted_model_judges_as_one_batch_of_all_images_would_be_trained_on() -> None:
    model, images = network(), Images()
    expected_N = copy.deepcopy(model).train()(images.x_NCDHW).detach()
    judged = adapted(model, images)
    found_N = predict_logits(judged, images, batch_size=3, device=CPU, precision="float32")
    np.testing.assert_allclose(found_N, expected_N, rtol=1e-3, atol=1e-6)
    before_N = predict_logits(model, images, batch_size=3, device=CPU, precision="float32")
    assert np.abs(before_N - found_N).max() > 1e-3


def test_batches_of_unlike_sizes_count_by_their_examples() -> None:
    one, other = (adapted(network(), Images(), batch_size=size) for size in (11, 4))
    for (name, values), same in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(values, same, rtol=1e-4, atol=1e-5, msg=name)


def test_the_first_norm_by_hand_with_the_source_counting_as_much_as_the_images() -> None:
    model, images = network(), Images(8)
    features = model.get_submodule("stem.0")(images.x_NCDHW).detach().double()
    first = adapted(model, images, prior=8.0).get_submodule("stem.1")
    # A fresh norm has mean 0 and variance 1; 8 examples of each side are one half each.
    torch.testing.assert_close(first.running_mean.double(), 0.5 * features.mean((0, 2, 3, 4)), rtol=1e-5, atol=1e-7)
    variance_C = features.var((0, 2, 3, 4), correction=0)
    torch.testing.assert_close(first.running_var.double(), 0.5 + 0.5 * variance_C, rtol=1e-5, atol=1e-7)


def test_a_prior_without_end_leaves_the_model_as_it_came() -> None:
    model = network()
    kept = adapted(model, Images(), prior=1e12)
    for name, values in model.state_dict().items():
        torch.testing.assert_close(kept.state_dict()[name], values, rtol=0, atol=1e-6)


def test_weights_mode_and_hooks_stay_as_they_are() -> None:
    model = network().train()
    judged = adapted(model, Images())
    assert judged.training
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), judged.parameters(), strict=True))
    assert not any(module._forward_pre_hooks for module in judged.modules())


def test_a_model_without_running_statistics_is_refused_and_told_what_to_set() -> None:
    with pytest.raises(ConfigError, match=r"model\.norm 'batch'"):
        adapted(network("group"), Images())


def test_no_images_are_refused() -> None:
    with pytest.raises(DataError, match="found none"):
        adapted(network(), Images(0))
