"""The points of a reliability diagram: what was predicted against what was seen."""

from __future__ import annotations

import numpy as np

from fedlung.evaluation.calibration import NUM_GROUPS, PROBABILITY_K, group_of_bins, sum_by_group
from fedlung.evaluation.estimates import ReliabilityPoint
from fedlung.evaluation.intervals import interval
from fedlung.evaluation.metrics import ratio
from fedlung.evaluation.statistics import ScoreStatistics

FEWEST_IN_A_POINT = 10


def reliability(statistics: ScoreStatistics, *, confidence: float) -> tuple[ReliabilityPoint, ...]:
    """Groups of equal mass by rising score: mean probability, share of positives with its interval, and counts.

    As many as the calibration error has (15), and fewer where a group would have fewer than ten examples: a share of
    three examples is no point to look at. The groups are those of the sample in every replicate. () without examples.
    """
    num_groups = int(np.clip(statistics.num_examples // FEWEST_IN_A_POINT, 1, NUM_GROUPS))
    group_K = group_of_bins(statistics.histogram_CK, num_groups)
    counts_CK = statistics.histogram_CK
    expected_G = sum_by_group(counts_CK.sum(axis=0) * PROBABILITY_K, group_K, num_groups)
    negative_G, positive_G = (sum_by_group(counts_K, group_K, num_groups).astype(int) for counts_K in counts_CK)
    member_KG = (group_K[:, None] == np.arange(num_groups)).astype(np.int64)
    negative_RG, positive_RG = (statistics.replicates_RCK[:, label] @ member_KG for label in (0, 1))
    shares_RG = ratio(positive_RG, positive_RG + negative_RG)
    return tuple(
        ReliabilityPoint(
            predicted=float(expected_G[g] / (positive_G[g] + negative_G[g])),
            observed=interval(
                float(positive_G[g] / (positive_G[g] + negative_G[g])),
                shares_RG[:, g],
                confidence=confidence,
                num_patients=statistics.num_patients,
                why="",
            ),
            num_positive=int(positive_G[g]),
            num_negative=int(negative_G[g]),
        )
        for g in np.flatnonzero(positive_G + negative_G)
    )
