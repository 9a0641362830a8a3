"""Which candidates of a scan find its nodules, and which are false: the rules of the LUNA16 challenge.

N candidates, M relevant nodules, L all findings of the scan.

Source: Setio et al., "Validation, comparison, and combination of algorithms for automatic detection of pulmonary
nodules in computed tomography images: The LUNA16 challenge", Med Image Anal 42, 2017, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedlung.ct.nodule import Nodule
from fedlung.evaluation.detection.candidates import Candidates

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LEAST_DIAMETER_MM = 3.0
MISSED = -np.inf


@dataclass(frozen=True, eq=False)
class ScanHits:
    """What the candidates of one scan found.

    nodule_logits_M      score of each relevant nodule's best hit; -inf: missed at every threshold
    false_positives_N    (N,) bool, candidates that hit no finding at all
    ignored_N            (N,) bool, candidates that hit irrelevant findings only: neither right nor wrong
    logits_N             scores of the candidates
    """

    nodule_logits_M: Floats
    false_positives_N: Bools
    ignored_N: Bools
    logits_N: Floats


def is_relevant(nodule: Nodule, *, readers: int) -> bool:
    """Whether a nodule has to be found: marked by enough readers and at least 3 mm. Every other finding is irrelevant:
    a candidate on it is no mistake."""
    return nodule.readers >= readers and nodule.diameter_mm >= LEAST_DIAMETER_MM


def match_candidates(candidates: Candidates, findings: Sequence[Nodule], *, readers: int) -> ScanHits:
    """What of a scan was found, by LUNA16's rules.

    A candidate hits a finding when it is nearer to its centre than its radius. A relevant nodule counts once, with the
    best of its hits; its other hits are neither true nor false. A candidate within two nodules' radii is a hit of both
    of them, for it would lead a reader to both; one that hits a relevant and an irrelevant finding is a hit.
    """
    hits_NL = _hits(candidates.center_mm_N3, findings)
    relevant_L = np.array([is_relevant(nodule, readers=readers) for nodule in findings], dtype=bool)
    hits_NM = hits_NL[:, relevant_L]
    best_M = np.where(hits_NM, candidates.logits_N[:, None], MISSED).max(axis=0, initial=MISSED)
    return ScanHits(
        nodule_logits_M=best_M,
        false_positives_N=~np.any(hits_NL, axis=1),
        ignored_N=np.any(hits_NL, axis=1) & ~np.any(hits_NM, axis=1),
        logits_N=candidates.logits_N,
    )


def _hits(center_mm_N3: Floats, findings: Sequence[Nodule]) -> Bools:
    """(N, L): whether each candidate lies inside each finding, taken as a ball."""
    finding_mm_L3 = np.array([nodule.center_mm for nodule in findings], dtype=np.float64).reshape(-1, 3)
    radius_mm_L = np.array([nodule.diameter_mm / 2 for nodule in findings], dtype=np.float64)
    offset_mm_NL3 = center_mm_N3[:, None] - finding_mm_L3
    return (offset_mm_NL3**2).sum(axis=-1) < radius_mm_L**2
