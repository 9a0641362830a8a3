from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fedlung.config import AugmentConfig
from fedlung.patches.augment import Augmentation, apply, draw

NEVER = {
    f"{name}_probability": 0.0 for name in ("rotation", "scale", "shift", "noise", "brightness", "contrast", "elastic")
}
ALWAYS = dict.fromkeys(NEVER, 1.0)


def drawn(batch_size: int, edge: int = 16, seed: int = 0, **knobs: float) -> Augmentation:
    return draw(batch_size, edge, AugmentConfig(**knobs), np.random.default_rng(seed))


@pytest.fixture
def x_BCDHW() -> torch.Tensor:
    return torch.rand(6, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("knobs", [{"enabled": False}, {**NEVER, "flip": False}])
def test_nothing_drawn_changes_nothing(x_BCDHW: torch.Tensor, knobs: dict[str, float]) -> None:
    assert torch.equal(apply(x_BCDHW, drawn(6, **knobs)), x_BCDHW)


def test_the_batch_that_comes_in_stays_as_it_is(x_BCDHW: torch.Tensor) -> None:
    before = x_BCDHW.clone()
    apply(x_BCDHW, drawn(6, **ALWAYS))
    assert torch.equal(x_BCDHW, before)


def test_a_recorded_augmentation_replays_to_the_last_bit(x_BCDHW: torch.Tensor) -> None:
    augmentation = drawn(6, **ALWAYS)
    again = Augmentation.from_json(augmentation.to_json())
    assert torch.equal(apply(x_BCDHW, augmentation), apply(x_BCDHW, again))


def test_a_sample_does_not_depend_on_its_neighbours(x_BCDHW: torch.Tensor) -> None:
    augmentation = drawn(6)
    whole = apply(x_BCDHW, augmentation)
    for index in range(6):
        alone = apply(x_BCDHW[[index]], augmentation.take([index]))
        torch.testing.assert_close(alone[0], whole[index], rtol=0, atol=1e-6)


def test_each_sample_is_resampled_once(x_BCDHW: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    resampled = []
    sample = F.grid_sample

    def counted(x: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        resampled.extend(x)
        return sample(x, *args, **kwargs)

    monkeypatch.setattr(F, "grid_sample", counted)
    apply(x_BCDHW, drawn(6, **ALWAYS))
    assert torch.equal(torch.stack(resampled), x_BCDHW)


@pytest.mark.parametrize(
    ("name", "field", "neutral"),
    [
        ("rotation", "angles_degrees_B3", 0),
        ("scale", "scale_B", 1),
        ("shift", "shift_B3", 0),
        ("noise", "noise_sd_B", 0),
        ("brightness", "brightness_B", 0),
        ("contrast", "contrast_B", 1),
        ("elastic", "elastic_B3G", 0),
    ],
)
def test_probability_zero_is_never_one_is_always_and_a_third_is_a_third(name: str, field: str, neutral: int) -> None:
    def share(probability: float) -> float:
        augmentation = drawn(3000, edge=8, **(NEVER | {f"{name}_probability": probability}))
        return float((getattr(augmentation, field).reshape(3000, -1) != neutral).any(axis=1).mean())

    assert share(0.0) == 0 and share(1.0) == 1
    assert share(1 / 3) == pytest.approx(1 / 3, abs=0.03)


def test_what_is_drawn_lies_within_its_range() -> None:
    augmentation = drawn(2000, edge=64, **ALWAYS)
    assert np.abs(augmentation.angles_degrees_B3).max() == pytest.approx(15, rel=0.01)
    assert [augmentation.scale_B.min(), augmentation.scale_B.max()] == pytest.approx([0.85, 1.15], rel=0.01)
    assert np.abs(augmentation.shift_B3).max() == pytest.approx(5, rel=0.01)
    assert np.abs(augmentation.brightness_B).max() == pytest.approx(0.05, rel=0.01)
    assert [augmentation.contrast_B.min(), augmentation.contrast_B.max()] == pytest.approx([0.85, 1.15], rel=0.01)
    assert augmentation.elastic_B3G.std() == pytest.approx(2.0, rel=0.01)


def test_noise_has_the_sd_that_was_drawn() -> None:
    x_BCDHW = torch.full((2, 1, 32, 32, 32), 0.5)
    out = apply(x_BCDHW, drawn(2, edge=32, **(NEVER | {"noise_probability": 1.0, "noise_sd": 0.05, "flip": False})))
    assert out.std(dim=(1, 2, 3, 4)).tolist() == pytest.approx([0.05, 0.05], rel=0.02)
    assert not torch.equal(out[0], out[1])


def test_contrast_turns_about_the_mean_and_brightness_adds(x_BCDHW: torch.Tensor) -> None:
    x_BCDHW = 0.3 + 0.4 * x_BCDHW
    knobs = NEVER | {"contrast_probability": 1.0, "brightness_probability": 1.0, "flip": False}
    augmentation = drawn(6, **knobs)
    mean = x_BCDHW.mean(dim=(1, 2, 3, 4), keepdim=True)
    contrast, brightness = (
        torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1, 1)
        for values in (augmentation.contrast_B, augmentation.brightness_B)
    )
    torch.testing.assert_close(apply(x_BCDHW, augmentation), (x_BCDHW - mean) * contrast + mean + brightness)


def test_values_stay_within_zero_and_one(x_BCDHW: torch.Tensor) -> None:
    out = apply(x_BCDHW, drawn(6, **ALWAYS, noise_sd=1.0))
    assert out.min() == 0 and out.max() == 1
