"""The lung mask beside the same definition at the CT's own resolution, with exact balls: slow and obvious.

The overlap is with this definition, not with a radiologist's outline. The radius of its closing, 14 mm, was chosen: the
mask's own neighbourhood lies between balls of 12.0 and 13.8 mm. The overlap hangs on it: with 13 mm one of the five
real series has .989.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from scipy import ndimage

from fedlung.ct import Geometry, Volume, find_series, read_series
from fedlung.ct.phantom import PROFILES, PhantomConfig
from fedlung.ct.phantom.scanner import scan
from fedlung.ct.phantom.scene import make_scene
from fedlung.preprocess.lungs import AIR_HU, SMALLEST_LUNG, find_lungs

OPENING_MM, CLOSING_MM = 3.0, 14.0
Spacing = tuple[float, float, float]


def within(mask: np.ndarray, radius_mm: float, spacing_mm: Spacing) -> np.ndarray:
    """The voxels no farther from the mask than the radius: a dilation by an exact ball."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing_mm[::-1])
    away_mm = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    return sitk.GetArrayFromImage(away_mm) <= radius_mm


def pieces(mask: np.ndarray, num: int) -> list[np.ndarray]:
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return [labels == label for label in np.argsort(-sizes)[:num] if sizes[label] > SMALLEST_LUNG * sizes.max()]


def body_of(tissue: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    longer = np.pad(tissue, 5, mode="edge")
    eroded = ~within(~longer, OPENING_MM, spacing_mm)
    (body,) = pieces(within(eroded, OPENING_MM, spacing_mm)[5:-5, 5:-5, 5:-5], 1)
    return np.stack([ndimage.binary_fill_holes(plane) for plane in body])


def closed(piece: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    z, y, x = (int(np.ceil(CLOSING_MM / step)) + 1 for step in spacing_mm)
    longer = np.pad(np.pad(piece, ((z, z), (0, 0), (0, 0)), mode="edge"), ((z, z), (y, y), (x, x)))
    shut = ~within(~within(longer, CLOSING_MM, spacing_mm), CLOSING_MM, spacing_mm)
    return ndimage.binary_fill_holes(shut[2 * z : -2 * z, y:-y, x:-x])


def reference(hu: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    air = hu <= AIR_HU
    lungs = pieces(body_of(~air, spacing_mm) & air, 2)
    return np.logical_or.reduce([closed(piece, spacing_mm) for piece in lungs])


def overlap(volume: Volume) -> float:
    hu = np.clip(volume.voxels_DHW, -1024, 3071)
    mask = find_lungs(torch.from_numpy(hu), volume.geometry).mask_on(volume.geometry)
    wanted = reference(hu, volume.spacing_mm)
    return float(np.count_nonzero(mask & wanted) / np.count_nonzero(mask | wanted))


def phantom_scan(patient_seed: int) -> Volume:
    """A whole chest in slices of 2.5 mm, as a thorax scanner gives it."""
    scene = make_scene(patient_seed, (), coverage_mm=300.0, smallest_vessel_mm=1.2)
    cfg = PhantomConfig(matrix=256, coverage_mm=300.0)
    taken = scan(scene, PROFILES["GE"], cfg, np.random.default_rng(patient_seed), protocol=PROFILES["GE"].protocols[0])
    return Volume(taken.hu_DHW, Geometry(taken.grid.shape_DHW, taken.grid.spacing_mm, (0.0, 0.0, 0.0)))


@pytest.mark.parametrize("patient_seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_on_a_phantom_the_mask_overlaps_the_native_one_by_99_percent(patient_seed: int) -> None:
    assert overlap(phantom_scan(patient_seed)) >= 0.99


@pytest.mark.slow
@pytest.mark.lidc
def test_on_every_real_series_the_mask_overlaps_the_native_one_by_99_percent(lidc_folder: Path) -> None:
    series, _ = find_series(lidc_folder)
    assert len(series) == 5
    overlaps = [overlap(read_series(one)) for one in series]
    assert min(overlaps) >= 0.99, overlaps
