"""From a grid of scores to candidates: maxima, their vertices, and no two of them too near."""

from __future__ import annotations

import numpy as np
import pytest

from fedlung.ct.geometry import Geometry
from fedlung.errors import DataError
from fedlung.evaluation.detection.candidates import Candidates, candidates_of, local_maxima, spread_out
from fedlung.model.sliding import ScoreGrid

GEOMETRY = Geometry((40, 40, 40), (2.0, 1.0, 1.0), (-10.0, 5.0, 100.0))
FIRST_3 = np.array([1.5, 0.5, 0.5])


def grid(logits_DHW: np.ndarray, stride: int = 4) -> ScoreGrid:
    return ScoreGrid(logits_DHW, FIRST_3, stride)


def peaks(*cells: tuple[int, int, int, float], shape: tuple[int, int, int] = (9, 9, 9)) -> ScoreGrid:
    """Single cells with a score on a floor of -5, with no slope anywhere else."""
    logits_DHW = np.full(shape, -5.0)
    logits_DHW[0] = -np.inf
    for z, y, x, logit in cells:
        logits_DHW[z, y, x] = logit
    return grid(logits_DHW)


def found(scores: ScoreGrid, *, min_distance_mm: float = 3.0, max_candidates: int = 100) -> Candidates:
    return candidates_of(scores, GEOMETRY, min_distance_mm=min_distance_mm, max_candidates=max_candidates)


def test_the_vertex_of_a_sum_of_parabolas_is_found_exactly() -> None:
    vertex_3, curvature_3 = np.array([3.3, 4.8, 2.6]), np.array([0.5, 2.0, 1.0])
    cells = np.moveaxis(np.indices((9, 9, 9)), 0, -1)
    one = found(grid(3.0 - ((cells - vertex_3) ** 2 * curvature_3).sum(axis=-1)))
    assert len(one) == 1
    np.testing.assert_allclose(one.index_N3, [FIRST_3 + 4 * vertex_3], rtol=1e-12)
    np.testing.assert_allclose(one.center_mm_N3, GEOMETRY.index_to_world(one.index_N3), rtol=1e-12)
    # The score is that of the window that was scored, at (3, 5, 3): .5 · .3² + 2 · .2² + .4² = .285.
    assert one.logits_N[0] == pytest.approx(3.0 - 0.285)


def test_beside_what_was_not_scored_a_maximum_stays_on_its_cell_along_that_axis() -> None:
    logits_DHW = np.full((3, 3, 3), -np.inf)
    logits_DHW[1, 1] = [0.0, 2.0, 1.0]  # vertex of 0, 2, 1: 1 / (2 · 3) behind the middle
    one = found(grid(logits_DHW))
    np.testing.assert_allclose(one.index_N3, [FIRST_3 + 4 * np.array([1, 1, 1 + 1 / 6])])


def test_a_plateau_gives_its_first_place_and_those_beyond_the_distance_in_order() -> None:
    """2 by 1 by 4 equal cells, 4 mm apart along x. A cell at the plateau's end has its vertex half a cell towards its
    equal neighbour: at 2.5 along z, and along x at 3.5, 4, 5 and 5.5, of which 5 mm keep the first and the third."""
    logits_DHW = np.full((6, 5, 9), -5.0)
    logits_DHW[2:4, 2, 3:7] = 1.0
    kept = found(grid(logits_DHW), min_distance_mm=5.0)
    assert ((kept.index_N3[kept.logits_N == 1.0] - FIRST_3) / 4).tolist() == [[2.5, 2.0, 3.5], [2.5, 2.0, 5.0]]


def test_cells_without_a_score_are_no_maxima() -> None:
    assert local_maxima(np.full((3, 3, 3), -np.inf)).shape == (0, 3)
    assert len(found(grid(np.full((3, 3, 3), -np.inf)))) == 0


def test_the_distance_is_in_millimetres_and_not_in_voxels() -> None:
    """Two cells apart is 16 mm along z and 8 mm along x: 10 mm keeps the first pair and not the second."""
    along_z, along_x = peaks((2, 4, 4, 2.0), (4, 4, 4, 1.0)), peaks((4, 4, 2, 2.0), (4, 4, 4, 1.0))
    high = [
        (kept.logits_N > 0).sum() for kept in (found(along_z, min_distance_mm=10), found(along_x, min_distance_mm=10))
    ]
    assert high == [2, 1]


def test_a_candidate_that_was_suppressed_suppresses_nothing() -> None:
    """Three in a row, 8 mm apart: the best takes the second with it, and the third stays."""
    kept = found(peaks((4, 4, 2, 3.0), (4, 4, 4, 2.0), (4, 4, 6, 1.0)), min_distance_mm=10.0)
    assert kept.logits_N[kept.logits_N > 0].tolist() == [3.0, 1.0]


def test_the_best_come_first_and_no_more_of_them_than_asked_for() -> None:
    scores = peaks((2, 2, 2, 1.0), (6, 6, 6, 3.0), (2, 6, 2, 2.0), (6, 2, 6, 2.5))
    assert found(scores, max_candidates=3).logits_N.tolist() == [3.0, 2.5, 2.0]


def test_equal_scores_are_in_the_order_of_their_position() -> None:
    scores = peaks((6, 2, 2, 1.0), (2, 6, 2, 1.0), (2, 2, 6, 1.0), (2, 2, 2, 1.0))
    cells = np.round((found(scores, max_candidates=4).index_N3 - FIRST_3) / 4).astype(int).tolist()
    assert cells == [[2, 2, 2], [2, 2, 6], [2, 6, 2], [6, 2, 2]]


def test_suppression_of_thousands_of_points_keeps_none_within_the_distance_and_covers_all() -> None:
    points_N3 = np.random.default_rng(0).uniform(0, 200, (5000, 3))
    kept_N3 = points_N3[spread_out(points_N3, min_distance_mm=12.0, most=5000)]
    apart = np.linalg.norm(kept_N3[:, None] - kept_N3, axis=-1) + 1e9 * np.eye(len(kept_N3))
    assert apart.min() > 12.0
    assert max(np.linalg.norm(kept_N3 - point, axis=-1).min() for point in points_N3) <= 12.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_of_a_diverged_model_are_refused(bad: float) -> None:
    logits_DHW = np.zeros((3, 3, 3))
    logits_DHW[1, 1, 1] = bad
    with pytest.raises(DataError, match="diverged") as raised:
        found(grid(logits_DHW))
    assert raised.value.public == "scores are not finite: the model has diverged"
