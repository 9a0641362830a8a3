"""A classifier's windows over a volume: which there are, what they show, and where their scores stand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedlung.config import ModelConfig, PrepareConfig
from fedlung.ct.geometry import Geometry
from fedlung.model.networks import build_model
from fedlung.model.sliding import ScoreGrid, Windows, score_windows
from fedlung.patches.dataset import PatchSet
from fedlung.preprocess.case import Case

CPU = torch.device("cpu")
PREPARE = PrepareConfig()
SHAPE = (19, 22, 25)


def volume(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 401, shape).astype(np.int16)


def ball(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    offset = np.indices(shape) - (np.array(shape).reshape(3, 1, 1, 1) - 1) / 2
    return (offset**2).sum(axis=0) < 8**2


class Middle(nn.Module):
    """The logit is the value of the middle voxel (the lower one of an even cube)."""

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        middle = (x_BCDHW.shape[-1] - 1) // 2
        return x_BCDHW[:, 0, middle, middle, middle]


def scores(model: nn.Module, lung_DHW: np.ndarray, **options: object) -> ScoreGrid:
    knobs = {"size": 8, "stride": 3, "prepare": PREPARE, "batch_size": 64, "device": CPU, "precision": "auto"}
    return score_windows(model, volume(lung_DHW.shape), lung_DHW, **(knobs | options))


@pytest.mark.parametrize("size", [7, 8, 30])
def test_a_window_is_the_training_patch_at_its_centre_bit_for_bit(size: int) -> None:
    """At the borders as well, and for windows larger than the volume."""
    image_DHW, lung_DHW = volume(), np.ones(SHAPE, dtype=bool)
    windows = Windows(image_DHW, lung_DHW, size=size, stride=6, prepare=PREPARE, device=CPU)
    grid = ScoreGrid(np.zeros(windows.inside_DHW.shape), windows.first_3, 6)
    centers_N3 = grid.index_of(np.argwhere(windows.inside_DHW))
    case = Case("a", "p", image_DHW, lung_DHW, Geometry(SHAPE, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)), ())
    nothing = np.zeros(len(centers_N3))
    patches = PatchSet(
        [case], nothing.astype(int), centers_N3, nothing.astype(int), nothing, size=size, prepare=PREPARE
    )
    every = np.arange(len(patches))
    assert len(windows) == len(patches) == 4 * 4 * 5  # 19 / 6, 22 / 6 and 25 / 6, rounded up
    assert torch.equal(windows.load(every), patches.load(every))


def test_there_is_a_window_at_each_grid_point_in_the_lung_and_nowhere_else() -> None:
    lung_DHW = ball()
    grid = scores(Middle(), lung_DHW)
    scored = {tuple(index) for index in grid.index_of(np.argwhere(np.isfinite(grid.logits_DHW))).tolist()}
    first = [(edge - 1) % 3 // 2 for edge in SHAPE]
    expected = {
        (z + 0.5, y + 0.5, x + 0.5)
        for z in range(first[0], SHAPE[0], 3)
        for y in range(first[1], SHAPE[1], 3)
        for x in range(first[2], SHAPE[2], 3)
        if lung_DHW[z, y, x]
    }
    assert scored == expected and len(scored) > 50
    assert np.isneginf(grid.logits_DHW).sum() == grid.logits_DHW.size - len(expected)


@pytest.mark.parametrize("size", [7, 8])
def test_a_score_stands_where_its_window_was_cut(size: int) -> None:
    """With an even size the true middle lies half a voxel after the voxel that ``Middle`` looks at."""
    grid = scores(Middle(), ball(), size=size)
    cells_N3 = np.argwhere(np.isfinite(grid.logits_DHW))
    voxels_N3 = np.floor(grid.index_of(cells_N3)).astype(int)
    expected_N = (volume()[tuple(voxels_N3.T)] + 1000) / 1400
    np.testing.assert_allclose(grid.logits_DHW[tuple(cells_N3.T)], expected_N, rtol=1e-6)


@pytest.mark.parametrize("edge", [20, 21, 22, 23, 24, 25])
def test_the_grid_leaves_as_much_before_it_as_behind_it(edge: int) -> None:
    grid = scores(Middle(), np.ones((edge,) * 3, dtype=bool), stride=5, size=9)
    before, behind = grid.first_3[0], edge - 1 - grid.index_of(np.array(grid.logits_DHW.shape) - 1)[0, 0]
    assert 0 <= behind - before <= 1


def test_no_lung_gives_a_grid_without_scores() -> None:
    grid = scores(Middle(), np.zeros(SHAPE, dtype=bool))
    assert grid.logits_DHW.shape == (7, 8, 9)
    assert np.isneginf(grid.logits_DHW).all()


def test_a_networks_scores_do_not_depend_on_the_batch_size_and_are_the_same_twice() -> None:
    model = build_model(ModelConfig(width=4, stem="quarter"), 0)
    one, again, uneven = (scores(model, ball(), batch_size=size).logits_DHW for size in (64, 64, 37))
    assert np.array_equal(one, again)
    assert np.ptp(one[np.isfinite(one)]) > 0
    np.testing.assert_allclose(uneven, one, atol=1e-5)


def test_no_batch_is_larger_than_asked_for_and_progress_ends_at_all_windows() -> None:
    sizes, told = [], []

    class Counting(Middle):
        def forward(self, x_BCDHW: Tensor) -> Tensor:
            sizes.append(len(x_BCDHW))
            return super().forward(x_BCDHW)

    grid = scores(Counting(), ball(), batch_size=20, progress=lambda done, all_: told.append((done, all_)))
    num = int(np.isfinite(grid.logits_DHW).sum())
    assert max(sizes) == 20 and sum(sizes) == num
    assert told[-1] == (num, num) and [done for done, _ in told] == np.cumsum(sizes).tolist()


def test_an_encrypted_volume_is_decrypted_once() -> None:
    class Sealed:
        times = 0

        def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
            Sealed.times += 1
            return volume()

    options = {"size": 8, "stride": 3, "prepare": PREPARE, "batch_size": 16, "device": CPU, "precision": "auto"}
    grid = score_windows(Middle(), Sealed(), ball(), **options)
    assert Sealed.times == 1
    assert np.array_equal(grid.logits_DHW, scores(Middle(), ball()).logits_DHW)
