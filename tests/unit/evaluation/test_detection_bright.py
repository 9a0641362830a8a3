"""Where windows are set when only bright spots get one."""

from __future__ import annotations

import numpy as np
import pytest

from fedlung.config import DetectionConfig, PatchConfig
from fedlung.evaluation.detection import Search
from fedlung.evaluation.detection.bright import Bright, bright_spots

SPACING_MM = (1.25, 1.25, 1.25)
NEAR = Bright(reach_mm=4.0, least_hu=-800)


def lung(*balls: tuple[int, int, int, int], edge: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Even lung with cubes of soft tissue (z, y, x, half edge); the mask leaves the border out."""
    image_DHW = np.full((edge,) * 3, -860, dtype=np.int16)
    for z, y, x, half in balls:
        image_DHW[z - half : z + half + 1, y - half : y + half + 1, x - half : x + half + 1] = 40
    lung_DHW = np.zeros(image_DHW.shape, dtype=bool)
    lung_DHW[4:-4, 4:-4, 4:-4] = True
    return image_DHW, lung_DHW


def spots(image_DHW: np.ndarray, lung_DHW: np.ndarray, bright: Bright = NEAR) -> list[list[int]]:
    return np.argwhere(bright_spots(image_DHW, lung_DHW, bright, spacing_mm=SPACING_MM)).tolist()


def test_a_nodule_has_one_spot_in_its_middle_and_even_lung_has_none() -> None:
    assert spots(*lung()) == []
    assert spots(*lung((16, 16, 16, 1))) == [[16, 16, 16]]


def test_of_two_within_reach_the_brighter_has_the_spot_and_farther_apart_both() -> None:
    image_DHW, lung_DHW = lung((16, 16, 12, 1), (16, 16, 15, 0))  # 3 voxels, 3.75 mm
    assert spots(image_DHW, lung_DHW) == [[16, 16, 12]]
    assert spots(*lung((16, 16, 10, 1), (16, 16, 16, 1))) == [[16, 16, 10], [16, 16, 16]]  # 7.5 mm


def test_what_is_outside_of_the_mask_neither_has_a_spot_nor_takes_one_away() -> None:
    image_DHW, lung_DHW = lung((16, 16, 6, 1))
    image_DHW[:, :, :4] = 300  # the chest wall, 2.5 mm beside the nodule
    assert spots(image_DHW, lung_DHW) == [[16, 16, 6]]


@pytest.mark.parametrize(("least_hu", "expected"), [(-900, True), (-500, False)])
def test_a_spot_is_at_least_as_bright_as_asked(least_hu: float, *, expected: bool) -> None:
    image_DHW, lung_DHW = lung()
    image_DHW[16, 16, 16] = -500  # one voxel of 27: mean of about -847
    assert ([16, 16, 16] in spots(image_DHW, lung_DHW, Bright(4.0, least_hu))) is expected


def test_the_search_is_the_configured_one() -> None:
    bright = Search.of(DetectionConfig(reach_mm=3.0, max_candidates=7), PatchConfig(size=24))
    assert (bright.bright, bright.size, bright.max_candidates) == (Bright(3.0, -800), 24, 7)
    everywhere = Search.of(DetectionConfig(search="everywhere", stride=3), PatchConfig())
    assert (everywhere.bright, everywhere.stride) == (None, 3)
