"""A site whose store is encrypted answers exactly as one whose store is not."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from fedlung.config import RunConfig
from fedlung.ct.find import find_series
from fedlung.ct.phantom import PhantomConfig, write_phantom
from fedlung.errors import ConfigError, StoreError
from fedlung.hospital.data import load_data, prepare_data, unused_stores
from fedlung.hospital.private import LEFT_OUT
from fedlung.hospital.profile import SiteProfile, load_profile
from fedlung.model.networks import build_model
from fedlung.preprocess.sealed import SealedArray
from fedlung.protocol import EvaluateReply, EvaluateTask, PrepareTask, SiteLedger, State, TrainReply, TrainTask
from sites.worker import SiteWorker

KNOBS = {"model.width": 4, "model.stem": "quarter", "patches.size": 16, "task.readers": 1, "prepare.spacing-mm": 2.0}
CONFIG = RunConfig.from_run_config(KNOBS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("federation")
    write_phantom(folder, PhantomConfig(patients_per_site=4, matrix=64, coverage_mm=40.0), sites=["GE"], workers=1)
    return folder / "GE"


def profile_of(folder: Path, tmp_path: Path, *lines: str) -> SiteProfile:
    """The phantom's site with a store of its own."""
    text = (folder / "site.toml").read_text(encoding="utf-8").replace('store = "cases"', f'store = "{tmp_path}/cases"')
    assert str(tmp_path) in text
    path = folder / f"{tmp_path.name}.toml"
    path.write_text(text + "".join(f"{line}\n" for line in (f'key = "{tmp_path}/site.key"', *lines)), encoding="utf-8")
    return load_profile(path)


def answers(profile: SiteProfile) -> tuple[SiteLedger, TrainReply, State, EvaluateReply]:
    """What a site answers to a preparation, a round of training and an evaluation, its durations apart."""
    worker = SiteWorker(profile.model_copy(update={"num_simulated": 4}), CONFIG)
    state = {name: tensor.numpy() for name, tensor in build_model(CONFIG.model, 0).state_dict().items()}
    ledger = replace(worker.prepare(PrepareTask(held_out=False)), seconds=0.0)
    reply, trained = worker.train(TrainTask(1, 0.01, num_negative=10, num_positive=10), state)
    judged = worker.evaluate(EvaluateTask(1, "test", num_replicates=5), trained)
    return ledger, replace(reply, seconds=0.0), trained, replace(judged, seconds=0.0)


def test_training_and_evaluation_are_the_same_bit_by_bit(folder: Path, tmp_path: Path) -> None:
    profiles = []
    for name, lines in (("plain", ()), ("encrypted", ("encrypt = true",))):
        (tmp_path / name).mkdir()
        profiles.append(profile_of(folder, tmp_path / name, *lines))
    (ledger, reply, state, judged), (ledger_2, reply_2, state_2, judged_2) = map(answers, profiles)
    assert isinstance(load_data(profiles[1].model_copy(update={"num_simulated": 4}), CONFIG)[0].image_DHW, SealedArray)
    assert ledger == ledger_2 and reply == reply_2
    assert state.keys() == state_2.keys()
    assert all(state[name].tobytes() == state_2[name].tobytes() for name in state)
    assert judged.loss == judged_2.loss and repr(judged.scores) == repr(judged_2.scores)


def test_no_name_uid_or_path_is_in_any_file_of_an_encrypted_store(folder: Path, tmp_path: Path) -> None:
    note = folder / "dicom" / "PLANTED^NAME.txt"
    note.write_text("no DICOM")
    try:
        prepare_data(profile_of(folder, tmp_path, "encrypt = true"), CONFIG)
    finally:
        note.unlink()
    series, _ = find_series(folder / "dicom")
    secrets = {"PLANTED", str(folder), *(one.series_uid for one in series), *(one.patient_id for one in series)}
    files = [path for path in (tmp_path / "cases").rglob("*") if path.is_file() and path.name != LEFT_OUT]
    files = [path for path in files if path.suffix != ".lock"]
    assert len(files) == 3 + 3 * len(series)
    content = b"\n".join(str(path.relative_to(tmp_path)).encode() + path.read_bytes() for path in files)
    assert not any(secret.encode() in content for secret in secrets)
    with (tmp_path / "cases" / LEFT_OUT).open(newline="") as file:
        assert [row["code"] for row in csv.DictReader(file)].count("NOT_DICOM") == 1


def test_a_second_preparation_reads_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = profile_of(folder, tmp_path, "encrypt = true")
    told: list[tuple[int, int]] = []
    first = prepare_data(profile, CONFIG, on_headers=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 4
    monkeypatch.setattr("fedlung.preprocess.pipeline.read_series", lambda series: pytest.fail("read again"))
    assert prepare_data(profile, CONFIG) == first


def test_a_change_of_mind_about_encryption_is_refused_and_changes_nothing(folder: Path, tmp_path: Path) -> None:
    prepare_data(profile_of(folder, tmp_path), CONFIG)
    with pytest.raises(StoreError, match="is not encrypted, and encryption is asked for"):
        prepare_data(profile_of(folder, tmp_path, "encrypt = true"), CONFIG)
    assert len(load_data(profile_of(folder, tmp_path), CONFIG)) == 4


def test_a_site_that_lost_its_key_is_stopped_before_anything_is_named_anew(folder: Path, tmp_path: Path) -> None:
    profile = profile_of(folder, tmp_path)
    prepare_data(profile, CONFIG)
    (tmp_path / "site.key").unlink()
    with pytest.raises(ConfigError, match="the site's key is not there"):
        prepare_data(profile, CONFIG)


def test_stores_of_other_settings_are_named_with_their_size_and_kept(folder: Path, tmp_path: Path) -> None:
    profile = profile_of(folder, tmp_path)
    prepare_data(profile, CONFIG)
    other = RunConfig.from_run_config({**KNOBS, "prepare.spacing-mm": 3.0})
    assert unused_stores(profile, CONFIG) == []
    prepare_data(profile, other)
    ((unused, num_bytes),) = unused_stores(profile, other)
    assert num_bytes == sum(path.stat().st_size for path in unused.rglob("*") if path.is_file()) > 1000
    assert len(load_data(profile, CONFIG)) == 4
