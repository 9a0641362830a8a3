"""Where windows are set when only blobs get one."""

from __future__ import annotations

import numpy as np
import pytest

from fedlung.config import DetectionConfig, PatchConfig
from fedlung.evaluation.detection import Search
from fedlung.evaluation.detection.blobs import SCALES_MM, blob_places, least_curvature

SPACING_MM = (1.25, 1.25, 1.25)
LUNG_HU, TISSUE_HU = -860.0, 40.0
EDGE = 48
MIDDLE = (24.0, 24.0, 24.0)
INDEX = np.indices((EDGE,) * 3).astype(np.float64)


def ball(center_3: tuple[float, float, float], diameter_mm: float) -> np.ndarray:
    """(D, H, W) the share of each voxel within a ball, to about a tenth: its surface is as steep as a scanner's."""
    distance_mm = np.linalg.norm((INDEX - np.reshape(center_3, (3, 1, 1, 1))).T * SPACING_MM, axis=-1).T
    return np.clip(0.5 + (diameter_mm / 2 - distance_mm) / SPACING_MM[0], 0, 1)


def vessel(row: float, column: float, diameter_mm: float) -> np.ndarray:
    """(D, H, W) the same of a cylinder along the slices."""
    distance_mm = np.hypot(INDEX[1] - row, INDEX[2] - column) * SPACING_MM[0]
    return np.clip(0.5 + (diameter_mm / 2 - distance_mm) / SPACING_MM[0], 0, 1)


def wall(row: int) -> np.ndarray:
    return (INDEX[1] >= row).astype(np.float64)


def scene(*shares_and_hu: tuple[np.ndarray, float], noise_hu: float = 0.0) -> np.ndarray:
    """Even lung with shapes of their own HU in it; where two meet the brighter one counts."""
    hu = np.max([LUNG_HU + share_DHW * (own_hu - LUNG_HU) for share_DHW, own_hu in shares_and_hu], axis=0)
    return np.round(hu + np.random.default_rng(0).normal(0, noise_hu, hu.shape)).astype(np.int16)


def inside(behind: int = EDGE - 4) -> np.ndarray:
    lung_DHW = np.zeros((EDGE,) * 3, dtype=bool)
    lung_DHW[4:-4, 4:behind, 4:-4] = True
    return lung_DHW


def places(image_DHW: np.ndarray, lung_DHW: np.ndarray | None = None, least: float = 30.0) -> np.ndarray:
    found_DHW = blob_places(
        image_DHW, inside() if lung_DHW is None else lung_DHW, least_curvature_hu=least, spacing_mm=SPACING_MM
    )
    return np.argwhere(found_DHW)


def nearest_mm(place_N3: np.ndarray, center_3: tuple[float, float, float] = MIDDLE) -> float:
    return float(np.linalg.norm((place_N3 - center_3) * SPACING_MM, axis=1).min(initial=np.inf))


@pytest.mark.parametrize("diameter_mm", [3.0, 5.0, 8.0, 12.0])
def test_a_ball_has_one_place_in_its_middle(diameter_mm: float) -> None:
    assert places(scene((ball(MIDDLE, diameter_mm), TISSUE_HU))).tolist() == [[24, 24, 24]]


def test_a_straight_vessel_has_none_but_where_the_mask_cuts_it_and_even_lung_has_none() -> None:
    slices_N = places(scene((vessel(24, 24, 5.0), TISSUE_HU)))[:, 0]
    assert np.minimum(slices_N - 4, EDGE - 5 - slices_N).max() <= 2  # the mask begins at slice 4
    assert len(places(scene((ball(MIDDLE, 6.0), LUNG_HU)))) == 0


@pytest.mark.parametrize(("diameter_mm", "apart_mm"), [(4.0, 4.5), (6.0, 5.0), (8.0, 6.0)])
def test_a_nodule_on_a_brighter_vessel_has_a_place_though_it_is_not_the_brightest_nearby(
    diameter_mm: float, apart_mm: float
) -> None:
    """The vessel, of 5 mm and with contrast agent, is the brightest within 5 mm of the nodule's centre."""
    image_DHW = scene((ball(MIDDLE, diameter_mm), TISSUE_HU), (vessel(24, 24 + apart_mm / 1.25, 5.0), 300.0))
    assert image_DHW[20:29, 20:29, 20:29].max() > TISSUE_HU + 100
    assert nearest_mm(places(image_DHW)) < diameter_mm / 2


@pytest.mark.parametrize("below_mm", [0.0, 1.25, 2.5])
def test_a_nodule_on_the_wall_has_a_place_inside_of_the_mask(below_mm: float) -> None:
    """The pleura lies 2.5 mm behind the centre of a ball of 6 mm, and the mask ends as far beyond it as a closing
    leaves."""
    behind = 24 + round((2.5 - below_mm) / 1.25) + 1
    image_DHW = scene((ball(MIDDLE, 6.0), TISSUE_HU), (wall(26), 100.0))
    found_N3 = places(image_DHW, inside(behind=behind))
    assert nearest_mm(found_N3) < 3.0
    assert (found_N3[:, 1] < behind).all()


