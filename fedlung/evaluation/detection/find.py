"""From a model and a case to the case's candidates, on the site's device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from fedlung.config import Precision, PrepareConfig
from fedlung.evaluation.detection.candidates import Candidates, candidates_of
from fedlung.model.sliding import score_windows
from fedlung.preprocess.case import Case


@dataclass(frozen=True)
class Search:
    """How a case is searched.

    size             edge of a window in voxels of the case's grid: that of the patches the model was trained on
    stride           voxels between the centres of neighbouring windows. Some window's centre lies inside a nodule for
                     sure where stride · voxel · √3 / 2 is less than its radius: on voxels of 1.25 mm that is true of
                     98 % of LIDC's nodules of three readers at 2, of 62 % at 3 and of 36 % at 4
    min_distance_mm  no two candidates lie as near as this; two of LIDC's 1392 nodules do
    max_candidates   of one scan; the FROC cannot reach beyond that many false positives a scan
    """

    size: int
    stride: int
    min_distance_mm: float = 6.0
    max_candidates: int = 100


def find_candidates(
    model: nn.Module,
    case: Case,
    search: Search,
    *,
    prepare: PrepareConfig,
    batch_size: int,
    device: torch.device,
    precision: Precision,
    progress: Callable[[int, int], None] | None = None,
) -> Candidates:
    """Where in the lungs of the case the model sees nodules; ``progress`` is told (windows scored, all windows).

    Raises DataError where the model's scores are no numbers.
    """
    grid = score_windows(
        model,
        case.image_DHW,
        case.lung_DHW,
        size=search.size,
        stride=search.stride,
        prepare=prepare,
        batch_size=batch_size,
        device=device,
        precision=precision,
        progress=progress,
    )
    return candidates_of(
        grid, case.geometry, min_distance_mm=search.min_distance_mm, max_candidates=search.max_candidates
    )
