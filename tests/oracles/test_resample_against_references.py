"""Resampling beside SimpleITK, SciPy and a blob whose true values are known."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from scipy import ndimage

from fedlung.ct.geometry import Geometry
from fedlung.preprocess.kernels import axis_weights
from fedlung.preprocess.resample import cube_target, isotropic_target, resample

CPU = torch.device("cpu")
SOURCE = Geometry((24, 40, 36), (2.5, 0.7, 0.8), (-13.0, 21.0, -40.0))
OBLIQUE = Geometry((24, 40, 36), (2.5, 0.7, 0.8), (5.0, 6.0, 7.0), ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0)))


def noise(geometry: Geometry) -> np.ndarray:
    return np.random.default_rng(3).integers(-1000, 1000, geometry.shape_DHW, dtype=np.int16)


def by_simpleitk(voxels: np.ndarray, source: Geometry, target: Geometry) -> np.ndarray:
    image = sitk.GetImageFromArray(voxels.astype(np.float32))
    image.SetSpacing(source.spacing_mm[::-1])
    image.SetOrigin(source.origin_mm)
    image.SetDirection(np.ravel(source.direction).tolist())
    size = [int(num) for num in target.shape_DHW[::-1]]
    direction = np.ravel(target.direction).tolist()
    return sitk.GetArrayFromImage(
        sitk.Resample(
            image, size, sitk.Transform(), sitk.sitkLinear, target.origin_mm, target.spacing_mm[::-1], direction
        )
    )


def inner(target: Geometry, source: Geometry, reach: float) -> np.ndarray:
    index = np.stack(np.meshgrid(*[np.arange(num) for num in target.shape_DHW], indexing="ij"), axis=-1)
    at = source.world_to_index(target.index_to_world(index.reshape(-1, 3)))
    inside = np.all((at >= reach) & (at <= np.asarray(source.shape_DHW) - 1 - reach), axis=1)
    return inside.reshape(target.shape_DHW)


@pytest.mark.parametrize("source", [SOURCE, OBLIQUE], ids=["axial", "oblique"])
@pytest.mark.parametrize("spacing_mm", [0.6, 1.0, 1.25, 3.0])
def test_linear_equals_simpleitk_at_the_same_physical_points(source: Geometry, spacing_mm: float) -> None:
    voxels, target = noise(source), isotropic_target(source, spacing_mm)
    got = resample(torch.from_numpy(voxels), source, target, interpolation="linear", antialias=False, device=CPU)
    inside = inner(target, source, 0.0)
    np.testing.assert_allclose(got.numpy()[inside], by_simpleitk(voxels, source, target)[inside], atol=0.02)


@pytest.mark.parametrize("edge", [16, 30, 48])
def test_linear_equals_scipy_at_the_same_indices(edge: int) -> None:
    voxels, target = noise(SOURCE), cube_target(SOURCE, edge)
    got = resample(torch.from_numpy(voxels), SOURCE, target, interpolation="linear", antialias=False, device=CPU)
    index = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    at = SOURCE.world_to_index(target.index_to_world(index)).T
    wanted = ndimage.map_coordinates(voxels.astype(np.float64), at, order=1, mode="nearest")
    np.testing.assert_allclose(got.numpy().ravel(), wanted, atol=0.02)


@pytest.mark.parametrize("interpolation", ["linear", "catmull-rom"])
def test_the_blocks_of_the_band_equal_the_dense_product(interpolation: str) -> None:
    source = Geometry((70, 9, 83), (0.6, 1.0, 0.7), (0.0, 0.0, 0.0))
    target = isotropic_target(source, 0.5)
    z, y, x = axis_weights(source, target, interpolation=interpolation, antialias=True)
    voxels = noise(source)
    wanted = np.einsum("aD,bH,cW,DHW->abc", z, y, x, voxels, optimize=True)
    got = resample(torch.from_numpy(voxels), source, target, interpolation=interpolation, antialias=True, device=CPU)
    np.testing.assert_allclose(got.numpy(), wanted, atol=0.01)


def blobs(geometry: Geometry) -> np.ndarray:
    """Gaussians of 10 mm full width at half maximum and 900 HU on lung."""
    index = np.stack(np.meshgrid(*[np.arange(num) for num in geometry.shape_DHW], indexing="ij"), axis=-1)
    world = geometry.index_to_world(index.reshape(-1, 3))
    centers = [(12.0, 11.3, 15.2), (31.0, 30.0, 37.7), (15.4, 29.0, 50.1)]
    sigma = 10 / 2.3548
    value = sum(900 * np.exp(-((world - center) ** 2).sum(axis=1) / (2 * sigma**2)) for center in centers)
    return (value - 860).reshape(geometry.shape_DHW)


def test_catmull_rom_is_nearer_to_a_blob_than_linear_on_ct_spacing() -> None:
    source = Geometry((26, 60, 60), (2.5, 0.7, 0.7), (0.0, 0.0, 0.0))
    target = isotropic_target(source, 1.0)
    wanted, inside = blobs(target), inner(target, source, 2.0)

    def rmse(interpolation: str) -> float:
        got = resample(
            torch.from_numpy(blobs(source)), source, target, interpolation=interpolation, antialias=False, device=CPU
        )
        return float(np.sqrt(np.mean((got.numpy()[inside] - wanted[inside]) ** 2)))

    linear, cubic = rmse("linear"), rmse("catmull-rom")
    assert cubic < 0.35 * linear
    assert cubic < 2.0  # HU


def test_antialiasing_lowers_noise_to_what_the_weights_say() -> None:
    source = Geometry((60, 96, 96), (1.25, 0.7, 0.7), (0.0, 0.0, 0.0))
    target = cube_target(source, 24)
    rows = [
        np.mean((weights[2:-2] ** 2).sum(axis=1))
        for weights in axis_weights(source, target, interpolation="linear", antialias=True)
    ]
    voxels = torch.from_numpy(np.random.default_rng(0).normal(0, 69, source.shape_DHW))
    smooth = resample(voxels, source, target, interpolation="linear", antialias=True, device=CPU)[2:-2, 2:-2, 2:-2]
    assert abs(smooth.std().item() / (69 * np.sqrt(np.prod(rows))) - 1) < 0.05  # 8000 correlated voxels
    assert smooth.std().item() < 0.2 * 69
