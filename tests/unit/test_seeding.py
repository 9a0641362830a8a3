"""One random stream per purpose."""

from __future__ import annotations

import numpy as np
import torch

from fedlung.seeding import derive, derive_int, derive_torch


def test_the_same_seed_and_labels_give_the_same_stream() -> None:
    assert np.array_equal(derive(7, "augment", "GE", 3).random(5), derive(7, "augment", "GE", 3).random(5))
    first, second = (torch.rand(5, generator=derive_torch(7, "init")) for _ in range(2))
    assert torch.equal(first, second)


def test_every_label_and_its_kind_and_place_matters() -> None:
    streams = [(7, "a"), (8, "a"), (7, "b"), (7, "a", 1), (7, "a", "1"), (7, "1", "a"), (7,)]
    assert len({derive_int(*stream) for stream in streams}) == len(streams)


def test_labels_do_not_run_into_each_other() -> None:
    assert derive_int(1, "ab", "c") != derive_int(1, "a", "bc")


def test_the_integer_is_stable_over_versions() -> None:
    assert derive_int(0) == 3456079177858693020
    assert derive_int(0, "phantom", "GE", 1) == 4961446728692993674
