"""What a site says of its detections: integer histograms that add up to the pooled ones.

``R`` bootstrap replicates, ``K`` score bins (those of ``evaluation/statistics.py``), ``C = 2`` classes (0 false
positive, 1 found nodule), ``S`` scans, ``P`` patients, ``N`` false positives and found nodules, ``M`` occupied cells of
the 2·K.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from fedlung.errors import DataError, ProtocolError
from fedlung.evaluation.detection.matching import ScanHits
from fedlung.evaluation.detection.validation import validate
from fedlung.evaluation.statistics import (
    NUM_BINS,
    NUM_CELLS,
    Arrays,
    Integers,
    bin_of,
    replicate_histograms,
    smallest,
)

FALSE_POSITIVE, FOUND = 0, 1


@dataclass(frozen=True, eq=False)
class DetectionStatistics:
    """Mergeable statistics of one site's detections on one split.

    histogram_CK      (2, NUM_BINS) int64: false positives by score, and found nodules by the score of their best hit
    num_missed        nodules without a hit
    num_scans         scans, those without a nodule or a candidate too
    num_patients      patients behind them
    replicates_RCK    (R, 2, NUM_BINS) int32, the same histogram of each Poisson bootstrap replicate by patient
    num_missed_R      (R,) int32
    num_scans_R       (R,) int32
    """

    histogram_CK: npt.NDArray[np.int64]
    num_missed: int
    num_scans: int
    num_patients: int
    replicates_RCK: npt.NDArray[np.int32]
    num_missed_R: npt.NDArray[np.int32]
    num_scans_R: npt.NDArray[np.int32]

    @property
    def num_nodules(self) -> int:
        """All nodules that had to be found."""
        return int(self.histogram_CK[FOUND].sum()) + self.num_missed

    @property
    def num_replicates(self) -> int:
        return len(self.num_scans_R)

    def __add__(self, other: DetectionStatistics) -> DetectionStatistics:
        """The statistics of both sites together, exactly; replicate b is the sum of both sites' replicate b.

        Raises ProtocolError where the sites drew different numbers of replicates.
        """
        if self.num_replicates != other.num_replicates:
            raise ProtocolError(
                f"detections with {self.num_replicates} and {other.num_replicates} bootstrap replicates do not add "
                "up; ask every site for the same number (evaluate.replicates)"
            )
        return DetectionStatistics(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """A small lossless form: the occupied cells only, each array in the smallest type that holds it.

        cells_M (class · NUM_BINS + bin), counts_M, replicates_RM, num_missed_R, num_scans_R, num_missed_1,
        num_scans_1, num_patients_1.
        """
        histogram = self.histogram_CK.reshape(NUM_CELLS)
        cells_M = np.flatnonzero(histogram)
        return {
            "cells_M": cells_M.astype(np.uint16),
            "counts_M": smallest(histogram[cells_M]),
            "replicates_RM": smallest(self.replicates_RCK.reshape(self.num_replicates, NUM_CELLS)[:, cells_M]),
            "num_missed_R": smallest(self.num_missed_R),
            "num_scans_R": smallest(self.num_scans_R),
            **{
                f"{name}_1": np.array([getattr(self, name)], dtype=np.int64)
                for name in ("num_missed", "num_scans", "num_patients")
            },
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> DetectionStatistics:
        """The inverse of ``to_arrays``. Raises ProtocolError for anything that ``to_arrays`` cannot have made."""
        validate(arrays)
        cells_M, replicates_RM = arrays["cells_M"], arrays["replicates_RM"]
        histogram = np.zeros(NUM_CELLS, dtype=np.int64)
        histogram[cells_M] = arrays["counts_M"]
        replicates = np.zeros((len(replicates_RM), NUM_CELLS), dtype=np.int32)
        replicates[:, cells_M] = replicates_RM
        return cls(
            histogram_CK=histogram.reshape(2, NUM_BINS),
            replicates_RCK=replicates.reshape(-1, 2, NUM_BINS),
            num_missed_R=arrays["num_missed_R"].astype(np.int32),
            num_scans_R=arrays["num_scans_R"].astype(np.int32),
            **{name: int(arrays[f"{name}_1"][0]) for name in ("num_missed", "num_scans", "num_patients")},
        )


def detection_statistics(
    scans: Sequence[ScanHits], patients_S: npt.ArrayLike, *, num_replicates: int, rng: np.random.Generator
) -> DetectionStatistics:
    """Statistics of scans with the Poisson bootstrap weights that ``rng`` draws; see ``weighted_detections``."""
    num_patients = len(np.unique(np.asarray(patients_S)))
    return weighted_detections(scans, patients_S, rng.poisson(1.0, size=(num_replicates, num_patients)))


def weighted_detections(
    scans: Sequence[ScanHits], patients_S: npt.ArrayLike, weights_RP: Integers
) -> DetectionStatistics:
    """Statistics of scans with their Poisson bootstrap by patient; ``patients_S`` names the patient of each scan, and
    column p of the weights is the p-th patient by name (see ``patient_weights``).

    In replicate r patient p counts W_RP ~ Poisson(1) times with all scans, nodules and false positives; the sum over
    sites of replicate r is the pooled replicate r. LUNA16 draws scans; a patient's scans are no independent ones.

    What would void the promise that no scan's detections leave the site: whoever knows W can solve the linear system
    ``replicates = W · patients`` for every patient's own counts as soon as R reaches P, and ``num_scans_R`` tells of
    each replicate how many it holds. The weights must therefore come from a secret of the site itself, never from the
    run's seed, in a deployment. A site of very few patients promises little in any case: the statistics of one
    scan are that scan's. And whoever asks twice, with one patient more the second time, has that patient as the
    difference. A histogram holds no position, no name and no pixel.

    Raises DataError for scores that are no numbers, and for scans and patients that are not as many.
    """
    patients, patient_of_S = np.unique(np.asarray(patients_S), return_inverse=True)
    _check(scans, patient_of_S)
    cells = [_cells(scan) for scan in scans]
    missed_S = np.array([int(np.isneginf(scan.nodule_logits_M).sum()) for scan in scans], dtype=np.int64)
    cell_of_N = np.concatenate([np.zeros(0, dtype=np.int64), *cells])
    patient_of_N = np.repeat(patient_of_S, [len(own) for own in cells])
    weights_RS = weights_RP[:, patient_of_S]
    return DetectionStatistics(
        histogram_CK=np.bincount(cell_of_N, minlength=NUM_CELLS).reshape(2, NUM_BINS),
        num_missed=int(missed_S.sum()),
        num_scans=len(scans),
        num_patients=len(patients),
        replicates_RCK=replicate_histograms(weights_RP, patient_of_N, cell_of_N),
        num_missed_R=(weights_RS @ missed_S).astype(np.int32),
        num_scans_R=weights_RS.sum(axis=1).astype(np.int32),
    )


def add_detections(statistics: Sequence[DetectionStatistics]) -> DetectionStatistics:
    """The pooled statistics, whatever the order; of none, ProtocolError."""
    if not statistics:
        raise ProtocolError("no detections to add: no site has answered")
    return reduce(add, statistics)


def _cells(scan: ScanHits) -> Integers:
    """The cell of each false positive and of each found nodule."""
    false_positives = bin_of(scan.logits_N[scan.false_positives_N])
    found = bin_of(scan.nodule_logits_M[~np.isneginf(scan.nodule_logits_M)])
    return np.concatenate([FALSE_POSITIVE * NUM_BINS + false_positives, FOUND * NUM_BINS + found])


def _check(scans: Sequence[ScanHits], patient_of_S: Integers) -> None:
    if len(scans) != len(patient_of_S):
        text = f"every scan has a patient: found {len(scans)} scans and {len(patient_of_S)} patients"
        raise DataError(text, public=text)
    if not all(np.isfinite(scan.logits_N).all() and (scan.nodule_logits_M < np.inf).all() for scan in scans):
        text = "scores of candidates are not finite: the model has diverged"
        raise DataError(text, public=text)
