from __future__ import annotations

import numpy as np
import pytest

from fedlung.config import SplitConfig
from fedlung.errors import DataError
from fedlung.patches.splits import all_test, split_patients


def split(labels: dict[str, int], seed: int = 0) -> dict[str, str]:
    return split_patients(labels, SplitConfig(), np.random.default_rng(seed))


def test_hundred_patients_of_each_label_split_55_15_30() -> None:
    labels = {f"p{index:03d}": index % 2 for index in range(200)}
    splits = split(labels)
    for label in (0, 1):
        own = [splits[patient] for patient in labels if labels[patient] == label]
        assert [own.count(name) for name in ("train", "validation", "test")] == [55, 15, 30]


def test_one_patient_trains_and_two_train_and_validate() -> None:
    assert split({"a": 1}) == {"a": "train"}
    assert sorted(split({"a": 1, "b": 1}).values()) == ["train", "validation"]


@pytest.mark.parametrize("labels", [(0, 0, 1), (1, 1, 0), (0, 0, 1, 1), (1, 1, 1)])
def test_three_patients_or_more_leave_no_split_empty(labels: tuple[int, ...]) -> None:
    splits = split({f"p{index}": label for index, label in enumerate(labels)})
    assert set(splits.values()) == {"train", "validation", "test"}


def test_two_patients_of_each_label_still_train_on_both() -> None:
    labels = {"a": 0, "b": 0, "c": 1, "d": 1}
    splits = split(labels)
    assert {labels[patient] for patient in labels if splits[patient] == "train"} == {0, 1}


def test_another_seed_splits_otherwise() -> None:
    labels = {f"p{index:03d}": 0 for index in range(50)}
    assert split(labels, seed=0) != split(labels, seed=1)


def test_no_patient_is_an_error_that_names_none() -> None:
    with pytest.raises(DataError, match="no patient") as caught:
        split({})
    assert caught.value.public == "no patient with an example of the task"


def test_a_held_out_site_is_all_test() -> None:
    assert all_test({"b": 0, "a": 1}) == {"a": "test", "b": "test"}