def test_ground_glass_in_noise_has_a_place_of_its_own_size() -> None:
    """10 mm at -600 HU in noise of 40 HU, of which no voxel stands out from its neighbours."""
    image_DHW = scene((ball(MIDDLE, 10.0), -600.0), noise_hu=40.0)
    assert nearest_mm(places(image_DHW)) < 5.0


def test_the_chest_wall_neither_has_a_place_nor_changes_one() -> None:
    image_DHW = scene((ball((24.0, 30.0, 24.0), 6.0), TISSUE_HU))
    walled_DHW = np.where(inside(behind=34), image_DHW, 900).astype(np.int16)
    assert np.array_equal(places(walled_DHW, inside(behind=34)), places(image_DHW, inside(behind=34)))
    assert places(walled_DHW, inside(behind=34)).tolist() == [[24, 30, 24]]


def test_the_places_of_a_larger_volume_and_of_a_mirror_image_are_the_same_ones() -> None:
    """They depend on the lung alone, neither on what is around it nor on where a volume begins."""
    image_DHW = scene((ball(MIDDLE, 6.0), TISSUE_HU), (ball((12.0, 33.0, 20.0), 4.0), 0.0), noise_hu=30.0)
    here_N3 = places(image_DHW)
    assert len(here_N3) == 2
    larger = np.pad(image_DHW, ((3, 5), (0, 7), (2, 0)), constant_values=-1000)
    in_larger_N3 = places(larger, np.pad(inside(), ((3, 5), (0, 7), (2, 0))))
    assert np.array_equal(in_larger_N3 - [3, 0, 2], here_N3)
    mirrored_N3 = places(image_DHW[::-1].copy())
    assert {(EDGE - 1 - z, y, x) for z, y, x in mirrored_N3} == set(map(tuple, here_N3))


def test_a_volume_without_lung_has_none() -> None:
    image_DHW = scene((ball(MIDDLE, 6.0), TISSUE_HU))
    assert len(places(image_DHW, np.zeros_like(inside()))) == 0


def test_the_least_curvature_is_that_of_the_flattest_direction_whichever_way_it_points() -> None:
    """A parabola that bends by 6, 4 and 2 HU per mm² along three axes that are no rows of the grid; voxels of 1 x 2 x
    0.5 mm."""
    rotation_33, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    spacing_mm = (1.0, 2.0, 0.5)
    offset_mm = (np.indices((9, 9, 9)) - 4.0) * np.reshape(spacing_mm, (3, 1, 1, 1))
    image_DHW = -0.5 * sum(
        bend * np.tensordot(axis_3, offset_mm, axes=1) ** 2 for bend, axis_3 in zip((6, 4, 2), rotation_33, strict=True)
    )
    assert least_curvature(image_DHW, np.array([[4, 4, 4], [3, 5, 2]]), spacing_mm) == pytest.approx([2.0, 2.0])


def test_a_ball_bends_as_the_blurred_ball_is_known_to() -> None:
    """A small ball of volume V is blurred to a Gaussian, whose second derivative in the middle is
    V · HU / ((2 pi)^1.5 sigma^5): times sigma², the least that is asked decides on either side of it."""
    sigma_mm = SCALES_MM[0]
    image_DHW = np.full((EDGE,) * 3, LUNG_HU)
    image_DHW[24, 24, 24] += 1500
    volume_mm3 = np.prod(SPACING_MM)
    # The differences of neighbours, a voxel apart, see the curvature less: 2 (1 - exp(-h²/2s²)) s²/h² of it.
    step = SPACING_MM[0] / sigma_mm
    seen = 2 * (1 - np.exp(-(step**2) / 2)) / step**2
    curvature_hu = seen * 1500 * volume_mm3 / ((2 * np.pi) ** 1.5 * sigma_mm**3)
    assert len(places(image_DHW.astype(np.int16), least=0.98 * curvature_hu)) == 1
    assert len(places(image_DHW.astype(np.int16), least=1.02 * curvature_hu)) == 0


def test_the_search_is_the_configured_one() -> None:
    blobs = Search.of(DetectionConfig(least_curvature_hu=40.0, max_candidates=7), PatchConfig(size=24))
    assert (blobs.least_curvature_hu, blobs.size, blobs.max_candidates) == (40.0, 24, 7)
    everywhere = Search.of(DetectionConfig(search="everywhere", stride=3), PatchConfig())
    assert (everywhere.least_curvature_hu, everywhere.stride) == (None, 3)
