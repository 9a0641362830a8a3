"""A small run as the server would have judged it: four sites, one held out, one without negatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedlung.config import RunConfig
from fedlung.evaluation.detection import DetectionStatistics, ScanHits, detection_statistics
from fedlung.evaluation.judgement import Absence, Judgement
from fedlung.evaluation.report import html
from fedlung.evaluation.report.pictures import Pictures, pictures
from fedlung.evaluation.standardised import SubgroupKey
from fedlung.evaluation.statistics import ScoreStatistics, score_statistics, size_logits
from fedlung.protocol import DETECTION, EvaluateReply, SiteCard, SiteLedger, SplitCounts, TrainReply
from server.evidence import Evidence, RoundReplies
from server.generalization import judge
from server.rundir import RunDir
from server.selection import select_round

PATIENTS = {"GE": 60, "Philips": 14, "SIEMENS": 25, "TOSHIBA": 18}


def scores(site: str, num_patients: int, shift: float, *, replicates: int) -> dict[str, ScoreStatistics]:
    """Four examples a patient; scores of the classes ``shift`` apart. Philips has positives only."""
    rng = np.random.default_rng(sum(site.encode()) + round(100 * shift))
    patients_N = np.repeat(np.arange(num_patients), 4)
    labels_N = np.ones(len(patients_N), int) if site == "Philips" else rng.integers(0, 2, len(patients_N))
    logits_N = rng.normal((labels_N - 0.5) * shift, 1.0)
    diameters = np.exp(rng.normal(2.0 + 0.6 * labels_N, 0.4))
    return {
        name: score_statistics(values, labels_N, patients_N, num_replicates=replicates, rng=np.random.default_rng(7))
        for name, values in (("model", logits_N), ("size", size_logits(diameters)))
    }


def reply(site: str, server_round: int, split: str, *, shift: float, replicates: int = 0) -> EvaluateReply:
    return EvaluateReply(
        site=site,
        server_round=server_round,
        split=split,
        loss=0.7 - 0.1 * shift,
        seconds=1.5,
        scores=scores(site, PATIENTS.get(site, 20), shift, replicates=replicates),
    )


def final_reply(site: str, *, replicates: int) -> EvaluateReply:
    """The final answer: with parts by size and slice thickness, of which Philips keeps one, and with detections."""
    whole = reply(site, 5, "test", shift=1.9, replicates=replicates)
    small, large = (
        scores(site, PATIENTS.get(site, 20) // 2, shift, replicates=replicates)["model"] for shift in (1.2, 2.6)
    )
    kept = {SubgroupKey("thickness", "thin"): small} if site != "Philips" else {}
    return replace(
        whole,
        subgroups={SubgroupKey("size", "<6mm"): small, SubgroupKey("size", "8-15mm"): large, **kept},
        withheld={} if kept else {SubgroupKey("thickness", "thin"): "few-patients"},
        detection={} if site == "Philips" else {DETECTION: detections(site, replicates=replicates)},
        undetected="few-patients" if site == "Philips" else "",
    )


def detections(site: str, *, replicates: int) -> DetectionStatistics:
    """A scan of each patient, with a nodule that is found in two of three and some false positives."""
    rng, num = np.random.default_rng(sum(site.encode())), PATIENTS.get(site, 20)
    scans = []
    for number in range(num):
        logits_N = rng.normal(-1.0, 1.5, 12)
        best_M = np.array([rng.normal(1.5, 1.0) if number % 3 else -np.inf])
        scans.append(ScanHits(best_M, np.ones(12, dtype=bool), np.zeros(12, dtype=bool), logits_N))
    return detection_statistics(scans, range(num), num_replicates=replicates, rng=rng)


def evidence(config: RunConfig, *, synthetic: bool = True) -> Evidence:
    held_out = config.federation.held_out_names
    sources = [site for site in config.federation.site_names if site not in held_out]
    rounds = [
        RoundReplies(
            server_round=number,
            learning_rate=1e-3 / number,
            training={site: TrainReply(site, number, 40, 5, 0.7 / number, 12.3) for site in sources},
            weights={site: 1.0 / len(sources) for site in sources},
            validation={site: reply(site, number, "validation", shift=2.6 * share) for site in sources},
            held_out={site: reply(site, number, "test", shift=2.2 * share) for site in held_out},
        )
        for number, share in ((number, number / (number + 1.5)) for number in range(1, config.federation.rounds + 1))
    ]
    names = config.federation.site_names
    return Evidence(
        cards={site: SiteCard(site, synthetic, "dicom", "cpu", {"torch": "2.13.0"}) for site in names},
        ledgers={site: ledger(site, synthetic=synthetic) for site in names},
        rounds=rounds,
        tests={site: final_reply(site, replicates=config.evaluate.replicates) for site in names},
        absences=(Absence(site="SIEMENS", stage="round 3", reason="no answer in time"),),
        run="nodule-20260102-030405",
        started="2026-01-02T03:04:05+00:00",
        finished="2026-01-02T03:09:00+00:00",
    )


def ledger(site: str, *, synthetic: bool) -> SiteLedger:
    patients = PATIENTS.get(site, 20)
    return SiteLedger(
        site=site,
        num_declared=patients + 3,
        num_readable=patients + 1,
        num_prepared=patients,
        left_out={"missing-slices": 2, "DUPLICATE_POSITION": 1},
        ignored_files={"NOT_DICOM": 4},
        unused_nodules={"readers-below-k": 17},
        remarks={"LUNGS_NOT_FOUND": 5} if site == "GE" else {},
        splits={"train": SplitCounts(12, 30, 45), "validation": SplitCounts(4, 8, 12), "test": SplitCounts(6, 10, 15)},
        data_fingerprint="0123456789abcdef",
        seconds=33.0,
        synthetic=synthetic,
    )


@pytest.fixture(scope="session")
def make_judgement() -> Callable[..., Judgement]:
    """``make_judgement(sites=..., held_out=..., synthetic=...)``."""

    def made(
        *, sites: str = "GE,Philips,SIEMENS,TOSHIBA", held_out: str = "TOSHIBA", synthetic: bool = True
    ) -> Judgement:
        checked = RunConfig.from_run_config({"evaluate.replicates": 200})
        # Unchecked, for a report must bear any name: its lines may have been written by another hand.
        federation = checked.federation.model_copy(update={"sites": sites, "held_out": held_out})
        config = checked.model_copy(update={"federation": federation})
        found = evidence(config, synthetic=synthetic)
        return judge(config, found, select_round(found.rounds, config.evaluate.select))

    return made


@pytest.fixture(scope="session")
def judgement(make_judgement: Callable[..., Judgement]) -> Judgement:
    return make_judgement()


@pytest.fixture(scope="session")
def drawn(judgement: Judgement) -> Pictures:
    """The page's figures."""
    return pictures(judgement)


@pytest.fixture(scope="session")
def page_of(drawn: Pictures) -> Callable[[Judgement], str]:
    """The page of a judgement that differs from ``judgement`` in nothing that a figure shows: none is drawn again."""

    def made(other: Judgement) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(html, "pictures", lambda _: drawn)
            return html.page(other)

    return made


@pytest.fixture(scope="session")
def text(judgement: Judgement, page_of: Callable[[Judgement], str]) -> str:
    """The page."""
    return page_of(judgement)


@pytest.fixture(scope="session")
def finish_run(judgement: Judgement) -> Callable[[Path], Path]:
    """Makes a run folder in another, as a finished run leaves it."""

    def finished(base: Path) -> Path:
        run = RunDir.create(base, "a-run", RunConfig())
        run.append("run-started", fedlung="0.1.0")
        run.append("judged", judgement=judgement.model_dump(mode="json"))
        run.append("finished")
        return run.folder

    return finished


@pytest.fixture
def run_folder(tmp_path: Path, finish_run: Callable[[Path], Path]) -> Path:
    return finish_run(tmp_path)
