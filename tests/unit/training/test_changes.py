"""What a batch goes through before it is trained on, and whose voxels and window that goes by."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fedlung.config import RunConfig
from fedlung.errors import ConfigError
from fedlung.patches import augment, scanner_randomization
from fedlung.patches.dataset import ArchiveSet
from fedlung.patches.joined import JoinedSet
from fedlung.seeding import derive
from fedlung.training.changes import BatchChanges

ARCHIVE = {
    "label_N": np.zeros(1, np.int64),
    "patient_N": np.array(["p"]),
    **{name: np.zeros(1, np.float32) for name in ("diameter_mm_N", "texture_N", "thickness_mm_N")},
    "kernel_N": np.array([""]),
}


def changes(voxel_mm: float = 1.25, **knobs: object) -> BatchChanges:
    cfg = RunConfig.from_run_config({"augment.enabled": False} | knobs)
    return BatchChanges(cfg, SimpleNamespace(voxel_mm=voxel_mm), site="GE", server_round=1)


@pytest.fixture
def x_BCDHW() -> torch.Tensor:
    return torch.rand(4, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))


def test_nothing_asked_for_is_nothing_changed(x_BCDHW: torch.Tensor) -> None:
    assert changes().applied(x_BCDHW) is x_BCDHW


def test_the_pose_is_changed_before_the_scanner_and_each_has_its_own_stream(x_BCDHW: torch.Tensor) -> None:
    knobs = {"augment.enabled": True, "scanner.probability": 1.0}
    cfg = RunConfig.from_run_config(knobs)
    pose = augment.draw(4, 16, cfg.augment, derive(0, "augment", "GE", 1))
    scanner = scanner_randomization.draw(4, cfg.scanner, derive(0, "scanner", "GE", 1))
    posed_BCDHW = augment.apply(x_BCDHW, pose)
    expected = scanner_randomization.apply(posed_BCDHW, scanner, voxel_mm=1.25, window=cfg.prepare)
    assert torch.equal(changes(**knobs).applied(x_BCDHW), expected)


def test_the_scanner_goes_by_the_voxels_of_the_examples(x_BCDHW: torch.Tensor) -> None:
    knobs = {"scanner.probability": 1.0}
    found = [changes(voxel_mm, **knobs).applied(x_BCDHW) for voxel_mm in (0.8, 0.8, 1.5)]
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_a_scanner_on_voxels_without_an_edge_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"scanner\.probability: expected voxels of one edge"):
        changes(np.nan, **{"scanner.probability": 0.1})


def test_sets_of_unlike_voxels_have_no_edge_in_common() -> None:
    cubes = np.zeros((1, 8, 8, 8), np.float32)
    one, other = (
        ArchiveSet(SimpleNamespace(**ARCHIVE, cubes_NDHW=cubes, spacing_mm=edge), size=8) for edge in (1.0, 1.25)
    )
    assert JoinedSet([other, other]).voxel_mm == 1.25
    assert np.isnan(JoinedSet([one, other]).voxel_mm)
