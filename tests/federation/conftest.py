"""A whole federation in one process: Flower's apps as they are, over a grid without sockets, and small sites to run.

The sites read a patch archive of random cubes, the positive ones with a bright ball in the middle: the quickest way
through all of the real code.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedlung.config import RunConfig
from fedlung.ct.find import find_series
from fedlung.ct.phantom import PhantomConfig, write_phantom
from fedlung.evaluation.judgement import Judgement
from fedlung.evaluation.report import html
from fedlung.evaluation.report.pictures import Pictures, pictures
from fedlung.launch.inprocess import RUN_ID, ClientCall, InProcessGrid
from fedlung.patches.archive import PatchArchive
from fedlung.training.checkpoint import load_checkpoint
from server.app import app as server_app
from sites.app import app as client_app

EDGE = 16
SITES = ("Alpha", "Beta", "Gamma", "Omega")
QUICK = {
    "task.name": "malignancy",
    "patches.size": EDGE,
    "augment.enabled": False,
    "model.width": 4,
    "model.stem": "quarter",
    "optimizer.batch-size": 8,
    "federation.sites": ",".join(SITES),
    "federation.held-out": "Omega",
    "federation.rounds": 2,
    "federation.local-epochs": 1,
    "federation.roll-call-timeout-s": 0.3,
    "federation.prepare-timeout-s": 0.3,
    "federation.round-timeout-s": 0.3,
    "evaluate.replicates": 20,
}


@dataclass
class LocalGrid(InProcessGrid):
    """The in-process grid, watched and disturbed.

    ``between`` may change or drop a node's answer, ``shuffled`` lets each answer arrive at another time.
    """

    client: ClientCall = client_app
    between: Callable[[int, Message], Message | None] = lambda node_id, reply: reply
    shuffled: random.Random | None = None
    sent: list[Message] = field(default_factory=list)
    answered: list[Message] = field(default_factory=list)

    def take(self, message: Message, reply: Message) -> None:
        self.sent.append(message)
        changed = self.between(message.metadata.dst_node_id, reply)
        if changed is not None:
            self.answered.append(changed)
            super().take(message, changed)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        asked = [message_id for message_id in message_ids if message_id in self.replies]
        if self.shuffled is not None:
            self.shuffled.shuffle(asked)
            asked = [message_id for message_id in asked if self.shuffled.random() < 0.7]
        return super().pull_messages(asked)


@dataclass
class Federation:
    """Small sites on disk, and runs of them."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def write(self, archive: PatchArchive, sites: Iterable[str] = SITES) -> None:
        """A federation folder of these sites, all with the same archive."""
        archive.save(self.folder / "archive.npz")
        for site in sites:
            (self.folder / site).mkdir(exist_ok=True)
            profile = f'name = "{site}"\narchive = "../archive.npz"\ndevice = "cpu"\nsynthetic = true\n'
            (self.folder / site / "site.toml").write_text(profile, encoding="utf-8")
        self.monkeypatch.setenv("FEDLUNG_SITES", str(self.folder))

    def grid(self, nodes: Iterable[int] = range(len(SITES)), **knobs: Any) -> LocalGrid:
        """A grid whose nodes are these partitions."""
        config = {**RunConfig().to_run_config(), **QUICK, "folder": str(self.folder / "runs"), **knobs}
        nodes = list(nodes)
        return LocalGrid(
            {1000 + i: {"partition-id": i, "num-partitions": len(nodes)} for i in nodes}, run_config=config
        )

    def run(self, grid: LocalGrid, name: str = "run") -> RunFolder:
        """One whole run through the ServerApp."""
        run_config = {**grid.run_config, "name": name}
        for context in grid.contexts.values():
            context.run_config = run_config
        server_app(grid, Context(RUN_ID, 0, {}, RecordDict(), run_config))
        return self.opened(name)

    def opened(self, name: str) -> RunFolder:
        """The folder of a run that has ended, well or not."""
        return RunFolder(self.folder / "runs" / name)


@dataclass(frozen=True)
class RunFolder:
    """What a run left behind."""

    path: Path

    @property
    def report(self) -> dict[str, Any]:
        return json.loads((self.path / "report.json").read_text(encoding="utf-8"))

    @property
    def numbers(self) -> dict[str, Any]:
        """The report without clock times."""
        return {key: value for key, value in self.report.items() if key != "timings"}

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = (self.path / "rounds.jsonl").read_text(encoding="utf-8").splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def weights(self, server_round: int) -> dict[str, bytes]:
        """The global weights after a round, to the last bit."""
        path = self.path / "checkpoints" / f"round-{server_round:04d}.safetensors"
        return {name: tensor.numpy().tobytes() for name, tensor in load_checkpoint(path).state.items()}

    def site(self, name: str) -> dict[str, Any]:
        """A site's row of the report."""
        return next(row for row in self.report["sites"] if row["name"] == name)


