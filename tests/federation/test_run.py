"""A run from the roll call to the report, over real code and small sites."""

from __future__ import annotations

import random

import pytest
import torch

from fedlung.config import RunConfig
from fedlung.errors import ConfigError
from fedlung.evaluation.runrecord import EVENTS, load_run
from fedlung.model.losses import class_weights, focal_loss
from fedlung.model.networks import build_model
from fedlung.patches.archive import load_archive
from fedlung.patches.examples import site_examples
from fedlung.training.checkpoint import load_checkpoint
from server.aggregation import MeanOfFew

FULL_BATCH_SGD = {
    "optimizer.name": "sgd",
    "optimizer.momentum": 0.0,
    "optimizer.weight-decay": 0.0,
    "optimizer.clip-norm": 0.0,
    "optimizer.learning-rate": 0.1,
    "optimizer.batch-size": 1000,
    "federation.rounds": 1,
}


def test_a_run_ends_with_a_report_of_every_site(federation) -> None:
    run = federation.run(federation.grid())
    assert [(row["name"], row["role"]) for row in run.report["sites"]] == [
        ("Alpha", "source"),
        ("Beta", "source"),
        ("Gamma", "source"),
        ("Omega", "held-out"),
    ]
    assert run.report["synthetic"] is True
    assert run.report["absences"] == []
    assert all("size" in row["baselines"] for row in run.report["sites"])
    assert [event["round"] for event in run.events("round")] == [1, 2]
    assert {event["site"] for event in run.events("prepared")} == {"Alpha", "Beta", "Gamma", "Omega"}
    assert run.events("training")[0]["sources"] == ["Alpha", "Beta", "Gamma"]
    assert run.events("finished") and not run.events("failed")
    assert (run.path / "report.html").is_file() and (run.path / "report.csv").is_file()


def test_the_ledger_of_participation_has_steps_and_the_bytes_of_both_ways(federation) -> None:
    run = federation.run(federation.grid())
    weights = sum(len(values) for values in run.weights(1).values())
    for part in run.report["participation"]:
        assert part["num_steps"] >= 1
        assert 2 * weights < part["num_bytes"] < 2 * weights + 20_000  # each tensor has a header


def test_the_events_of_a_run_are_those_of_the_list_in_its_order(federation) -> None:
    run = federation.run(federation.grid())
    told = [event["event"] for event in load_run(run.path).events]
    assert tuple(dict.fromkeys(told)) == tuple(name for name in EVENTS if name not in ("resumed", "fold", "failed"))


def test_what_can_be_learned_is_learned_and_carries_over_to_the_held_out_site(federation, archive) -> None:
    federation.write(archive(num_patients=24))
    run = federation.run(federation.grid(**{"federation.rounds": 4, "optimizer.learning-rate": 0.01}))
    held_out = next(row for row in run.report["sites"] if row["role"] == "held-out")
    assert held_out["auc"]["low"] > 0.9


def test_the_same_seed_gives_the_same_numbers_to_the_last_digit(federation) -> None:
    first, second = (federation.run(federation.grid(), name) for name in ("first", "second"))
    assert first.numbers == second.numbers
    assert first.weights(2) == second.weights(2)


def test_another_seed_gives_other_weights(federation) -> None:
    first, second = (federation.run(federation.grid(seed=seed), f"seed-{seed}") for seed in (0, 1))
    assert first.weights(2) != second.weights(2)


