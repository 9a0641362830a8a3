"""Which patients a held-out site adapts to, and that their labels are not looked at."""

from __future__ import annotations

import numpy as np
import torch

from fedlung.config import RunConfig
from fedlung.model.networks import build_model
from sites.adapted import adapted_logits

CPU = torch.device("cpu")


class Patients:
    """Two examples of each of five patients, who differ in brightness; reading a label is an error."""

    patients_N = np.repeat([f"p{number}" for number in range(5)], 2)

    def __init__(self) -> None:
        noise = torch.rand(10, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
        self.x_NCDHW = 0.1 * torch.arange(10).view(-1, 1, 1, 1, 1) / 2 + 0.5 * noise

    @property
    def labels_N(self) -> np.ndarray:
        raise AssertionError("an adaptation looks at no label")

    def __len__(self) -> int:
        return 10

    def load(self, indices_B: np.ndarray) -> torch.Tensor:
        return self.x_NCDHW[indices_B]


def logits(num_patients: int, *, seed: int = 0, site: str = "North") -> np.ndarray:
    config = RunConfig.from_run_config(
        {"seed": seed, "model.width": 4, "model.norm": "batch", "evaluate.adapt-patients": num_patients}
    )
    return adapted_logits([build_model(config.model, 0)], Patients(), config, site=site, device=CPU)


def test_all_examples_are_judged_by_a_model_that_saw_the_chosen_patients_images() -> None:
    assert logits(1).shape == (10,)
    np.testing.assert_array_equal(logits(1), logits(1))
    assert not np.array_equal(logits(1), logits(2))


def test_the_seed_and_the_site_choose_the_patients() -> None:
    # One of five patients at random: these draw the first, the fourth and the fifth.
    found = [logits(1), logits(1, seed=3), logits(1, seed=3, site="South")]
    assert len({values.tobytes() for values in found}) == 3


def test_all_patients_are_taken_where_there_are_no_more() -> None:
    np.testing.assert_array_equal(logits(5), logits(99))
    assert not np.array_equal(logits(5), logits(4))


def test_several_models_are_each_adapted_and_then_averaged() -> None:
    config = RunConfig.from_run_config({"model.width": 4, "model.norm": "batch", "evaluate.adapt-patients": 3})

    def judged(*seeds: int) -> np.ndarray:
        models = [build_model(config.model, seed) for seed in seeds]
        return adapted_logits(models, Patients(), config, site="North", device=CPU)

    np.testing.assert_allclose(judged(1, 2), (judged(1) + judged(2)) / 2, rtol=1e-12)
