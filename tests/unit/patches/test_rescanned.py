"""Examples through one other scanner: the same bits where nothing is asked, thick slices and noise where they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedlung.config import ModelConfig, PrepareConfig, RescanConfig
from fedlung.errors import ConfigError
from fedlung.model.networks import build_model
from fedlung.model.predict import predict_logits
from fedlung.patches.rescanned import RescannedSet

WINDOW = PrepareConfig()  # -1000 to 400 HU
EDGE = 16


class Cubes:
    """Loads given cubes; all that a rescan reads of a set of examples."""

    def __init__(self, x_NCDHW: torch.Tensor, voxel_mm: float = 1.0) -> None:
        self.x_NCDHW, self.voxel_mm = x_NCDHW, voxel_mm

    def __len__(self) -> int:
        return len(self.x_NCDHW)

    def load(self, indices_B: np.ndarray) -> torch.Tensor:
        return self.x_NCDHW[indices_B]


@pytest.fixture
def noise_NCDHW() -> torch.Tensor:
    return torch.rand(5, 1, EDGE, EDGE, EDGE, generator=torch.Generator().manual_seed(0))


def rescanned(x_NCDHW: torch.Tensor, *, seed: int = 0, voxel_mm: float = 1.0, **scanner: float) -> RescannedSet:
    return RescannedSet(Cubes(x_NCDHW, voxel_mm), RescanConfig(**scanner), WINDOW, np.random.default_rng(seed))


def loaded(found: RescannedSet) -> torch.Tensor:
    return found.load(np.arange(len(found)))


def test_where_nothing_is_asked_every_bit_is_the_examples(noise_NCDHW: torch.Tensor) -> None:
    assert torch.equal(loaded(rescanned(noise_NCDHW)), noise_NCDHW)
    assert not torch.equal(loaded(rescanned(noise_NCDHW, thickness_mm=3.0)), noise_NCDHW)


def test_where_nothing_is_asked_the_score_is_the_models_bit_for_bit(noise_NCDHW: torch.Tensor) -> None:
    model = build_model(ModelConfig(width=4, stem="quarter"), 0)

    def logits_N(examples: Cubes | RescannedSet) -> np.ndarray:
        return predict_logits(model, examples, batch_size=2, device=torch.device("cpu"), precision="float32")

    np.testing.assert_array_equal(logits_N(rescanned(noise_NCDHW)), logits_N(Cubes(noise_NCDHW)))
    assert not np.array_equal(logits_N(rescanned(noise_NCDHW, noise_hu=50.0)), logits_N(Cubes(noise_NCDHW)))


def test_an_example_is_changed_alike_in_every_batch_and_by_the_seed_alone(noise_NCDHW: torch.Tensor) -> None:
    scanner = {"thickness_mm": 2.5, "f50_per_mm": 0.3, "noise_hu": 30.0}
    whole = loaded(rescanned(noise_NCDHW, **scanner))
    assert torch.equal(loaded(rescanned(noise_NCDHW, **scanner)), whole)
    assert not torch.equal(loaded(rescanned(noise_NCDHW, seed=1, **scanner)), whole)
    some = rescanned(noise_NCDHW, **scanner).load(np.array([3, 1]))
    torch.testing.assert_close(some, whole[[3, 1]], rtol=0, atol=1e-5)


def test_a_slice_of_one_voxel_keeps_its_mass_and_loses_its_height_to_slices_of_four() -> None:
    plate_NCDHW = torch.zeros(20, 1, EDGE, EDGE, EDGE)
    plate_NCDHW[:, :, EDGE // 2] = 0.8
    columns_ND = loaded(rescanned(plate_NCDHW, thickness_mm=4.0)).mean(dim=(1, 3, 4))
    # A slice holds at most a quarter of the voxel; the slices around share one voxel's mass, wherever they begin.
    assert columns_ND.max() <= 0.2 + 1e-5
    assert len({round(float(height), 4) for height in columns_ND.max(dim=1).values}) > 1
    torch.testing.assert_close(columns_ND.sum(dim=1).mean(), torch.tensor(0.8), rtol=0.1, atol=0)


def test_slices_no_thicker_than_a_voxel_change_nothing(noise_NCDHW: torch.Tensor) -> None:
    found = loaded(rescanned(noise_NCDHW, thickness_mm=1.25, voxel_mm=1.25))
    torch.testing.assert_close(found, noise_NCDHW, rtol=0, atol=1e-5)


def test_the_noise_has_the_deviation_in_hu_that_was_asked_and_is_another_in_each_example() -> None:
    grey_NCDHW = torch.full((6, 1, EDGE, EDGE, EDGE), 0.5)
    hu_NP = (loaded(rescanned(grey_NCDHW, noise_hu=70.0)) - 0.5).flatten(1) * (WINDOW.hu_max - WINDOW.hu_min)
    assert float(hu_NP.std()) == pytest.approx(70.0, rel=0.1)
    assert abs(np.corrcoef(hu_NP.numpy())[0, 1:]).max() < 0.2


def test_the_image_is_changed_in_float32_where_the_network_runs_in_less(noise_NCDHW: torch.Tensor) -> None:
    found = rescanned(noise_NCDHW, thickness_mm=3.0, noise_hu=20.0)
    with torch.autocast("cpu", torch.bfloat16):
        within = loaded(found)
    assert within.dtype == torch.float32 and torch.equal(within, loaded(found))


def test_voxels_without_one_edge_are_refused_only_where_they_are_to_be_rescanned(noise_NCDHW: torch.Tensor) -> None:
    assert torch.equal(loaded(rescanned(noise_NCDHW, voxel_mm=np.nan)), noise_NCDHW)
    with pytest.raises(ConfigError, match="voxels of one edge in mm"):
        rescanned(noise_NCDHW, voxel_mm=np.nan, noise_hu=10.0)
