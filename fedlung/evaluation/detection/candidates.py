"""From scores on a grid to candidates: local maxima, none of them too near to a better one.

N candidates; index space is zyx, the patient's space is xyz in mm (LPS).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from fedlung.ct.geometry import Geometry
from fedlung.errors import DataError
from fedlung.model.sliding import ScoreGrid

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Places of one scan that may be nodules, the best first.

    logits_N      (N,) falling scores
    center_mm_N3  (N, 3) xyz in LPS
    index_N3      (N, 3) fractional zyx indices on the case's grid
    """

    logits_N: Floats
    center_mm_N3: Floats
    index_N3: Floats

    def __len__(self) -> int:
        return len(self.logits_N)


def candidates_of(grid: ScoreGrid, geometry: Geometry, *, min_distance_mm: float, max_candidates: int) -> Candidates:
    """At most ``max_candidates`` local maxima, no two of them within ``min_distance_mm`` of each other.

    Greedy: the best is kept, whatever lies within the distance of it goes, and so on. Equal scores are taken in the
    order of their position, so that a grid gives one answer on every machine. Raises DataError for scores that are no
    numbers.
    """
    if np.isnan(grid.logits_DHW).any() or np.isposinf(grid.logits_DHW).any():
        text = "scores are not finite: the model has diverged"
        raise DataError(text, public=text)
    cells_N3 = local_maxima(grid.logits_DHW)
    logits_N = grid.logits_DHW[tuple(cells_N3.T)]
    index_N3 = grid.index_of(cells_N3 + vertex_offsets(grid.logits_DHW, cells_N3))
    order_N = np.lexsort((*index_N3.T[::-1], -logits_N))
    center_mm_N3 = geometry.index_to_world(index_N3)
    kept_N = order_N[spread_out(center_mm_N3[order_N], min_distance_mm=min_distance_mm, most=max_candidates)]
    return Candidates(logits_N[kept_N], center_mm_N3[kept_N], index_N3[kept_N])


def local_maxima(logits_DHW: Floats) -> Integers:
    """(N, 3) cells that no one of their 26 neighbours exceeds. All cells of a plateau are; -inf is none."""
    highest_DHW = maximum_filter(logits_DHW, size=3, mode="constant", cval=-np.inf)
    return np.argwhere((logits_DHW == highest_DHW) & np.isfinite(logits_DHW))


def vertex_offsets(logits_DHW: Floats, cells_N3: Integers) -> Floats:
    """(N, 3) in [-.5, .5]: from each local maximum to the vertex of the parabola through it and its two neighbours.

    Axis by axis; exact where the score is a sum of parabolas. 0 along an axis on which a neighbour was not scored, or
    on which the three are equal.
    """
    padded_DHW = np.pad(logits_DHW, 1, constant_values=-np.inf)
    here_N = logits_DHW[tuple(cells_N3.T)]
    offsets_N3 = np.zeros(cells_N3.shape)
    for axis, step_3 in enumerate(np.eye(3, dtype=np.int64)):
        before_N, behind_N = (padded_DHW[tuple((cells_N3 + 1 + sign * step_3).T)] for sign in (-1, 1))
        known_N = np.isfinite(before_N) & np.isfinite(behind_N) & (before_N + behind_N < 2 * here_N)
        before_N, behind_N, middle_N = before_N[known_N], behind_N[known_N], here_N[known_N]
        offsets_N3[known_N, axis] = (behind_N - before_N) / (2 * (2 * middle_N - before_N - behind_N))
    return offsets_N3.clip(-0.5, 0.5)


def spread_out(center_mm_N3: Floats, *, min_distance_mm: float, most: int) -> Integers:
    """Indices of the points that greedy suppression keeps: from the first on, each farther than the distance from all
    that are kept already, ``most`` at most."""
    kept: list[int] = []
    if not len(center_mm_N3):
        return np.zeros(0, dtype=np.int64)
    tree = cKDTree(center_mm_N3)
    free_N = np.ones(len(center_mm_N3), dtype=bool)
    for index, center_mm_3 in enumerate(center_mm_N3):
        if len(kept) == most:
            break
        if free_N[index]:
            kept.append(index)
            free_N[tree.query_ball_point(center_mm_3, min_distance_mm)] = False
    return np.array(kept, dtype=np.int64)
