"""Whole scans of a site, searched on its own device: to count what is found, or to learn from where a model erred."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedlung.config import RunConfig
from fedlung.errors import DataError
from fedlung.evaluation.detection import (
    Candidates,
    DetectionStatistics,
    ScanHits,
    Search,
    find_candidates,
    match_candidates,
    weighted_detections,
)
from fedlung.evaluation.statistics import patient_weights
from fedlung.patches.mining import hard_negatives
from fedlung.preprocess.case import Case
from fedlung.protocol import DETECTION, Undetected

LEAST_BATCH = 64  # of windows; nothing is trained with them, and smaller ones take longer


class MeanLogit(nn.Module):
    """Several models as one: the mean of their logits."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(models)

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """(B,) logits."""
        return torch.stack([member(x_BCDHW) for member in self.members]).mean(dim=0)


def detected(
    models: Sequence[nn.Module],
    cases: Sequence[Case],
    config: RunConfig,
    *,
    num_replicates: int,
    bootstrap_seed: int,
    fewest: int,
    device: torch.device,
) -> tuple[dict[str, DetectionStatistics], Undetected]:
    """The counts of the cases' scans under ``DETECTION``, or nothing and why; ``fewest``: patients that are told of."""
    patients = sorted({case.patient_key for case in cases})
    if not cases:
        return {}, "no-scans"
    if len(patients) < fewest:
        return {}, "few-patients"
    model = models[0] if len(models) == 1 else MeanLogit(models)
    try:
        scans = [_hits(model, case, config, device) for case in cases]
    except DataError:
        return {}, "scores-not-finite"
    weights_RP = patient_weights(patients, num_replicates=num_replicates, seed=bootstrap_seed)
    return {DETECTION: weighted_detections(scans, [case.patient_key for case in cases], weights_RP)}, ""


def mined(
    model: nn.Module, cases: Sequence[Case], config: RunConfig, *, device: torch.device
) -> dict[str, npt.NDArray[np.int64]]:
    """(M, 3) zyx voxels by case_id: where the model sees nodules in cases that have none there; they stay at the site.

    Raises DataError where the model's scores are no numbers.
    """
    places = {case.case_id: _hardest(_candidates(model, case, config, device), case, config) for case in cases}
    return {case_id: voxel_N3 for case_id, voxel_N3 in places.items() if len(voxel_N3)}


def _hardest(candidates: Candidates, case: Case, config: RunConfig) -> npt.NDArray[np.int64]:
    return hard_negatives(
        candidates.index_N3,
        candidates.logits_N,
        nodule_index_M3=case.nodule_centers_N3,
        nodule_diameter_mm_M=np.array([nodule.diameter_mm for nodule in case.nodules]),
        shape_DHW=case.geometry.shape_DHW,
        spacing_mm=case.geometry.spacing_mm,
        exclusion_mm=config.patches.exclusion_mm,
        most=config.patches.mined,
    )


def _hits(model: nn.Module, case: Case, config: RunConfig, device: torch.device) -> ScanHits:
    """What the model's candidates find in one case, by LUNA16's rules."""
    findings = (*case.nodules, *case.off_grid)
    return match_candidates(_candidates(model, case, config, device), findings, readers=config.task.readers)


def _candidates(model: nn.Module, case: Case, config: RunConfig, device: torch.device) -> Candidates:
    return find_candidates(
        model,
        case,
        Search.of(config.detection, config.patches),
        prepare=config.prepare,
        batch_size=max(LEAST_BATCH, config.optimizer.batch_size),
        device=device,
        precision=config.optimizer.precision,
    )
