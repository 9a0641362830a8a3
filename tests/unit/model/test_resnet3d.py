"""The residual networks: sizes worked by hand, and what a fresh one is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fedlung.config import ModelConfig
from fedlung.model.networks import build_model
from fedlung.model.resnet3d import BasicBlock, Block, Bottleneck, ResNet3D, normalization


def num_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def basic_stage(channels_in: int, channels: int, depth: int, *, projected: bool) -> int:
    """Parameters of a stage of basic blocks: 3³ convolutions, scale and shift of each norm, one projection."""
    convolutions = 27 * channels * (channels_in + (2 * depth - 1) * channels)
    norms = 2 * channels * (2 * depth + projected)
    return convolutions + norms + projected * channels_in * channels


@pytest.mark.parametrize(
    ("name", "depths", "millions"),
    [("resnet10", (1, 1, 1, 1), 14.4), ("resnet18", (2, 2, 2, 2), 33.2), ("resnet34", (3, 4, 6, 3), 63.5)],
)
def test_basic_networks_of_width_64_have_the_parameters_worked_by_hand(
    name: str, depths: tuple[int, ...], millions: float
) -> None:
    model = build_model(ModelConfig(name=name, width=64, stem="quarter"), 0)
    stem, head = 7**3 * 64 + 2 * 64, 512 + 1
    channels = (64, 64, 128, 256, 512)
    stages = sum(basic_stage(channels[i], channels[i + 1], depths[i], projected=True) for i in range(4))
    assert num_parameters(model) == stem + stages + head
    assert round(num_parameters(model) / 1e6, 1) == millions


def test_resnet18_of_width_64_has_33_164_737_parameters() -> None:
    assert num_parameters(build_model(ModelConfig(name="resnet18", width=64, stem="quarter"), 0)) == 33_164_737


def test_the_half_stem_needs_no_projection_in_the_first_stage() -> None:
    model = build_model(ModelConfig(name="resnet18", width=64, stem="half"), 0)
    assert num_parameters(model) == 33_164_737 - (7**3 - 3**3) * 64 - (64 * 64 + 2 * 64)


def test_resnet50_has_the_parameters_worked_by_hand() -> None:
    def bottleneck(channels_in: int, channels: int, *, projected: bool) -> int:
        out = 4 * channels
        convolutions = (
            channels_in * channels + 27 * channels * channels + channels * out + projected * channels_in * out
        )
        return convolutions + 2 * (channels + channels + out + projected * out)

    total = 27 * 8 + 2 * 8 + 4 * 64 + 1
    channels_in = 8
    for channels, depth in zip((8, 16, 32, 64), (3, 4, 6, 3), strict=True):
        total += bottleneck(channels_in, channels, projected=True)
        total += (depth - 1) * bottleneck(4 * channels, channels, projected=False)
        channels_in = 4 * channels
    assert num_parameters(build_model(ModelConfig(name="resnet50", width=8), 0)) == total


@pytest.mark.parametrize(
    ("stem", "edges"), [("full", (32, 16, 8, 4)), ("half", (16, 8, 4, 2)), ("quarter", (8, 4, 2, 1))]
)
def test_the_stem_sets_the_resolution_of_the_stages(stem: str, edges: tuple[int, ...]) -> None:
    model = build_model(ModelConfig(width=4, stem=stem), 0)
    assert isinstance(model, ResNet3D)
    x_BCDHW, found = model.stem(torch.zeros(1, 1, 32, 32, 32)), []
    for stage in model.stages:
        x_BCDHW = stage(x_BCDHW)
        found.append(x_BCDHW.shape[-1])
    assert tuple(found) == edges


@pytest.mark.parametrize(("block", "last_norm"), [(BasicBlock, "norm2"), (Bottleneck, "norm3")])
def test_a_block_whose_branch_is_shut_only_rectifies(block: Block, last_norm: str) -> None:
    channels = 4 * block.expansion
    shut = block(channels, 4, stride=1, norm="group")
    nn.init.zeros_(shut.get_parameter(f"{last_norm}.weight"))
    x_BCDHW = torch.linspace(-1, 1, channels * 8).reshape(1, channels, 2, 2, 2)
    assert torch.equal(shut(x_BCDHW), x_BCDHW.clamp(min=0))


@pytest.mark.parametrize(("channels", "groups"), [(4, 4), (8, 8), (12, 6), (13, 1), (16, 8), (22, 2), (64, 8)])
def test_groups_are_the_most_up_to_8_that_divide_the_channels(channels: int, groups: int) -> None:
    assert normalization(channels, "group").num_groups == groups


def test_batch_norm_is_used_on_request_alone() -> None:
    def norms(kind: str) -> set[type]:
        kinds = (nn.BatchNorm3d, nn.GroupNorm)
        model = build_model(ModelConfig(width=4, norm=kind), 0)
        return {type(module) for module in model.modules() if isinstance(module, kinds)}

    assert norms("group") == {nn.GroupNorm}
    assert norms("batch") == {nn.BatchNorm3d}


def test_group_norm_leaves_no_buffers_to_average() -> None:
    assert not list(build_model(ModelConfig(), 0).buffers())


def test_training_leaves_the_weights_contiguous() -> None:
    model = build_model(ModelConfig(width=4), 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.rand(2, 1, 16, 16, 16)).sum().backward()
    optimizer.step()
    assert all(parameter.is_contiguous() for parameter in model.parameters())