def make_archive(sites: Iterable[str] = SITES, *, num_patients: int = 12, seed: int = 0) -> PatchArchive:
    """Two cubes of noise for each patient; every other patient's have a bright ball in the middle."""
    rng = np.random.default_rng(seed)
    site_N = np.repeat(list(sites), 2 * num_patients)
    patient_N = np.array([f"{site}-{index // 2}" for index, site in enumerate(site_N)])
    label_N = np.array([index // 2 % 2 for index in range(len(site_N))], dtype=np.int64)
    axes = np.meshgrid(*[np.arange(EDGE) - (EDGE - 1) / 2] * 3, indexing="ij")
    ball_DHW = sum(axis**2 for axis in axes) < 16.0
    cubes_NDHW = rng.integers(0, 80, size=(len(site_N), EDGE, EDGE, EDGE), dtype=np.uint8)
    cubes_NDHW[label_N == 1] += (ball_DHW * 120).astype(np.uint8)
    return PatchArchive(
        cubes_NDHW=cubes_NDHW,
        site_N=site_N,
        patient_N=patient_N,
        label_N=label_N,
        malignancy_N=np.where(label_N == 1, 4.5, 1.5).astype(np.float32),
        readers_N=np.full(len(site_N), 4, dtype=np.int64),
        diameter_mm_N=(6.0 + 4.0 * label_N + rng.normal(0, 2.0, len(site_N)).clip(-4, 4)).astype(np.float32),
        split_N=np.full(len(site_N), ""),
        texture_N=np.full(len(site_N), np.nan, dtype=np.float32),
        thickness_mm_N=np.where(np.arange(len(site_N)) % 8 < 4, 1.0, 2.0).astype(np.float32),
        kernel_N=np.full(len(site_N), ""),
        spacing_mm=1.0,
        source="random cubes for tests",
        synthetic=True,
    )


NAME = "MUELLER^HANNELORE"
PATIENT_ID = "PID-19470211"
NOTE = "scan-of-HANNELORE.txt"
PLANTED_TAGS = {
    "PatientName": NAME,
    "PatientID": PATIENT_ID,
    "OtherPatientIDs": PATIENT_ID,
    "PatientComments": NAME,
    "StudyDescription": NAME,
    "SeriesDescription": NAME,
    "InstitutionName": NAME,
    "ReferringPhysicianName": NAME,
    "AccessionNumber": PATIENT_ID,
}


@dataclass(frozen=True)
class Planted:
    """A federation folder in which a patient's name stands wherever a hospital may have it."""

    folder: Path
    uids: frozenset[str]
    note: str = NOTE

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be in no log, no answer and no report."""
        return ("MUELLER", "HANNELORE", PATIENT_ID, *self.uids)


@pytest.fixture
def planted() -> Callable[[Path, Iterable[str]], Planted]:
    """Makes sites of DICOM below a folder with the name; one patient of each bears it.

    A torn file and a note lie beside, by its name too.
    """

    def make(folder: Path, sites: Iterable[str]) -> Planted:
        own = folder / NAME
        write_phantom(own, PhantomConfig(patients_per_site=4, matrix=96, coverage_mm=50.0), sites=sites, workers=1)
        for site in sites:
            _plant(own / site / "dicom")
        return Planted(own, frozenset(one.series_uid for one in find_series(own)[0]))

    return make


def _plant(dicom: Path) -> None:
    patient = dicom / NAME
    shutil.move(sorted(dicom.iterdir())[0], patient)
    slices = sorted(path for path in patient.rglob("*") if path.is_file())
    for path in slices:
        dataset = pydicom.dcmread(path)
        for keyword, value in PLANTED_TAGS.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
    (dicom / f"{NAME}.dcm").write_bytes(slices[0].read_bytes()[:300])
    (patient / NOTE).write_text("no DICOM", encoding="utf-8")


@pytest.fixture(autouse=True, scope="session")
def _figures_are_drawn_once() -> Iterator[None]:
    """Drawing takes as long as a run: a page of the same sites has the first one's. No test here looks at them."""
    drawn: dict[tuple[object, ...], Pictures] = {}

    def pictures_of(judgement: Judgement) -> Pictures:
        searched = judgement.detection.rows if judgement.detection else ()
        shown = (*(row.name for row in judgement.sites), *(row.site for row in searched))
        if shown not in drawn:
            drawn[shown] = pictures(judgement)
        return drawn[shown]

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(html, "pictures", pictures_of)
        yield


@pytest.fixture(autouse=True, scope="session")
def _task_identity() -> Iterator[None]:
    """Flower makes no message outside of a task of its own."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in ("task_id", "run_id", "node_id"):
            monkeypatch.setattr(TaskIdentity, f"_{name}", 1)
        yield


@pytest.fixture
def archive() -> Callable[..., PatchArchive]:
    """Makes an archive of small sites."""
    return make_archive


def make_federation(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Federation:
    """Four small sites, the last of them held out."""
    small = Federation(folder, monkeypatch)
    small.write(make_archive())
    return small


@pytest.fixture
def federation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Federation:
    """A federation of one test's own."""
    return make_federation(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def shared_federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """The same, for a run that several tests look at; ask for it before ``federation``."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield make_federation(tmp_path_factory.mktemp("shared"), monkeypatch)
