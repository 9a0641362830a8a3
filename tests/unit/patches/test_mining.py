"""Hard negatives: the highest scores that are no nodules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fedlung.config import PatchConfig, TaskConfig
from fedlung.ct.nodule import Nodule
from fedlung.patches.mining import hard_negatives
from fedlung.patches.sampling import patch_centers
from fedlung.preprocess.case import Case


def mined(index_N3: list[tuple[float, float, float]], logits_N: list[float], **options: object) -> np.ndarray:
    knobs = {
        "nodule_index_M3": np.array([[10.0, 10.0, 10.0]]),
        "nodule_diameter_mm_M": np.array([8.0]),
        "shape_DHW": (40, 40, 40),
        "spacing_mm": (2.0, 1.0, 1.0),
        "exclusion_mm": 3.0,
        "most": 10,
    }
    return hard_negatives(np.array(index_N3, dtype=float).reshape(-1, 3), np.array(logits_N), **(knobs | options))


def test_the_hardest_come_first_and_no_more_than_asked_for() -> None:
    places = [(30, 30, 30), (30, 20, 30), (20, 30, 30), (30, 30, 20)]
    assert mined(places, [0.1, 2.0, -1.0, 0.5], most=3).tolist() == [[30, 20, 30], [30, 30, 20], [30, 30, 30]]


def test_what_is_near_a_nodules_surface_in_millimetres_is_none() -> None:
    """The surface is 4 mm from the centre, so 7 mm and less are out: 3 slices of 2 mm are, 4 are not."""
    assert mined([(13, 10, 10), (14, 10, 10), (10, 17, 10), (10, 18, 10)], [4.0, 3.0, 2.0, 1.0]).tolist() == [
        [14, 10, 10],
        [10, 18, 10],
    ]


def test_voxels_are_the_nearest_ones_on_the_grid_and_a_half_goes_down() -> None:
    found = mined([(20.5, 20.4, 20.6), (39.9, -0.6, 39.4)], [1.0, 0.0])
    assert found.dtype == np.int64
    assert found.tolist() == [[20, 20, 21], [39, 0, 39]]


def test_without_nodules_all_are_negative_and_without_candidates_none() -> None:
    none = {"nodule_index_M3": np.zeros((0, 3)), "nodule_diameter_mm_M": np.zeros(0)}
    assert mined([(10, 10, 10)], [1.0], **none).tolist() == [[10, 10, 10]]
    assert mined([], []).shape == (0, 3)


def test_equal_scores_keep_their_order() -> None:
    places = [(30, 30, number) for number in (9, 3, 7)]
    assert mined(places, [1.0, 1.0, 1.0], most=2)[:, 2].tolist() == [9, 3]


def test_patches_are_cut_at_what_was_mined(make_case: Callable[..., Case], nodule_at: Callable[..., Nodule]) -> None:
    case = make_case(nodule_at((12, 12, 12)))
    cfg = PatchConfig(size=16, min_background=4, hard_fraction=1.0)
    places = np.array([[30.0, 30.0, 30.0], [12.0, 13.0, 12.0], [24.0, 36.0, 20.0], [36.0, 8.0, 30.0], [8.0, 36.0, 8.0]])
    found = hard_negatives(
        places,
        np.arange(5.0),
        nodule_index_M3=case.nodule_centers_N3,
        nodule_diameter_mm_M=np.array([nodule.diameter_mm for nodule in case.nodules]),
        shape_DHW=case.geometry.shape_DHW,
        spacing_mm=case.geometry.spacing_mm,
        exclusion_mm=cfg.exclusion_mm,
        most=8,
    )
    rng = np.random.default_rng(0)
    centers_N3, labels_N, _ = patch_centers(case, TaskConfig(), cfg, rng, training=False, candidates_N3=found)
    cut = {tuple(center) for center in centers_N3[labels_N == 0].tolist()}
    assert cut == {tuple(place) for place in np.delete(places, 1, axis=0).tolist()}
