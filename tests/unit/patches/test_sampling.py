from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fedlung.config import PatchConfig, TaskConfig
from fedlung.ct.nodule import Nodule
from fedlung.patches.sampling import Centers, hard_candidates, most_background, patch_centers, patient_labels
from fedlung.preprocess.case import Case

NODULE, MALIGNANCY, SCAN = TaskConfig(), TaskConfig(name="malignancy"), TaskConfig(name="scan")
MakeCase = Callable[..., Case]
NoduleAt = Callable[..., Nodule]


def centers(case: Case, task: TaskConfig = NODULE, *, training: bool = False, seed: int = 0, **knobs: float) -> Centers:
    return patch_centers(case, task, PatchConfig(**knobs), np.random.default_rng(seed), training=training)


def test_when_judged_a_nodule_stands_at_its_exact_centre(make_case: MakeCase, nodule_at: NoduleAt) -> None:
    centers_N3, labels_N, diameter_N = centers(make_case(nodule_at((20.3, 24.0, 17.5), 9.0)))
    np.testing.assert_allclose(centers_N3[labels_N == 1], [[20.3, 24.0, 17.5]])
    assert diameter_N[0] == 9.0 and np.isnan(diameter_N[1:]).all()


def test_in_training_it_is_shifted_by_up_to_the_jitter_along_each_axis(
    make_case: MakeCase, nodule_at: NoduleAt
) -> None:
    case = make_case(nodule_at((24.0, 24.0, 24.0), malignancy=5.0))
    drawn = np.array([centers(case, MALIGNANCY, training=True, seed=seed)[0][0] for seed in range(300)])
    offset_mm = np.abs(drawn - 24.0) * 1.25
    assert (offset_mm <= 3.0).all()
    assert (offset_mm.max(axis=0) > 2.8).all()


def test_background_is_as_much_as_asked_and_keeps_away_from_every_nodule(
    make_case: MakeCase, nodule_at: NoduleAt
) -> None:
    case = make_case(
        nodule_at((24.0, 24.0, 24.0), 10.0), nodule_at((10.0, 10.0, 10.0)), nodule_at((36.0, 36.0, 36.0), readers=1)
    )
    centers_N3, labels_N, _ = centers(case, training=True, background_per_nodule=20.0)
    background_N3 = centers_N3[labels_N == 0]
    assert (labels_N == 1).sum() == 2 and len(background_N3) == 40
    for center_3, nodule in zip(case.nodule_centers_N3, case.nodules, strict=True):
        distance_mm = np.linalg.norm((background_N3 - center_3) * 1.25, axis=1)
        assert (distance_mm > nodule.diameter_mm / 2 + 6.0).all()


def test_a_case_without_nodules_still_gives_the_least_background(make_case: MakeCase) -> None:
    assert len(centers(make_case(), min_background=5)[1]) == 5


@pytest.mark.parametrize("knobs", [{}, {"min_background": 1, "background_per_nodule": 2.5}, {"min_background": 9}])
def test_background_is_never_more_than_its_bound_and_near_it_where_both_reasons_ask_for_it(
    make_case: MakeCase, nodule_at: NoduleAt, knobs: dict[str, float]
) -> None:
    places = [(12.0, 12.0, z) for z in (8.0, 16.0, 24.0, 32.0, 40.0)]
    cases = [make_case(*(nodule_at(place) for place in places[:number]), name=f"c{number}") for number in range(6)]
    drawn = sum(int((centers(case, training=True, **knobs)[1] == 0).sum()) for case in cases)
    most = most_background(15, len(cases), PatchConfig(**knobs))
    assert drawn <= most <= 2 * drawn


def test_half_of_the_background_is_hard_and_bright(make_case: MakeCase) -> None:
    case = make_case()
    centers_N3, _, _ = centers(case, min_background=20)
    hu_N = np.array([case.image_DHW[tuple(center)] for center in centers_N3.astype(int)])
    assert (hu_N[:10] == 0).all()
    assert (hu_N[10:] < -500).sum() >= 8


def test_a_lung_all_within_the_exclusion_gives_no_background(make_case: MakeCase, nodule_at: NoduleAt) -> None:
    _, labels_N, _ = centers(make_case(nodule_at((24.0, 24.0, 24.0), 120.0)))
    assert labels_N.tolist() == [1]


def test_the_same_generator_draws_the_same(make_case: MakeCase, nodule_at: NoduleAt) -> None:
    case = make_case(nodule_at((24.0, 24.0, 24.0)))
    for first, second in zip(centers(case, training=True), centers(case, training=True), strict=True):
        np.testing.assert_array_equal(first, second)


def test_hard_candidates_are_the_beads_of_the_phantom(make_case: MakeCase) -> None:
    case = make_case()
    index_N3 = hard_candidates(case)
    assert 20 < len(index_N3) <= 60
    assert case.lung_DHW[tuple(index_N3.T)].all()
    window = [case.image_DHW[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2].mean() for z, y, x in index_N3]
    assert min(window) > -100


def test_malignancy_takes_nodules_of_enough_readers_whose_mean_is_not_three(
    make_case: MakeCase, nodule_at: NoduleAt
) -> None:
    case = make_case(
        nodule_at((10, 10, 10), 5.0, malignancy=2.75),
        nodule_at((20, 20, 20), 6.0, malignancy=3.0),
        nodule_at((30, 30, 30), 7.0, malignancy=4.0),
        nodule_at((35, 35, 35), 8.0, malignancy=5.0, readers=2),
        nodule_at((40, 40, 40), 9.0),
    )
    _, labels_N, diameter_N = centers(case, MALIGNANCY)
    assert labels_N.tolist() == [0, 1] and diameter_N.tolist() == [5.0, 7.0]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (NODULE, {"p": 1, "q": 0, "r": 0}),
        (MALIGNANCY, {"p": 0}),
        (SCAN, {"p": 1, "q": 1, "r": 0}),
    ],
)
def test_a_patient_is_positive_with_one_positive(
    make_case: MakeCase, nodule_at: NoduleAt, task: TaskConfig, expected: dict[str, int]
) -> None:
    cases = [
        make_case(nodule_at((10, 10, 10), malignancy=1.0), name="a", patient="p"),
        make_case(name="b", patient="p"),
        make_case(nodule_at((10, 10, 10), malignancy=5.0, readers=1), name="c", patient="q"),
        make_case(nodule_at((10, 10, 10), 2.9, readers=1), name="d", patient="r"),
    ]
    assert patient_labels(cases, task) == expected
