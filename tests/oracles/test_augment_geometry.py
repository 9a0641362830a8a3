"""The one resampling against references that are obvious: rot90, flip, roll, SciPy's map_coordinates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.ndimage import center_of_mass, map_coordinates

from fedlung.config import AugmentConfig
from fedlung.patches.augment import Augmentation, apply, draw

EDGE = 17
IDENTITY = draw(1, EDGE, AugmentConfig(enabled=False), np.random.default_rng(0))


@pytest.fixture
def x_BCDHW() -> torch.Tensor:
    return torch.rand(1, 1, EDGE, EDGE, EDGE, generator=torch.Generator().manual_seed(1))


def blob(center_3: tuple[float, float, float], sd: float, edge: int = 32) -> torch.Tensor:
    axes = [torch.arange(edge, dtype=torch.float32) - center for center in center_3]
    squared = axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2
    return torch.exp(-squared / (2 * sd**2))[None, None]


@pytest.mark.parametrize(("axis", "plane"), [(0, (1, 2)), (1, (0, 2)), (2, (0, 1))])
def test_a_rotation_of_90_degrees_about_an_axis_is_rot90(
    x_BCDHW: torch.Tensor, axis: int, plane: tuple[int, int]
) -> None:
    angles = np.zeros((1, 3))
    angles[0, axis] = 90
    out = apply(x_BCDHW, replace(IDENTITY, angles_degrees_B3=angles))
    expected = torch.rot90(x_BCDHW, 1, dims=[dim + 2 for dim in plane])
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirroring_is_flip(x_BCDHW: torch.Tensor, axis: int) -> None:
    mirror = np.arange(3)[None] == axis
    out = apply(x_BCDHW, replace(IDENTITY, mirror_B3=mirror))
    torch.testing.assert_close(out, x_BCDHW.flip(axis + 2), rtol=0, atol=1e-5)


def test_a_whole_shift_moves_content_towards_larger_indices(x_BCDHW: torch.Tensor) -> None:
    out = apply(x_BCDHW, replace(IDENTITY, shift_B3=np.array([[2.0, -1.0, 3.0]])))
    torch.testing.assert_close(out[..., 2:, :-1, 3:], x_BCDHW[..., :-2, 1:, :-3], rtol=0, atol=1e-5)


def test_scale_makes_a_blob_larger_by_that_factor() -> None:
    x_BCDHW = blob((15.5, 15.5, 15.5), sd=4.0)
    augmentation = draw(1, 32, AugmentConfig(enabled=False), np.random.default_rng(0))
    out = apply(x_BCDHW, replace(augmentation, scale_B=np.array([1.15])))
    torch.testing.assert_close(
        out, blob((15.5, 15.5, 15.5), sd=4.6), rtol=0, atol=0.015
    )  # linear interpolation flattens the peak by .012


def test_scale_and_shift_move_a_blob_to_where_they_say() -> None:
    x_BCDHW = blob((19.5, 15.5, 11.5), sd=2.0)
    augmentation = draw(1, 32, AugmentConfig(enabled=False), np.random.default_rng(0))
    out = apply(x_BCDHW, replace(augmentation, scale_B=np.array([0.9]), shift_B3=np.array([[1.0, 2.0, 0.0]])))
    assert center_of_mass(out[0, 0].numpy()) == pytest.approx((15.5 + 3.6 + 1, 17.5, 15.5 - 3.6), abs=0.02)


def reference(x_DHW: np.ndarray, augmentation: Augmentation) -> np.ndarray:
    """Voxel by voxel's position in float64, then SciPy's linear interpolation with the border repeated."""
    half = (EDGE - 1) / 2
    z, y, x = np.deg2rad(augmentation.angles_degrees_B3[0])
    turn_z = np.array([[1, 0, 0], [0, np.cos(z), -np.sin(z)], [0, np.sin(z), np.cos(z)]])
    turn_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    turn_x = np.array([[np.cos(x), -np.sin(x), 0], [np.sin(x), np.cos(x), 0], [0, 0, 1]])
    forward = turn_x @ turn_y @ turn_z * augmentation.scale_B[0] @ np.diag(1 - 2.0 * augmentation.mirror_B3[0])
    out_3N = np.indices((EDGE,) * 3).reshape(3, -1) - half
    taken_3N = np.linalg.inv(forward) @ (out_3N - augmentation.shift_B3[0][:, None]) + half
    bent_3DHW = augmentation.elastic_B3G[0]
    points = np.linspace(0, 1, bent_3DHW.shape[-1])
    for axis in (1, 2, 3):
        spline = CubicSpline(points, bent_3DHW, axis=axis, bc_type="natural")
        bent_3DHW = spline(np.linspace(0, 1, EDGE))
    position_3N = np.clip(taken_3N + bent_3DHW.reshape(3, -1), 0, EDGE - 1)
    return map_coordinates(x_DHW, position_3N, order=1).reshape(x_DHW.shape)


@pytest.mark.parametrize("seed", range(5))
def test_all_geometry_together_is_what_scipy_gives_point_by_point(x_BCDHW: torch.Tensor, seed: int) -> None:
    cfg = AugmentConfig(
        rotation_probability=1,
        scale_probability=1,
        shift_probability=1,
        elastic_probability=1,
        rotation_degrees=60,
        noise_probability=0,
        brightness_probability=0,
        contrast_probability=0,
    )
    augmentation = draw(1, EDGE, cfg, np.random.default_rng(seed))
    expected_DHW = reference(x_BCDHW[0, 0].double().numpy(), augmentation)
    np.testing.assert_allclose(apply(x_BCDHW, augmentation)[0, 0].numpy(), expected_DHW, atol=2e-5)
