"""Predictions do not depend on how they are made."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedlung.config import ModelConfig
from fedlung.model.networks import build_model
from fedlung.model.precision import uses_bfloat16
from fedlung.model.predict import predict_logits

CPU = torch.device("cpu")


class Cubes:
    """Seven fixed random cubes."""

    def __init__(self, num: int = 7) -> None:
        self.x_NCDHW = torch.rand(num, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.x_NCDHW)

    def load(self, indices_B: np.ndarray) -> Tensor:
        return self.x_NCDHW[torch.from_numpy(indices_B)]


def trained_looking(norm: str = "group", dropout: float = 0.0) -> nn.Module:
    """A network whose blocks are no longer the identity."""
    model = build_model(ModelConfig(width=4, norm=norm, dropout=dropout), 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_logits_do_not_depend_on_the_batch_size(norm: str) -> None:
    model, cubes = trained_looking(norm), Cubes()
    together, single, uneven = (
        predict_logits(model, cubes, batch_size=size, device=CPU, precision="auto") for size in (7, 1, 3)
    )
    assert together.dtype == np.float64
    assert np.ptp(together) > 0.1
    np.testing.assert_allclose(single, together, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(uneven, together, rtol=1e-5, atol=1e-5)


def test_logits_are_in_the_order_of_the_examples() -> None:
    model, cubes = trained_looking(), Cubes()
    logits_N = predict_logits(model, cubes, batch_size=2, device=CPU, precision="float32")
    expected_N = [model.eval()(cube_CDHW[None]).item() for cube_CDHW in cubes.x_NCDHW]
    np.testing.assert_allclose(logits_N, expected_N, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_comes_back_in_its_mode_and_unchanged(training: bool) -> None:
    model = trained_looking("batch", dropout=0.5).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first, second = (predict_logits(model, Cubes(), batch_size=4, device=CPU, precision="auto") for _ in range(2))
    assert model.training is training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    np.testing.assert_array_equal(first, second)


class Mirrored(Cubes):
    """The same cubes, reversed along some of D, H and W."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.x_NCDHW = self.x_NCDHW.flip(axes)


def test_a_mirrored_logit_is_the_mean_over_all_eight_mirror_images() -> None:
    model, images = trained_looking(), [(), (2,), (3,), (4,), (2, 3), (2, 4), (3, 4), (2, 3, 4)]
    each_MN = [predict_logits(model, Mirrored(*axes), batch_size=4, device=CPU, precision="float32") for axes in images]
    assert np.ptp(each_MN, axis=0).min() > 1e-3
    mirrored_N = predict_logits(model, Cubes(), batch_size=4, device=CPU, precision="float32", mirrored=True)
    np.testing.assert_allclose(mirrored_N, np.mean(each_MN, axis=0), atol=1e-6)


@pytest.mark.parametrize("axes", [(2,), (3, 4), (2, 3, 4)])
def test_a_cube_and_its_mirror_image_have_one_mirrored_logit(axes: tuple[int, ...]) -> None:
    model = trained_looking()
    here_N, there_N = (
        predict_logits(model, cubes, batch_size=4, device=CPU, precision="float32", mirrored=True)
        for cubes in (Cubes(), Mirrored(*axes))
    )
    np.testing.assert_allclose(there_N, here_N, atol=1e-6)


def test_no_examples_give_no_logits() -> None:
    assert predict_logits(trained_looking(), Cubes(0), batch_size=4, device=CPU, precision="auto").shape == (0,)


def test_bfloat16_on_the_cpu_agrees_to_its_own_precision() -> None:
    model, cubes = trained_looking(), Cubes()
    exact, coarse = (
        predict_logits(model, cubes, batch_size=7, device=CPU, precision=precision)
        for precision in ("float32", "bfloat16")
    )
    assert not np.array_equal(exact, coarse)
    np.testing.assert_allclose(coarse, exact, atol=0.05 * np.abs(exact).max())


def test_float32_is_float32_inside_and_the_process_keeps_its_own_setting() -> None:
    seen: list[tuple[str, bool]] = []
    model, before = trained_looking(), torch.get_float32_matmul_precision()
    settings = lambda *_: seen.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))  # noqa: E731
    model.register_forward_pre_hook(settings)
    torch.set_float32_matmul_precision("high")
    try:
        predict_logits(model, Cubes(), batch_size=7, device=CPU, precision="float32")
        assert seen == [("highest", False)]
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    ("device", "capability", "precision", "expected"),
    [
        ("cpu", None, "auto", False),
        ("cuda", (9, 0), "auto", True),
        ("cuda:1", (8, 0), "auto", True),
        ("cuda", (7, 5), "auto", False),
        ("cpu", None, "bfloat16", True),
        ("cuda", (7, 5), "bfloat16", True),
        ("cuda", (9, 0), "float32", False),
    ],
)
def test_auto_means_bfloat16_on_gpus_that_have_it_only(
    device: str, capability: tuple[int, int] | None, precision: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", {torch.device(device): capability}.get)
    assert uses_bfloat16(torch.device(device), precision) is expected


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.05)])
def test_cuda_gives_the_cpus_logits(precision: str, tolerance: float) -> None:
    on_cpu_N = predict_logits(trained_looking(), Cubes(), batch_size=3, device=CPU, precision="float32")
    cuda = torch.device("cuda")
    first_N, second_N = (
        predict_logits(trained_looking(), Cubes(), batch_size=3, device=cuda, precision=precision) for _ in range(2)
    )
    np.testing.assert_array_equal(first_N, second_N)
    np.testing.assert_allclose(first_N, on_cpu_N, rtol=0, atol=tolerance * np.abs(on_cpu_N).max())
