"""Whole scans of a site, searched on its own device: candidates, hits, and the counts that may leave."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedlung.config import RunConfig
from fedlung.errors import DataError
from fedlung.evaluation.detection import (
    DetectionStatistics,
    ScanHits,
    Search,
    find_candidates,
    match_candidates,
    weighted_detections,
)
from fedlung.evaluation.statistics import patient_weights
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


def _hits(model: nn.Module, case: Case, config: RunConfig, device: torch.device) -> ScanHits:
    """What the model's candidates find in one case, by LUNA16's rules."""
    candidates = find_candidates(
        model,
        case,
        Search.of(config.detection, config.patches),
        prepare=config.prepare,
        batch_size=max(LEAST_BATCH, config.optimizer.batch_size),
        device=device,
        precision=config.optimizer.precision,
    )
    return match_candidates(candidates, (*case.nodules, *case.off_grid), readers=config.task.readers)
