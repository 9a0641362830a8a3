"""Readings drawn by hand: areas, volumes, masks, and which readings are one nodule."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedlung.ct.clusters import NoduleCluster, cluster_readings
from fedlung.ct.readings import Contour, Reading, ScanGrid

GRID = ScanGrid(np.arange(0.0, 50.0, 2.0), pixel_spacing_mm=0.5, slice_thickness_mm=2.5)


def square(z_mm: float, row: int, column: int, edge: int, *, inclusion: bool = True) -> Contour:
    """The outline of a square of ``edge`` + 1 pixels, every pixel once, as LIDC has them."""
    ring = [(row, column + i) for i in range(edge)] + [(row + i, column + edge) for i in range(edge)]
    ring += [(row + edge, column + edge - i) for i in range(edge)] + [(row + edge - i, column) for i in range(edge)]
    return Contour(z_mm, inclusion, np.array(ring))


def reading(*contours: Contour, malignancy: int = 3) -> Reading:
    return Reading(contours, {"malignancy": malignancy, "texture": 5}, GRID)


def cube(row: int, column: int, edge: int = 4, z_mm: float = 10.0, **ratings: int) -> Reading:
    return reading(*(square(z_mm + 2.0 * i, row, column, edge) for i in range(3)), **ratings)


def test_area_and_center_of_a_square_are_those_of_the_line_through_its_pixels() -> None:
    area, center = square(10.0, 100, 200, 4).area_and_center_px
    assert area == 16.0
    assert center.tolist() == [102.0, 202.0]
    hole_area, _ = square(10.0, 100, 200, 4, inclusion=False).area_and_center_px
    assert hole_area == -16.0


def test_the_first_pixel_may_close_the_line_or_not() -> None:
    open_line = square(10.0, 100, 200, 4)
    closed = Contour(10.0, True, np.vstack([open_line.points_V2, open_line.points_V2[:1]]))
    assert closed.area_and_center_px[0] == open_line.area_and_center_px[0]
    assert closed.area_and_center_px[1].tolist() == open_line.area_and_center_px[1].tolist()


def test_volume_is_area_times_each_slices_share_of_z_less_the_holes() -> None:
    # 3 slices, 2 mm apart; 16 pixels of 0.25 mm2 each; a hole of 4 pixels on one slice.
    full = cube(100, 200)
    assert full.volume_mm3 == pytest.approx(3 * 2.0 * 16 * 0.25)
    holed = reading(*full.contours, square(12.0, 101, 201, 2, inclusion=False))
    assert holed.volume_mm3 == pytest.approx(full.volume_mm3 - 2.0 * 4 * 0.25)


def test_a_reading_on_one_slice_is_as_thick_as_the_slice() -> None:
    assert reading(square(10.0, 5, 5, 4)).volume_mm3 == pytest.approx(16 * 0.25 * 2.5)


def test_a_single_pixel_has_no_volume_but_a_center_and_a_voxel() -> None:
    dot = reading(Contour(10.0, True, np.array([[7, 9]])))
    assert dot.volume_mm3 == 0.0
    assert dot.center_V3.tolist() == [10.0, 7.0, 9.0]
    assert NoduleCluster((dot,)).consensus_mask()[0].tolist() == [[[True]]]


def test_the_mask_has_the_lines_own_pixels_and_not_the_holes() -> None:
    holed = reading(square(10.0, 5, 5, 6, inclusion=True), square(10.0, 7, 7, 2, inclusion=False))
    mask_DHW = holed.mask_DHW((5, 4, 4), (1, 9, 9))
    assert mask_DHW.sum() == 7 * 7 - 3 * 3
    assert mask_DHW[0, 1, 1]
    assert not mask_DHW[0, 4, 4]
    assert not mask_DHW[0, 0].any()


def test_consensus_is_the_fraction_of_readers_that_cover_a_voxel() -> None:
    cluster = NoduleCluster((cube(100, 200), cube(100, 202), cube(100, 204)))
    assert cluster.mask_start == (5, 100, 200)
    votes = cluster.votes_DHW()
    assert votes.shape == (3, 5, 9)
    assert votes[1, 2].tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 2 / 3, 2 / 3, 1 / 3, 1 / 3])
    mask_DHW, spacing_mm = cluster.consensus_mask(0.5)
    assert mask_DHW[1, 2].tolist() == [False, False, True, True, True, True, True, False, False]
    assert cluster.consensus_mask(2 / 3)[0].sum() == mask_DHW.sum()
    assert spacing_mm == (2.0, 0.5, 0.5)


def test_center_diameter_and_ratings_are_over_the_readers() -> None:
    cluster = NoduleCluster((cube(100, 200, malignancy=1), cube(104, 200, malignancy=2), cube(102, 200, malignancy=5)))
    assert cluster.center == pytest.approx((104.0, 202.0, 12.0))
    assert cluster.diameter_mm == pytest.approx((6 * 24 / math.pi) ** (1 / 3))
    assert cluster.rating_mean("malignancy") == pytest.approx(8 / 3)
    assert cluster.rating_median("malignancy") == 2.0
    assert (cluster.readers, cluster.ambiguous) == (3, False)


def test_readings_within_the_slice_thickness_are_one_nodule_in_mm() -> None:
    # Edges at columns 204 and 209: 5 pixels are 2.5 mm; one pixel more is too far.
    assert len(cluster_readings([cube(100, 200), cube(100, 209)])) == 1
    assert len(cluster_readings([cube(100, 200), cube(100, 210)])) == 2
    # Two slices of 2 mm apart are 4 mm apart, though they are 2 "pixels" apart in index space.
    apart = [cube(100, 200, z_mm=10.0), cube(100, 200, z_mm=18.0)]
    assert len(cluster_readings(apart)) == 2
    assert len(cluster_readings(apart, metric="index")) == 1


def test_a_chain_of_readings_is_one_nodule_until_it_has_more_than_four() -> None:
    # Gaps of 3, 3, 3 and 4 pixels: 1.5 and 2 mm. All five join at 2.5 mm; at 2.5 * 0.9^3 = 1.82 mm the last is alone.
    columns = [200, 207, 214, 221, 229]
    clusters = cluster_readings([cube(100, column) for column in columns])
    assert sorted(cluster.readers for cluster in clusters) == [1, 4]


def test_readings_that_cannot_be_parted_are_flagged_as_ambiguous() -> None:
    (cluster,) = cluster_readings([cube(100, 200) for _ in range(5)])
    assert (cluster.readers, cluster.ambiguous) == (5, True)


def test_clusters_ascend_in_z_and_no_readings_are_no_clusters() -> None:
    clusters = cluster_readings([cube(100, 200, z_mm=30.0), cube(300, 200, z_mm=4.0)])
    assert [cluster.center[2] for cluster in clusters] == [6.0, 32.0]
    assert cluster_readings([]) == ()
