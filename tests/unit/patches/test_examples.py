from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from fedlung.config import PatchConfig, RunConfig, TaskConfig
from fedlung.ct.nodule import Nodule
from fedlung.errors import DataError
from fedlung.patches.archive import PatchArchive
from fedlung.patches.examples import SplitSize, site_examples
from fedlung.preprocess.case import Case

MakeCase = Callable[..., Case]
NoduleAt = Callable[..., Nodule]
MakeArchive = Callable[..., PatchArchive]
MALIGNANCY = RunConfig(task=TaskConfig(name="malignancy"), patches=PatchConfig(size=8))


@pytest.fixture
def cases(make_case: MakeCase, nodule_at: NoduleAt) -> list[Case]:
    return [
        make_case(*[nodule_at((20, 20, 20))] * (index % 2), name=f"case-{index:02d}", edge=32) for index in range(12)
    ]


def test_every_example_of_a_patient_is_in_that_patients_split(cases: list[Case]) -> None:
    site = site_examples(cases, RunConfig(), site="GE", held_out=False)
    assert set(site.split_by_patient) == {case.patient_key for case in cases}
    assert sum(size.num_patients for size in site.sizes().values()) == 12
    assert sum(size.num_positive for size in site.sizes().values()) == 6


def test_a_held_out_site_is_test_as_a_whole(cases: list[Case]) -> None:
    site = site_examples(cases, RunConfig(), site="TOSHIBA", held_out=True)
    assert site.sizes() == {"train": SplitSize(0, 0, 0), "validation": SplitSize(0, 0, 0), "test": SplitSize(12, 6, 48)}
    with pytest.raises(DataError, match="no training example"):
        site.training(1)


def test_training_is_drawn_anew_each_round_and_alike_for_the_same_round(cases: list[Case]) -> None:
    first, again = (site_examples(cases, RunConfig(), site="GE", held_out=False) for _ in range(2))
    everything = np.arange(len(first.training(1)))
    assert torch.equal(first.training(1).load(everything), again.training(1).load(everything))
    assert not torch.equal(first.training(1).load(everything), first.training(2).load(everything))


def test_what_is_judged_does_not_depend_on_the_order_of_the_cases(cases: list[Case]) -> None:
    forward = site_examples(cases, RunConfig(), site="GE", held_out=False)
    backward = site_examples(cases[::-1], RunConfig(), site="GE", held_out=False)
    assert forward.split_by_patient == backward.split_by_patient
    assert torch.equal(forward.fixed("test").load([0, 1, 2]), backward.fixed("test").load([0, 1, 2]))


def test_a_held_out_sites_own_test_patients_and_their_patches_are_those_of_the_source(cases: list[Case]) -> None:
    """So a model that never saw the site is compared, patch by patch, with one that trained on its other patients."""
    source, apart = (site_examples(cases, RunConfig(), site="GE", held_out=held_out) for held_out in (False, True))
    assert source.own_test == apart.own_test == set(source.fixed("test").patients_N)
    own_N = np.flatnonzero(np.isin(apart.fixed("test").patients_N, sorted(apart.own_test)))
    assert 0 < len(own_N) < len(apart.fixed("test"))
    everything_N = np.arange(len(source.fixed("test")))
    assert torch.equal(apart.fixed("test").load(own_N), source.fixed("test").load(everything_N))


def test_hard_background_lies_where_it_was_mined(make_case: MakeCase) -> None:
    config = RunConfig(patches=PatchConfig(size=8, jitter_mm=0.0, hard_fraction=1.0))
    case = make_case(edge=32)
    site = site_examples([case] + [make_case(name=name, edge=32) for name in "bcd"], config, site="GE", held_out=False)
    (trains, *_) = site.cases("train")
    voxel_3 = np.array([[16, 15, 14]])
    x_BCDHW = site.training(1, {trains.case_id: voxel_3}).load(range(len(site.training(1))))
    z, y, x = voxel_3[0] - 3  # the middle of an even cube lies half a voxel after the voxel
    cut_DHW = torch.from_numpy(trains.image_DHW[z : z + 8, y : y + 8, x : x + 8].astype(np.float32) + 1000) / 1400
    assert sum(torch.allclose(cube_CDHW[0], cut_DHW, atol=1e-6) for cube_CDHW in x_BCDHW) == 1


def test_nodules_that_the_task_cannot_use_are_counted(make_case: MakeCase, nodule_at: NoduleAt) -> None:
    case = make_case(
        nodule_at((9, 9, 9), readers=1),
        nodule_at((20, 20, 20), malignancy=3.0),
        nodule_at((30, 30, 30), malignancy=4.0),
    )
    assert site_examples([case], RunConfig(), site="GE", held_out=True).unused_nodules == {"readers-below-k": 1}
    assert site_examples([case], MALIGNANCY, site="GE", held_out=True).unused_nodules == {
        "readers-below-k": 1,
        "malignancy-undecided": 1,
    }


def test_a_site_without_any_example_is_refused(make_case: MakeCase) -> None:
    with pytest.raises(DataError, match="nothing to split"):
        site_examples([make_case()], MALIGNANCY, site="GE", held_out=False)


def test_an_archives_examples_are_split_by_patient(make_archive: MakeArchive) -> None:
    archive = make_archive(40, patient_N=np.array([f"p{index // 4}" for index in range(40)]), site_N=np.full(40, "GE"))
    site = site_examples(archive, MALIGNANCY, site="GE", held_out=False)
    assert sum(sum(size[1:]) for size in site.sizes().values()) == 40
    assert {split: size.num_patients for split, size in site.sizes().items()} == {
        "train": 5,
        "validation": 2,
        "test": 3,
    }


def test_an_archives_own_splits_are_kept_unless_it_is_held_out(make_archive: MakeArchive) -> None:
    archive = make_archive(4, split_N=np.array(["train", "validation", "test", "train"]))
    splits = site_examples(archive, MALIGNANCY, site="GE", held_out=False).split_by_patient
    assert splits == {"p0": "train", "p1": "validation", "p2": "test", "p3": "train"}
    assert set(site_examples(archive, MALIGNANCY, site="GE", held_out=True).split_by_patient.values()) == {"test"}


def test_a_case_is_searched_for_hard_background_once_in_a_process_and_only_by_its_own_digest(
    cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[str] = []

    def search(case: Case) -> np.ndarray:
        searched.append(case.case_id)
        return np.array([[len(searched)] * 3])

    monkeypatch.setattr("fedlung.patches.examples.hard_candidates", search)
    monkeypatch.setattr("fedlung.patches.examples._SEARCHED", {})
    told = [replace(case, image_digest=f"digest of {case.case_id}") for case in cases]
    for seed in (0, 1):
        site_examples(told, RunConfig(seed=seed), site="GE", held_out=True).fixed("test")
    assert sorted(searched) == [case.case_id for case in cases]
    site_examples(cases, RunConfig(), site="GE", held_out=True).fixed("test")
    assert sorted(searched) == sorted(2 * [case.case_id for case in cases])  # without a digest nothing is remembered