PATIENT = {f"federation.{step}-timeout-s": 10.0 for step in ("roll-call", "prepare", "round")}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server looks for answers more often than it would between machines."""
    monkeypatch.setattr("server.exchange.POLL_S", 0.01)
    monkeypatch.setattr("server.rollcall.POLL_S", 0.01)


@pytest.mark.usefixtures("impatient")
def test_the_order_of_the_answers_does_not_show_in_a_single_bit(federation) -> None:
    straight = federation.run(federation.grid(), "straight")
    for seed in range(3):
        grid = federation.grid(nodes=random.Random(seed).sample(range(4), 4), **PATIENT)
        grid.shuffled = random.Random(seed)
        shuffled = federation.run(grid, f"shuffled-{seed}")
        assert shuffled.weights(2) == straight.weights(2)
        assert without_settings(shuffled.numbers) == without_settings(straight.numbers)


def without_settings(numbers: dict) -> dict:
    """The report without its provenance, in which the configured patience stands."""
    return {key: value for key, value in numbers.items() if key != "provenance"}


@pytest.mark.usefixtures("impatient")
def test_updates_are_merged_in_the_order_of_names_whenever_they_come(federation, monkeypatch) -> None:
    merged: list[str] = []
    add = MeanOfFew.add
    monkeypatch.setattr(
        MeanOfFew, "add", lambda mean, reply, state: (merged.append(reply.site), add(mean, reply, state))[1]
    )
    grid = federation.grid(nodes=[3, 1, 0, 2], **PATIENT, **{"federation.rounds": 4})
    grid.shuffled = random.Random(5)
    federation.run(grid)
    assert merged == ["Alpha", "Beta", "Gamma"] * 4


def test_the_held_out_site_is_never_asked_to_train(federation) -> None:
    grid = federation.grid()
    federation.run(grid)
    trained = {message.metadata.dst_node_id for message in grid.sent if message.metadata.message_type == "train"}
    assert trained == {1000, 1001, 1002}


def test_the_held_out_sites_data_leave_no_trace_in_the_weights(federation, archive) -> None:
    before = federation.run(federation.grid(), "before")
    perturbed = archive()
    perturbed.cubes_NDHW[perturbed.site_N == "Omega"] //= 2
    perturbed.label_N[perturbed.site_N == "Omega"] ^= 1
    federation.write(perturbed)
    after = federation.run(federation.grid(), "after")
    assert after.weights(2) == before.weights(2)
    assert after.report["selection"] == before.report["selection"]
    assert after.report["threshold"] == before.report["threshold"]
    assert after.site("Omega")["auc"] != before.site("Omega")["auc"]


def test_one_full_batch_step_of_the_federation_is_one_centralised_step(federation) -> None:
    run = federation.run(federation.grid(**FULL_BATCH_SGD))
    cfg = RunConfig.model_validate_json((run.path / "config.json").read_text(encoding="utf-8"))
    stored = load_archive(federation.folder / "archive.npz")
    sets = [
        site_examples(stored.of_site(site), cfg, site=site, held_out=False).training(1)
        for site in ("Alpha", "Beta", "Gamma")
    ]
    x_BCDHW = torch.cat([examples.load(range(len(examples))) for examples in sets])
    labels_B = torch.cat([torch.from_numpy(examples.labels_N) for examples in sets])
    num_positive = int(labels_B.sum())
    model = build_model(cfg.model, cfg.seed).train()
    weights = class_weights(len(labels_B) - num_positive, num_positive, cfg.loss)
    focal_loss(model(x_BCDHW), labels_B, gamma=cfg.loss.gamma, weights=weights).backward()
    federated = load_checkpoint(run.path / "checkpoints" / "round-0001.safetensors").state
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        centralised = parameter.detach() - cfg.optimizer.learning_rate * parameter.grad
        torch.testing.assert_close(federated[name], centralised, rtol=1e-5, atol=1e-6)


def test_fedprox_without_a_pull_is_fedavg_and_with_one_it_is_not(federation) -> None:
    average = federation.run(federation.grid(), "average")
    loose, tight = (
        federation.run(federation.grid(**{"federation.strategy": "fedprox", "strategy.proximal-mu": mu}), f"mu-{mu}")
        for mu in (0.0, 1.0)
    )
    assert loose.weights(2) == average.weights(2)
    assert tight.weights(2) != average.weights(2)


def test_a_wrong_configuration_fails_the_run_before_anyone_is_asked(federation) -> None:
    grid = federation.grid(**{"loss.gama": 2.0})
    with pytest.raises(ConfigError, match=r"did you mean loss\.gamma"):
        federation.run(grid)
    assert grid.sent == []
