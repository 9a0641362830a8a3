"""The run's configuration: one place, flat for Flower, every mistake at once."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from fedlung.config import PrepareConfig, RunConfig
from fedlung.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def flattened(table: dict, prefix: str = "") -> dict:
    flat: dict = {}
    for key, value in table.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def test_pyproject_holds_every_knob_with_the_default_of_the_model() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    assert flattened(table) == RunConfig().to_run_config()


def test_the_flat_form_and_back_is_the_same_configuration() -> None:
    config = RunConfig.from_run_config({"loss.gamma": 1.5, "federation.held-out": "GE", "task.name": "malignancy"})
    assert config.loss.gamma == 1.5
    assert RunConfig.from_run_config(config.to_run_config()) == config


def test_all_mistakes_are_told_at_once_with_the_nearest_key() -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_run_config({"loss.gama": 1, "optimizer.learning-rate": -1.0, "model.name": "resnet99"})
    text = str(caught.value)
    assert "3 mistakes" in text
    assert "did you mean loss.gamma?" in text
    assert "optimizer.learning-rate" in text and "-1.0" in text
    assert "resnet99" in text


@pytest.mark.parametrize(
    ("flat", "word"),
    [
        ({"federation.held-out": "Nowhere"}, "Nowhere"),
        ({"federation.sites": "A", "federation.held-out": "A"}, "no site to train on"),
        ({"task.name": "scan"}, "prepare.cube"),
        ({"prepare.cube": 128}, "task.name"),
        ({"prepare.hu-min": 500}, "hu-min"),
        ({"federation.rounds": "x"}, "federation.rounds"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_words(flat: dict, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        RunConfig.from_run_config(flat)


def test_a_fingerprint_changes_with_any_value_and_with_nothing_else() -> None:
    assert PrepareConfig().fingerprint() == PrepareConfig(spacing_mm=1.25).fingerprint()
    assert PrepareConfig().fingerprint() != PrepareConfig(spacing_mm=1.3).fingerprint()


def test_site_names_are_stripped_and_unique_in_their_order() -> None:
    config = RunConfig.from_run_config({"federation.sites": " B, A ,B", "federation.held-out": "A"})
    assert config.federation.site_names == ("B", "A")


@pytest.mark.parametrize(
    ("flat", "word"),
    [
        ({"optimizer.learning-rate": float("inf")}, "finite"),
        ({"augment.noise-sd": float("nan")}, "finite"),
        ({"augment.scale-min": 1.2, "augment.scale-max": 0.9}, "scale-min 1.2 must not be above scale-max 0.9"),
        ({"task.name": "scan", "prepare.cube": 4}, "cube"),
        ({"task.name": "scan", "prepare.cube": 32, "rescan.thickness-mm": 5}, "rescan wants voxels of a known edge"),
        ({"prepare.spacing-mm": 0.01}, "spacing-mm"),
        ({"prepare.hu-min": -100_000}, "hu-min"),
        ({"optimizer.batch-size": 1, "model.norm": "batch"}, "batch-size"),
        ({"model.size-weight": 0.5}, "size-weight is for task.name 'malignancy'"),
        ({"evaluate.adapt-patients": 3}, "adapt-patients is for BatchNorm's .*model.norm 'batch'"),
        ({"evaluate.adapt-patients": 3, "model.norm": "batch", "model.name": "simple-cnn"}, "a residual network"),
        ({"split.validation": 0.45, "split.test": 0.4}, "at least a quarter"),
        ({"seed": True}, "seed: .*a number is expected"),
        ({"federation.rounds": True}, "federation.rounds: .*a number is expected"),
        ({"loss.gamma": False}, "loss.gamma: .*a number is expected"),
        ({"augment.flip": 1}, "augment.flip: .*true or false"),
        ({"seed": 2**63}, "seed"),
        ({"federation.sites": "a/b,c", "federation.held-out": ""}, "'a/b'"),
        ({"federation.min-sites": 4}, "min-sites 4 .*3"),
    ],
)
def test_what_cannot_work_is_refused_before_a_run(flat: dict, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        RunConfig.from_run_config(flat)


def test_a_whole_number_will_do_for_a_fraction() -> None:
    config = RunConfig.from_run_config({"loss.gamma": 2, "federation.round-timeout-s": 60})
    assert (config.loss.gamma, config.federation.round_timeout_s) == (2.0, 60.0)
    assert RunConfig.model_validate_json('{"loss": {"gamma": 3}, "prepare": {"spacing-mm": 1}}').loss.gamma == 3.0
