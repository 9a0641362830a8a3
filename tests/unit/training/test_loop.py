"""A round of local training: it learns, it repeats itself, and its steps are the ones worked by hand."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedlung.config import RunConfig
from fedlung.errors import ConfigError, DataError
from fedlung.model.losses import focal_loss
from fedlung.model.networks import build_model
from fedlung.model.predict import predict_logits
from fedlung.training.loop import RoundOutcome, batches, train_round

CPU = torch.device("cpu")
EDGE = 16


class Blobs:
    """Noise with a bright ball of 3 voxels radius, somewhere, in every second cube."""

    def __init__(self, num: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.labels_N = np.arange(num, dtype=np.int64) % 2
        self.patients_N = np.arange(num, dtype=np.int64)
        self.diameter_mm_N = np.where(self.labels_N == 1, 5.0, np.nan).astype(np.float32)
        self.x_NCDHW = rng.normal(0.3, 0.1, (num, 1, EDGE, EDGE, EDGE)).astype(np.float32)
        grid_3DHW = np.indices((EDGE, EDGE, EDGE))
        for index in np.flatnonzero(self.labels_N):
            center_3 = rng.uniform(4, EDGE - 4, 3)
            ball_DHW = ((grid_3DHW - center_3[:, None, None, None]) ** 2).sum(0) <= 9
            self.x_NCDHW[index, 0, ball_DHW] += 0.5

    def __len__(self) -> int:
        return len(self.labels_N)

    def load(self, indices_B: np.ndarray) -> Tensor:
        return torch.from_numpy(self.x_NCDHW[indices_B].clip(0, 1))


def config(**flat: Any) -> RunConfig:
    """A tiny run; keys are the flat ones with dots and dashes as double and single underscores."""
    knobs = {
        "model.width": 8,
        "augment.enabled": False,
        "optimizer.batch-size": 8,
        "optimizer.precision": "float32",
        "federation.local-epochs": 1,
    }
    return RunConfig.from_run_config(knobs | {k.replace("__", ".").replace("_", "-"): v for k, v in flat.items()})


def train(model: nn.Module, examples: Blobs, cfg: RunConfig, **changed: Any) -> RoundOutcome:
    arguments = {
        "server_round": 1,
        "site": "GE",
        "learning_rate": cfg.optimizer.learning_rate,
        "weights": (1.0, 1.0),
        "proximal_mu": 0.0,
        "device": CPU,
    }
    return train_round(model, examples, cfg, **(arguments | changed))


def distance(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return sum(float((a - b).detach().square().sum()) for a, b in pairs) ** 0.5


def test_it_learns_to_see_a_bright_ball() -> None:
    cfg = config(federation__local_epochs=8)
    model = build_model(cfg.model, cfg.seed)
    outcome = train(model, Blobs(96), cfg)
    judged = Blobs(100, seed=1)
    logits_N = predict_logits(model, judged, batch_size=50, device=CPU, precision="float32")
    positive_N = judged.labels_N == 1
    auc = (logits_N[positive_N][:, None] > logits_N[~positive_N][None]).mean()
    assert auc > 0.95
    assert (outcome.num_examples, outcome.num_steps) == (96, 8 * 12)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_same_seed_gives_the_same_weights_bit_for_bit(optimizer: str) -> None:
    cfg = config(optimizer__name=optimizer, augment__enabled=True, model__dropout=0.2, model__mixstyle_probability=0.5)
    models = [build_model(cfg.model, cfg.seed) for _ in range(2)]
    outcomes = [train(model, Blobs(20), cfg) for model in models]
    assert distance(*models) == 0.0
    assert outcomes[0].loss == outcomes[1].loss


@pytest.mark.parametrize("changed", [{"site": "Philips"}, {"server_round": 2}])
def test_another_site_or_round_sees_the_examples_in_another_order(changed: dict[str, Any]) -> None:
    cfg = config()
    models = [build_model(cfg.model, cfg.seed) for _ in range(2)]
    train(models[0], Blobs(20), cfg)
    train(models[1], Blobs(20), cfg, **changed)
    assert distance(*models) > 0.0


def test_a_round_with_mixstyle_is_another_round() -> None:
    models = []
    for probability in (0.0, 0.5):
        cfg = config(model__mixstyle_probability=probability)
        models.append(build_model(cfg.model, cfg.seed))
        train(models[-1], Blobs(20), cfg)
    assert distance(*models) > 0.0


def test_virtual_scanners_change_a_round_and_repeat_themselves() -> None:
    examples, trained = Blobs(20), []
    examples.voxel_mm = 1.25
    for probability in (0.0, 0.5, 0.5):
        cfg = config(scanner__probability=probability)
        trained.append(build_model(cfg.model, cfg.seed))
        train(trained[-1], examples, cfg)
    assert distance(trained[0], trained[1]) > 0.0
    assert distance(trained[1], trained[2]) == 0.0


def test_training_moves_no_global_generator() -> None:
    cfg = config(model__dropout=0.2, model__mixstyle_probability=0.5)
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    train(build_model(cfg.model, 0), Blobs(10), cfg)
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)


def test_one_full_batch_of_sgd_is_the_step_worked_by_hand() -> None:
    cfg = config(
        optimizer__name="sgd", optimizer__weight_decay=0.0, optimizer__clip_norm=0.0, optimizer__batch_size=100
    )
    examples, rate = Blobs(6), 0.25
    model = build_model(cfg.model, 0)
    by_hand = copy.deepcopy(model)
    outcome = train(model, examples, cfg, learning_rate=rate, weights=(0.5, 1.5))
    labels_N = torch.from_numpy(examples.labels_N)
    loss = focal_loss(by_hand(examples.load(np.arange(6))), labels_N, gamma=2.0, weights=(0.5, 1.5))
    gradients = torch.autograd.grad(loss, list(by_hand.parameters()))
    assert outcome.loss == pytest.approx(loss.item(), rel=1e-5)
    for trained, start, gradient in zip(model.parameters(), by_hand.parameters(), gradients, strict=True):
        torch.testing.assert_close(trained, start - rate * gradient, rtol=1e-4, atol=1e-6)


def test_training_in_bfloat16_on_a_cpu_is_refused_and_auto_is_float32_there() -> None:
    with pytest.raises(ConfigError, match="Set it to auto"):
        cfg = config(optimizer__precision="bfloat16")
        train(build_model(cfg.model, 0), Blobs(8), cfg)
    models = []
    for precision in ("auto", "float32"):
        cfg = config(optimizer__precision=precision)
        models.append(build_model(cfg.model, 0))
        train(models[-1], Blobs(8), cfg)
    assert distance(*models) == 0.0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 0.001), ("bfloat16", 0.05)])
def test_cuda_repeats_itself_and_gives_the_loss_of_the_cpu(precision: str, tolerance: float) -> None:
    def trained(device: torch.device, precision: str) -> tuple[float, nn.Module]:
        cfg = config(optimizer__precision=precision, augment__enabled=True)
        model = build_model(cfg.model, 0)
        return train(model, Blobs(32), cfg, device=device).loss, model

    cuda = torch.device("cuda")
    (first_loss, first), (second_loss, second) = (trained(cuda, precision) for _ in range(2))
    assert first_loss == second_loss
    assert distance(first, second) == 0.0
    assert first_loss == pytest.approx(trained(CPU, "float32")[0], rel=tolerance)


def test_clipping_bounds_a_step_of_sgd() -> None:
    cfg = config(
        optimizer__name="sgd", optimizer__weight_decay=0.0, optimizer__clip_norm=1e-3, optimizer__batch_size=100
    )
    model = build_model(cfg.model, 0)
    start = copy.deepcopy(model)
    train(model, Blobs(6), cfg, learning_rate=0.5)
    assert distance(model, start) == pytest.approx(0.5 * 1e-3, rel=1e-3)


@pytest.mark.parametrize(("optimizer", "mu", "share"), [("sgd", 100.0, 0.1), ("adamw", 1e6, 0.5)])
def test_a_huge_mu_holds_the_weights_at_the_global_ones(optimizer: str, mu: float, share: float) -> None:
    cfg = config(
        optimizer__name=optimizer, optimizer__clip_norm=0.0, optimizer__momentum=0.0, federation__local_epochs=6
    )
    start = build_model(cfg.model, 0)
    free, held = copy.deepcopy(start), copy.deepcopy(start)
    train(free, Blobs(40), cfg, learning_rate=0.01)
    train(held, Blobs(40), cfg, learning_rate=0.01, proximal_mu=mu)
    assert 0.0 < distance(held, start) < share * distance(free, start)


def test_the_loss_is_the_mean_over_examples_and_not_over_batches() -> None:
    # A learning rate of nearly nothing: batches of 8 and 2 must weigh as 8 to 2.
    cfg = config(optimizer__name="sgd")
    model, examples = build_model(cfg.model, 0), Blobs(10)
    torch.nn.init.constant_(model.get_parameter("head.dense.bias"), -2.0)  # so that the two labels' losses differ
    outcome = train(model, examples, cfg, learning_rate=1e-12)
    labels_N = torch.from_numpy(examples.labels_N)
    expected = focal_loss(model(examples.load(np.arange(10))), labels_N, gamma=2.0, weights=(1.0, 1.0))
    assert outcome.loss == pytest.approx(expected.item(), rel=1e-5)
    assert outcome.num_steps == 2


def test_a_loss_that_is_not_finite_names_the_round_and_no_site() -> None:
    cfg, examples = config(), Blobs(8)
    examples.x_NCDHW[3] = np.nan
    with pytest.raises(DataError, match="round 3: expected a finite training loss") as caught:
        train(build_model(cfg.model, 0), examples, cfg, server_round=3, site="St. Elsewhere")
    assert "Elsewhere" not in caught.value.public
    assert "round 3" in caught.value.public


def test_an_epoch_has_every_example_once_and_keeps_the_small_last_batch() -> None:
    found = list(batches(17, config(), np.random.default_rng(0)))
    assert [len(indices_B) for indices_B in found] == [8, 8, 1]
    assert sorted(np.concatenate(found)) == list(range(17))


def test_batch_norm_leaves_out_a_last_batch_of_one() -> None:
    cfg = config(model__norm="batch")
    assert [len(indices_B) for indices_B in batches(17, cfg, np.random.default_rng(0))] == [8, 8]
    assert train(build_model(cfg.model, 0), Blobs(17), cfg).num_steps == 2


@pytest.mark.parametrize(("num", "norm"), [(0, "group"), (0, "batch"), (1, "batch")])
def test_too_few_examples_are_refused_without_their_number_leaving(num: int, norm: str) -> None:
    with pytest.raises(DataError, match=f"found {num}") as caught:
        list(batches(num, config(model__norm=norm), np.random.default_rng(0)))
    assert "found" not in caught.value.public
