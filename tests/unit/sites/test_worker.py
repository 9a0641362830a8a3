"""A site over real DICOM files: a small phantom, prepared, trained and evaluated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedlung.config import RunConfig
from fedlung.ct.find import find_series
from fedlung.ct.phantom import PhantomConfig, write_phantom
from fedlung.errors import DataError, ProtocolError
from fedlung.model.networks import build_model
from fedlung.protocol import EvaluateTask, PrepareTask, State, TrainTask
from sites.profile import load_profile
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


def test_a_new_process_trains_on_what_the_old_one_prepared(site: Path) -> None:
    old = worker(site)
    old.prepare(PrepareTask(held_out=False))
    task = TrainTask(server_round=1, learning_rate=0.01, num_negative=10, num_positive=10)
    reply, state = old.train(task, state_of(old))
    again, same = worker(site).train(task, state_of(old))
    assert (again.loss, again.num_examples) == (reply.loss, reply.num_examples)
    assert all(np.array_equal(state[name], same[name]) for name in state)
    assert any(not np.array_equal(state[name], before) for name, before in state_of(old).items())


def test_a_held_out_site_has_test_patients_only_and_refuses_to_train(site: Path) -> None:
    own = worker(site, **{"federation.held-out": "GE"})
    ledger = own.prepare(PrepareTask(held_out=True))
    assert (ledger.splits["test"].num_patients, ledger.splits["train"].num_patients) == (4, 0)
    with pytest.raises(ProtocolError, match="does not train"):
        own.train(TrainTask(1, 0.01, 1, 1), state_of(own))
    with pytest.raises(DataError, match="no example in split validation"):
        own.evaluate(EvaluateTask(1, "validation"), state_of(own))


def test_a_site_and_the_server_must_agree_on_who_is_held_out(site: Path) -> None:
    with pytest.raises(ProtocolError, match="disagree"):
        worker(site).prepare(PrepareTask(held_out=True))


def test_weights_of_another_model_are_refused_in_public_words(site: Path) -> None:
    own = worker(site)
    own.prepare(PrepareTask(held_out=False))
    with pytest.raises(ProtocolError) as refusal:
        own.evaluate(EvaluateTask(1, "test"), {"w": np.zeros(1, dtype=np.float32)})
    assert refusal.value.public == "the weights that came are not those of the configured model"


def test_the_table_of_a_site_restricts_it_to_its_series(site: Path) -> None:
    before = worker(site).prepare(PrepareTask(held_out=False))
    series, _ = find_series(site.parent / "dicom")
    (site.parent / "series.csv").write_text(f"series_uid\n{series[0].series_uid}\n", encoding="utf-8")
    restricted = site.with_name("restricted.toml")
    restricted.write_text(site.read_text(encoding="utf-8") + 'series = "series.csv"\n', encoding="utf-8")
    ledger = worker(restricted, **{"federation.held-out": "GE"}).prepare(PrepareTask(held_out=True))
    assert ledger.num_prepared == 1
    assert ledger.data_fingerprint != before.data_fingerprint


def test_no_patient_or_series_identifier_is_in_the_store(site: Path) -> None:
    worker(site).prepare(PrepareTask(held_out=False))
    series, _ = find_series(site.parent / "dicom")
    kept = [path for path in (site.parent / "cases").rglob("*") if path.is_file()]
    text = b"\n".join([str(path.name).encode() + path.read_bytes() for path in kept])
    for one in series:
        assert one.series_uid.encode() not in text and one.patient_id.encode() not in text


def test_before_a_preparation_there_is_nothing_to_train_on(site: Path) -> None:
    own = worker(site, **{"prepare.spacing-mm": 3.0})
    with pytest.raises(DataError, match="nothing was prepared"):
        own.train(TrainTask(1, 0.01, 1, 1), state_of(own))
