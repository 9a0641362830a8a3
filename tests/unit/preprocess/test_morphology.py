from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from fedlung.preprocess.morphology import (
    BALL_VOXELS,
    ball_dilated,
    box_of,
    cube_dilated,
    doubled,
    holes,
    largest,
    opened,
    outside_in_plane,
)


def blobs(seed: int, shape=(14, 17, 19)) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.2) > 0.1


def test_a_dilated_point_is_a_ball_of_four_voxels_without_spikes() -> None:
    point = np.zeros((13, 13, 13), dtype=np.uint8)
    point[6, 6, 6] = 200
    dilated = ball_dilated(point)
    radii = np.sqrt(sum((axis - 6) ** 2 for axis in np.indices(point.shape)))
    assert set(np.unique(dilated)) == {0, 200}
    assert np.all(dilated[radii <= 3.7] == 200)
    assert radii[dilated > 0].max() < 4.7
    for axis in range(3):
        tip = np.take(dilated, 6 + BALL_VOXELS, axis=axis) > 0
        assert np.count_nonzero(tip) == 21  # 5 x 5 without its corners
        assert not np.take(dilated, 7 + BALL_VOXELS, axis=axis).any()


def test_the_ball_is_the_sum_of_its_four_parts() -> None:
    cube, cross, edges = (ndimage.generate_binary_structure(3, reach) for reach in (3, 1, 2))
    mask = blobs(0, (20, 20, 20)) & blobs(1, (20, 20, 20))
    wanted = mask
    for part in (cube, cross, cross, edges):
        wanted = ndimage.binary_dilation(wanted, part)
    np.testing.assert_array_equal(ball_dilated(mask), wanted)


def test_what_touches_the_end_of_a_row_or_a_plane_does_not_reach_the_next_one() -> None:
    corner = np.zeros((9, 8, 7), dtype=np.uint8)
    corner[4, 7, 6] = 90
    reached = np.argwhere(ball_dilated(corner))
    assert reached.min(axis=0).tolist() == [0, 3, 2]
    assert reached.max(axis=0).tolist() == [8, 7, 6]
    assert np.argwhere(cube_dilated(corner)).min(axis=0).tolist() == [3, 6, 5]


def test_the_cube_and_the_opening_are_scipys() -> None:
    cross = ndimage.generate_binary_structure(3, 1)
    for seed in range(4):
        mask = blobs(seed)
        np.testing.assert_array_equal(cube_dilated(mask), ndimage.binary_dilation(mask, np.ones((3, 3, 3))))
        longer = np.pad(mask, 2, mode="edge")
        wanted = ndimage.binary_opening(longer, cross)[2:-2, 2:-2, 2:-2]
        np.testing.assert_array_equal(opened(mask)[1:-1, 1:-1, 1:-1], wanted[1:-1, 1:-1, 1:-1])


@pytest.mark.parametrize("shape", [(40, 40, 40), (41, 43, 40)])
def test_a_cavity_is_a_hole_as_scipy_says_and_one_with_a_way_out_is_none(shape) -> None:
    z, y, x = np.indices(shape) - 20
    away = np.sqrt(z**2 + y**2 + x**2)
    hollow = (away < 18) & (away >= 8)
    wanted = ndimage.binary_fill_holes(hollow) & ~hollow
    assert wanted.sum() > 2000
    np.testing.assert_array_equal(holes(hollow), wanted)
    drained = hollow & ~((np.hypot(y, x) < 4) & (z > 0))
    assert not holes(drained).any()
    assert not holes(hollow[20:]).any()  # cut by the grid's end


@pytest.mark.parametrize("shape_HW", [(40, 40), (41, 43)])
def test_outside_in_plane_is_all_but_a_filled_ring_even_with_a_wall_of_one_voxel(shape_HW) -> None:
    rows, columns = np.indices(shape_HW)
    away = np.hypot(rows - 20, columns - 20)
    ring = np.broadcast_to((away >= 12) & (away < 13.5), (3, *shape_HW)).copy()
    inside = np.broadcast_to(away < 10, ring.shape)
    outside = outside_in_plane(ring)
    np.testing.assert_array_equal(outside[:, away >= 13.5], True)
    assert not outside[inside].any()
    assert not outside[ring].any()


def test_the_largest_pieces_come_in_order_and_small_ones_not_at_all() -> None:
    mask = np.zeros((12, 12, 40), dtype=bool)
    mask[2:10, 2:10, 1:9] = True
    mask[2:10, 2:10, 11:31] = True
    mask[4:6, 4:6, 34:36] = True
    first, second = largest(mask, 3, at_least=0.1)
    assert [int(first.sum()), int(second.sum())] == [8 * 8 * 20, 8 * 8 * 8]
    assert largest(np.zeros((3, 3, 3), dtype=bool), 2) == []


def test_doubling_gives_each_second_voxel_to_its_neighbours() -> None:
    mask = blobs(3)
    np.testing.assert_array_equal(doubled(mask[::2, ::2, ::2], mask.shape)[::2, ::2, ::2], mask[::2, ::2, ::2])
    assert doubled(mask[::2, ::2, ::2], mask.shape).shape == mask.shape


def test_the_box_of_a_mask_and_of_nothing() -> None:
    mask = np.zeros((5, 6, 7), dtype=bool)
    assert box_of(mask) == (slice(0), slice(0), slice(0))
    mask[1:3, 4, 2:5] = True
    assert box_of(mask) == (slice(1, 3), slice(4, 5), slice(2, 5))
    assert box_of(mask, margin=2) == (slice(0, 5), slice(2, 7), slice(0, 7))
