"""From a model and a case to the case's candidates, on the site's device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from fedlung.config import DetectionConfig, PatchConfig, Precision, PrepareConfig
from fedlung.evaluation.detection.bright import Bright, bright_spots
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
    bright           windows at these spots only, and ``stride`` counts for nothing
    """

    size: int
    stride: int
    min_distance_mm: float = 6.0
    max_candidates: int = 100
    bright: Bright | None = None

    @classmethod
    def of(cls, cfg: DetectionConfig, patches: PatchConfig) -> Search:
        """The search that a run is configured for."""
        return cls(
            size=patches.size,
            stride=cfg.stride,
            min_distance_mm=cfg.min_distance_mm,
            max_candidates=cfg.max_candidates,
            bright=Bright(cfg.reach_mm, cfg.least_hu) if cfg.search == "bright" else None,
        )


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
    image_DHW, places_DHW = np.asarray(case.image_DHW), np.asarray(case.lung_DHW)  # sealed ones are opened once
    if search.bright is not None:
        places_DHW = bright_spots(image_DHW, places_DHW, search.bright, spacing_mm=case.geometry.spacing_mm)
    grid = score_windows(
        model,
        image_DHW,
        places_DHW,
        size=search.size,
        stride=search.stride if search.bright is None else 1,
        prepare=prepare,
        batch_size=batch_size,
        device=device,
        precision=precision,
        progress=progress,
    )
    return candidates_of(
        grid, case.geometry, min_distance_mm=search.min_distance_mm, max_candidates=search.max_candidates
    )
