"""What a site says of its scores: integer histograms that add up to the pooled ones.

A site's AUC cannot be averaged into the pooled AUC; its histogram can be added. Scores are binned on the logit scale,
because a trained network's probabilities crowd near 0 and 1.

``R`` bootstrap replicates, ``K`` bins, ``C = 2`` classes (0 negative, 1 positive).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LOGIT_LIMIT = 12.0
NUM_BINS = 480  # .05 wide on the logit scale; the outermost ones hold everything beyond the limit
LOGIT_EDGES = np.linspace(-LOGIT_LIMIT, LOGIT_LIMIT, NUM_BINS + 1)


@dataclass(frozen=True)
class ScoreStatistics:
    """Mergeable statistics of one site's scores on one split.

    histogram_CK      (2, NUM_BINS) int64, examples by class and score bin
    squared_error     sum of (probability - label)² (Brier's numerator)
    num_patients      patients behind them
    replicates_RCK    (R, 2, NUM_BINS) int32, the same histogram of each Poisson bootstrap replicate by patient
    squared_error_R   (R,) float64
    """

    histogram_CK: npt.NDArray[np.int64]
    squared_error: float
    num_patients: int
    replicates_RCK: npt.NDArray[np.int32]
    squared_error_R: npt.NDArray[np.float64]

    @property
    def num_negative(self) -> int:
        return int(self.histogram_CK[0].sum())

    @property
    def num_positive(self) -> int:
        return int(self.histogram_CK[1].sum())

    def __add__(self, other: ScoreStatistics) -> ScoreStatistics:
        """The statistics of both sites together; replicate b is the sum of both sites' replicate b."""
        return ScoreStatistics(
            histogram_CK=self.histogram_CK + other.histogram_CK,
            squared_error=self.squared_error + other.squared_error,
            num_patients=self.num_patients + other.num_patients,
            replicates_RCK=self.replicates_RCK + other.replicates_RCK,
            squared_error_R=self.squared_error_R + other.squared_error_R,
        )
