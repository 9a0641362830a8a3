"""From a model and a case to the case's candidates, on the site's device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from fedlung.config import DetectionConfig, PatchConfig, Precision, PrepareConfig
from fedlung.evaluation.detection.blobs import blob_places
from fedlung.evaluation.detection.candidates import Candidates, candidates_of
from fedlung.model.sliding import score_windows
from fedlung.preprocess.case import Case


@dataclass(frozen=True)
class Search:
    """How a case is searched.

    size                edge of a window in voxels of the case's grid: that of the patches the model was trained on
    stride              voxels between the centres of neighbouring windows. Some window's centre lies inside a nodule
                        for sure where stride · voxel · √3 / 2 is less than its radius: on voxels of 1.25 mm that is
                        true of 98 % of LIDC's nodules of three readers at 2, of 62 % at 3 and of 36 % at 4
    min_distance_mm     no two candidates lie as near as this; two of LIDC's 1392 nodules do
    max_candidates      of one scan; the FROC cannot reach beyond that many false positives a scan
    least_curvature_hu  windows at such blobs only, and ``stride`` counts for nothing
    """

    size: int
    stride: int
    min_distance_mm: float = 6.0
    max_candidates: int = 100
    least_curvature_hu: float | None = None

    @classmethod
    def of(cls, cfg: DetectionConfig, patches: PatchConfig) -> Search:
        """The search that a run is configured for."""
        return cls(
            size=patches.size,
            stride=cfg.stride,
            min_distance_mm=cfg.min_distance_mm,
            max_candidates=cfg.max_candidates,
            least_curvature_hu=cfg.least_curvature_hu if cfg.search == "blobs" else None,
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
    least_hu = search.least_curvature_hu
    if least_hu is not None:
        spacing_mm = case.geometry.spacing_mm
        places_DHW = blob_places(image_DHW, places_DHW, least_curvature_hu=least_hu, spacing_mm=spacing_mm)
    grid = score_windows(
        model,
        image_DHW,
        places_DHW,
        size=search.size,
        stride=search.stride if least_hu is None else 1,
        prepare=prepare,
        batch_size=batch_size,
        device=device,
        precision=precision,
        progress=progress,
    )
    return candidates_of(
        grid, case.geometry, min_distance_mm=search.min_distance_mm, max_candidates=search.max_candidates
    )
