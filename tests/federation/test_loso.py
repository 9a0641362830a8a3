"""Leave-one-site-out through the real apps: every fold a run of its own, and what they show together."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import markupsafe
import numpy as np
import pytest
import torch
from flwr.app import Message
from headless import look_at
from typer.testing import CliRunner

from fedlung.cli.app import app
from fedlung.config import RunConfig
from fedlung.errors import ConfigError
from fedlung.evaluation.comparison import are_paired
from fedlung.evaluation.kept import load_tests
from fedlung.evaluation.runrecord import load_run
from fedlung.evaluation.statistics import bin_of
from fedlung.evaluation.subgroups import OWN_TEST
from fedlung.launch.simulate import simulate_run
from fedlung.loso.folder import folds_folder
from fedlung.loso.plan import POOL, plan
from fedlung.loso.record import LosoResults
from fedlung.loso.report.files import CSV_FILE, HTML_FILE
from fedlung.loso.results import RESULTS_FILE, results_of
from fedlung.model.networks import build_model
from fedlung.model.predict import predict_logits
from fedlung.patches.archive import load_archive
from fedlung.patches.examples import site_examples
from fedlung.protocol import TRAIN, TrainTask, encode, encode_state, fold_of, with_fold
from fedlung.training.checkpoint import load_checkpoint

SITES = ("Alpha", "Beta", "Gamma", "Omega")
LOSO: dict[str, Any] = {
    "protocol": "loso",
    "federation.held-out": "",
    "federation.rounds": 1,
    "loso.methods": "fedavg",
    "loso.seeds": 1,
    "loso.pooled": True,
}
POOL_NODE = 1000 + len(SITES)


def grid_of(federation, **knobs: Any):
    """Four sites, and the node that has all of their patients."""
    grid = federation.grid(**{**LOSO, **knobs})
    return type(grid)(
        {**grid.node_configs, POOL_NODE: {"pool": True, "num-partitions": len(SITES)}}, run_config=grid.run_config
    )


class Done:
    """A finished plan: its folder, what was sent, and its results."""

    def __init__(self, federation, name: str = "plan", **knobs: Any) -> None:
        self.grid = grid_of(federation, **knobs)
        self.path: Path = federation.run(self.grid, name).path

    def fold(self, name: str) -> Path:
        return folds_folder(self.path) / name

    @property
    def results(self) -> LosoResults:
        return LosoResults.model_validate_json((self.path / RESULTS_FILE).read_text(encoding="utf-8"))

    def trained(self) -> dict[str, set[int]]:
        """By fold, the nodes that were asked to train."""
        asked: dict[str, set[int]] = {}
        for message in self.grid.sent:
            if message.metadata.message_type == TRAIN:
                asked.setdefault(fold_of(message.content), set()).add(message.metadata.dst_node_id)
        return asked


@pytest.fixture(scope="module")
def done(shared_federation) -> Iterator[Done]:
    yield Done(shared_federation)


def test_every_fold_of_the_plan_has_finished_and_no_number_of_a_method_is_missing(done: Done) -> None:
    config = load_run(done.path).config
    assert [fold.name for fold in done.results.folds] == [fold.name for fold in plan(config)]
    assert {fold.state for fold in done.results.folds} == {"finished"}
    rows = {row.name: row for row in done.results.tables["auc"].rows}
    assert set(rows) == {
        "fedavg", "uniform weights", "pooled training", "each site alone (mean of the models)",
        "ensemble of the models trained alone", "constant answer", "nodule diameter alone",
        "protocol alone (thickness and kernel)",
    }  # fmt: skip
    trained = [row for row in rows.values() if row.kind != "without pixels"]
    assert all(row.unseen[site].estimate.value is not None for row in trained for site in SITES)
    assert all(row.to_oracle[site].value is not None for row in trained for site in SITES)
    assert rows["constant answer"].unseen_mean.estimate.value == 0.5
    assert rows["nodule diameter alone"].unseen["Omega"].estimate.value > 0.6


def test_an_unseen_site_is_never_asked_to_train_and_the_pool_trains_alone(done: Done) -> None:
    trained = done.trained()
    node = {site: 1000 + number for number, site in enumerate(SITES)}
    for site in SITES:
        others = set(node.values()) - {node[site]}
        assert trained[f"fedavg.seed-0.without-{site}"] == trained[f"uniform.seed-0.without-{site}"] == others
        assert trained[f"pooled.seed-0.without-{site}"] == {POOL_NODE}
        assert trained[f"alone.seed-0.{site}"] == {node[site]}
        assert f"ensemble.seed-0.without-{site}" not in trained
    assert trained["oracle.seed-0"] == set(node.values())


def test_a_fold_is_bit_for_bit_the_run_that_one_would_have_started_by_hand(done: Done, shared_federation) -> None:
    by_hand = shared_federation.run(
        shared_federation.grid(
            **{"federation.held-out": "Beta", "federation.rounds": 1, "evaluate.held-out-curve": False}
        ),
        "by-hand",
    )
    fold = load_checkpoint(done.fold("fedavg.seed-0.without-Beta") / "checkpoints" / "round-0001.safetensors").state
    assert {name: tensor.numpy().tobytes() for name, tensor in fold.items()} == by_hand.weights(1)
    judged = load_run(done.fold("fedavg.seed-0.without-Beta")).judgement
    assert judged.provenance.config_fingerprint == by_hand.report["provenance"]["config_fingerprint"]
    row = next(row for row in done.results.tables["auc"].rows if row.name == "fedavg")
    assert row.unseen["Beta"].estimate.value == by_hand.site("Beta")["auc"]["value"]
    assert row.gaps["Beta"].value == pytest.approx(by_hand.report["gap"]["auc"]["value"], abs=1e-12)
    assert row.gaps["Beta"].low == pytest.approx(by_hand.report["gap"]["auc"]["low"], abs=1e-12)


def test_the_pool_trains_on_the_training_patients_of_all_source_sites(done: Done) -> None:
    ledgers = {
        event["site"]: event
        for event in load_run(done.fold("pooled.seed-0.without-Omega")).events
        if event["event"] == "prepared"
    }
    sources = [ledgers[site]["splits"]["train"] for site in SITES[:3]]
    pooled = ledgers[POOL]["splits"]["train"]
    assert all(pooled[key] == sum(splits[key] for splits in sources) for key in pooled)


def test_an_ensemble_is_the_mean_logit_of_the_models_trained_alone(done: Done, shared_federation) -> None:
    config = next(f for f in plan(load_run(done.path).config) if f.kind == "ensemble" and f.unseen == "Omega").config(
        load_run(done.path).config
    )
    archive = load_archive(shared_federation.folder / "archive.npz").of_site("Omega")
    examples = site_examples(archive, config, site="Omega", held_out=True).fixed("test")
    logits = []
    for site in SITES[:3]:
        model = build_model(config.model, config.seed)
        checkpoint = done.fold(f"alone.seed-0.{site}") / "checkpoints" / "round-0001.safetensors"
        model.load_state_dict(load_checkpoint(checkpoint).state)
        logits.append(predict_logits(model, examples, batch_size=8, device=torch.device("cpu"), precision="float32"))
    cell_N = examples.labels_N * 480 + bin_of(np.mean(logits, axis=0))
    kept = load_tests(done.fold("ensemble.seed-0.without-Omega")).measured("Omega")
    assert np.array_equal(kept.statistics.histogram_CK.ravel(), np.bincount(cell_N, minlength=960))


def test_an_unseen_site_is_compared_with_the_oracle_on_the_same_patients(done: Done) -> None:
    oracle = load_tests(done.fold("oracle.seed-0"))
    for site in SITES:
        unseen = load_tests(done.fold(f"fedavg.seed-0.without-{site}")).subgroup(site, OWN_TEST)
        assert are_paired(unseen.statistics, oracle.measured(site).statistics)
        assert unseen.statistics.num_patients == oracle.measured(site).statistics.num_patients > 0


def test_every_model_is_in_the_matrix_with_the_sites_that_it_has_seen(done: Done) -> None:
    matrix = {row.name: row for row in done.results.tables["auc"].matrix}
    assert matrix["Alpha alone"].seen == ("Alpha",)
    assert matrix["fedavg without Omega"].seen == matrix["pooled training without Omega"].seen == SITES[:3]
    assert matrix["trained at all sites"].seen == SITES
    shared = ("fedavg", "uniform weights", "pooled training", "ensemble of the models trained alone")
    without = [f"{name} without {site}" for name in shared for site in SITES]
    assert {*matrix} == {*without, *(f"{site} alone" for site in SITES), "trained at all sites"}
    assert all(row.sites[site].estimate.value is not None for row in matrix.values() for site in SITES)


def test_a_plan_leaves_its_page_and_table_and_the_report_command_makes_them_again(done: Done) -> None:
    left = {name: (done.path / name).read_bytes() for name in (RESULTS_FILE, CSV_FILE, HTML_FILE)}
    for name in left:
        (done.path / name).unlink()
    told = CliRunner().invoke(app, ["report", str(done.path)])
    assert told.exit_code == 0 and HTML_FILE in told.output
    assert {name: (done.path / name).read_bytes() for name in left} == left
    page = left[HTML_FILE].decode()
    assert all(f"<li>{markupsafe.escape(claim)}</li>" in page for claim in done.results.claims)
    for row in done.results.tables["auc"].rows:
        numbers = [cell.estimate.value for cell in row.unseen.values()]
        assert all(number is None or f"{number:.3f}" in page for number in numbers)


def test_a_browser_finds_nothing_wrong_with_the_page_of_a_plan(done: Done, tmp_path: Path) -> None:
    seen = look_at(done.path / HTML_FILE, tmp_path, width=1280, height=900)
    assert seen.said == ()


def test_a_plan_goes_on_where_it_stopped_and_repeats_nothing(done: Done, shared_federation) -> None:
    numbers = done.results.tables
    shutil.rmtree(done.fold("alone.seed-0.Beta"))
    (done.fold("fedavg.seed-0.without-Alpha") / "rounds.jsonl").write_text('{"event": "run-started"}\n{"ev')
    again = Done(shared_federation)
    lines = [event for event in load_run(again.path).events if event["event"] == "fold"][-len(done.results.folds) :]
    redone = [line["name"] for line in lines if line["state"] == "finished"]
    assert redone == ["fedavg.seed-0.without-Alpha", "alone.seed-0.Beta"]
    assert again.results.tables == numbers


def test_a_plan_is_not_gone_on_with_under_other_settings(done: Done, shared_federation) -> None:
    with pytest.raises(ConfigError, match="holds a run with other settings"):
        Done(shared_federation, **{"loso.methods": "fedavg,fedprox"})


def test_one_fold_can_be_run_by_its_name(federation) -> None:
    done = Done(federation, **{"loso.fold": "alone.seed-0.Gamma"})
    assert [path.name for path in folds_folder(done.path).iterdir()] == ["alone.seed-0.Gamma"]
    assert not (done.path / RESULTS_FILE).exists()


def test_a_site_that_cannot_train_costs_its_own_folds_and_their_reason_is_told(federation) -> None:
    grid = grid_of(federation, **{"loso.pooled": False})
    node = 1000 + SITES.index("Gamma")
    grid.between = lambda node_id, reply: None if node_id == node and reply.metadata.message_type == TRAIN else reply
    run = federation.run(grid, "plan")
    results = results_of(run.path)
    failed = {fold.name: fold.reason for fold in results.folds if fold.state == "failed"}
    ensembles = [f"ensemble.seed-0.without-{site}" for site in SITES if site != "Gamma"]
    assert list(failed) == ["alone.seed-0.Gamma", *ensembles]
    assert "no answer in time" in failed["alone.seed-0.Gamma"]
    ensemble = next(row for row in results.tables["auc"].rows if row.name.startswith("ensemble"))
    assert set(ensemble.missing) == set(ensembles)
    assert ensemble.unseen["Alpha"].estimate.value is None
    assert ensemble.unseen["Gamma"].estimate.value is not None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_plan_runs_in_flowers_own_simulation_and_needs_no_pool(federation, tmp_path: Path) -> None:
    patient = {f"federation.{step}-timeout-s": 120.0 for step in ("roll-call", "prepare", "round")}
    settings = {**federation.grid().run_config, **LOSO, "loso.pooled": False, **patient, "name": "", "folder": ""}
    told: list[str] = []
    run = simulate_run(
        federation.folder,
        RunConfig.from_run_config(settings),
        tmp_path / "flower",
        name="plan",
        on_event=lambda event: told.append(event["event"]),
    )
    results = LosoResults.model_validate_json((run / RESULTS_FILE).read_text(encoding="utf-8"))
    assert {fold.state for fold in results.folds} == {"finished"}
    assert told == ["run-started", *["fold"] * len(results.folds), "finished"]


@pytest.mark.parametrize(
    ("knobs", "fold", "said"),
    [
        ({}, "fedavg.seed-0.without-Omega", "a message of a fold in a run of protocol single"),
        (LOSO, "", "a message without a fold in a run of protocol loso"),
        (LOSO, "fedavg.seed-0.without-Nowhere", "no fold of that name"),
        (LOSO, "fedavg.seed-0.without-Alpha", "a held-out site does not train"),
    ],
)
def test_a_site_refuses_a_fold_that_its_own_configuration_does_not_have(
    federation, knobs: dict[str, Any], fold: str, said: str
) -> None:
    grid = federation.grid(**knobs)
    task = TrainTask(server_round=1, learning_rate=0.1, num_negative=1, num_positive=1)
    content = encode(task, weights=encode_state({}))
    grid.push_messages([Message(with_fold(content, fold) if fold else content, 1000, TRAIN)])
    assert said in grid.answered[-1].error.reason
