"""The seven training augmentations and mirroring: ``draw`` what happens to a batch, then ``apply`` it.

What was drawn is plain numbers that can be kept as JSON and replayed. Rotation, scale, shift, mirroring and elastic
deformation together are one resampling of each sample, on the batch's device; then contrast, brightness and noise.

B batch, C = 1 channel, E edge of the cube, G elastic control points along an edge. Axes are zyx, lengths in voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.interpolate import CubicSpline

from fedlung.config import AugmentConfig
from fedlung.patches.drawn import Drawn

FloatArray = npt.NDArray[np.float64]
_TUTORIAL_EDGE = 128  # the edge at which shifts and displacements are configured


@dataclass(frozen=True)
class Augmentation(Drawn):
    """What happens to each sample of a batch; zeros and a scale of one change nothing.

    angles_degrees_B3  rotation about z, then y, then x
    scale_B            above one: what is seen gets larger
    shift_B3           towards larger indices
    mirror_B3          along z, y, x
    elastic_B3G        (B, 3, G, G, G) displacement of the control points: where the content is taken from
    contrast_B         factor of the deviation from the sample's mean
    brightness_B       added
    noise_sd_B         of Gaussian noise, which ``noise_seed_B`` decides
    """

    angles_degrees_B3: FloatArray
    scale_B: FloatArray
    shift_B3: FloatArray
    mirror_B3: npt.NDArray[np.bool_]
    elastic_B3G: FloatArray
    contrast_B: FloatArray
    brightness_B: FloatArray
    noise_sd_B: FloatArray
    noise_seed_B: npt.NDArray[np.int64]


def draw(batch_size: int, edge: int, cfg: AugmentConfig, rng: np.random.Generator) -> Augmentation:
    """Draw each augmentation for each sample with its own probability; uniform ranges, Gaussian displacements.

    Shift and elastic displacement are configured in voxels at an edge of 128 and scale with ``edge``.
    """
    per_voxel = edge / _TUTORIAL_EDGE
    control = (3, *[cfg.elastic_grid] * 3)

    def happens(probability: float, *shape: int) -> npt.NDArray[np.bool_]:
        drawn_B = rng.random(batch_size) < (probability if cfg.enabled else 0.0)
        return drawn_B.reshape(-1, *[1] * len(shape))

    def symmetric(limit: float, *shape: int) -> FloatArray:
        return rng.uniform(-limit, limit, size=(batch_size, *shape))

    return Augmentation(
        angles_degrees_B3=happens(cfg.rotation_probability, 3) * symmetric(cfg.rotation_degrees, 3),
        scale_B=np.where(happens(cfg.scale_probability), rng.uniform(cfg.scale_min, cfg.scale_max, batch_size), 1.0),
        shift_B3=happens(cfg.shift_probability, 3) * symmetric(cfg.shift_voxels * per_voxel, 3),
        mirror_B3=happens(float(cfg.flip), 3) & (rng.random((batch_size, 3)) < 0.5),
        elastic_B3G=happens(cfg.elastic_probability, *control)
        * rng.normal(0.0, cfg.elastic_voxels * per_voxel, size=(batch_size, *control)),
        contrast_B=1 + happens(cfg.contrast_probability) * symmetric(cfg.contrast),
        brightness_B=happens(cfg.brightness_probability) * symmetric(cfg.brightness),
        noise_sd_B=np.where(happens(cfg.noise_probability), cfg.noise_sd, 0.0),
        noise_seed_B=rng.integers(0, 2**62, size=batch_size),
    )


@torch.no_grad()
def apply(x_BCDHW: torch.Tensor, augmentation: Augmentation) -> torch.Tensor:
    """The augmented batch, within [0, 1], on the batch's device; a sample's result depends on that sample alone.

    What is drawn in from outside the cube repeats its border. The noise is drawn on the CPU so that a replay gives the
    same noise on every device.
    """
    out_BCDHW = x_BCDHW.clone()
    for moved in _at_once(np.flatnonzero(_moves(augmentation)), x_BCDHW.device):
        where = torch.from_numpy(moved).to(x_BCDHW.device)
        grid_BDHW3 = _sampling_grid(augmentation.take(moved), x_BCDHW.shape[-1], x_BCDHW.device)
        out_BCDHW[where] = F.grid_sample(x_BCDHW[where], grid_BDHW3, padding_mode="border", align_corners=True)
    return _change_intensity(out_BCDHW, augmentation).clamp_(0.0, 1.0)


def _at_once(indices_N: npt.NDArray[np.int64], device: torch.device) -> list[npt.NDArray[np.int64]]:
    """All of a batch on an accelerator; on the CPU one sample for each thread, whose grids then fit a cache."""
    num = torch.get_num_threads() if device.type == "cpu" else max(1, len(indices_N))
    return [indices_N[start : start + num] for start in range(0, len(indices_N), num)]


def _moves(augmentation: Augmentation) -> npt.NDArray[np.bool_]:
    """(B,) whether a sample is resampled at all."""
    a = augmentation
    return (
        a.angles_degrees_B3.any(axis=1)
        | (a.scale_B != 1)
        | a.shift_B3.any(axis=1)
        | a.mirror_B3.any(axis=1)
        | a.elastic_B3G.any(axis=(1, 2, 3, 4))
    )


def _sampling_grid(augmentation: Augmentation, edge: int, device: torch.device) -> torch.Tensor:
    """(B, E, E, E, 3) where each output voxel is taken from, as xyz in [-1, 1] between the outer voxels' centres."""
    matrix_B33 = _inverse_matrix(augmentation)
    half = (edge - 1) / 2
    offset_B3 = -np.einsum("bij,bj->bi", matrix_B33, augmentation.shift_B3 / half)
    # grid_sample wants xyz; everything before is zyx.
    matrix = torch.tensor(matrix_B33[:, ::-1].copy(), dtype=torch.float32, device=device)
    offset = torch.tensor(offset_B3[:, ::-1].copy(), dtype=torch.float32, device=device)
    position_E = torch.linspace(-1.0, 1.0, edge, device=device)
    along_zyx = [position_E[:, None] * matrix[:, None, :, axis] for axis in range(3)]
    plane_BEE3 = (along_zyx[0] + offset[:, None])[:, :, None] + along_zyx[1][:, None]
    grid_BDHW3 = plane_BEE3[:, :, :, None] + along_zyx[2][:, None, None]
    _add_elastic(grid_BDHW3, augmentation.elastic_B3G, half)
    return grid_BDHW3


def _inverse_matrix(augmentation: Augmentation) -> FloatArray:
    """(B, 3, 3) from an output offset to the input's, zyx: mirror after the inverse of rotation times scale."""
    angle_B3 = np.deg2rad(augmentation.angles_degrees_B3)
    rotation_B33 = _turn(angle_B3[:, 2], 0, 1) @ _turn(angle_B3[:, 1], 0, 2) @ _turn(angle_B3[:, 0], 1, 2)
    mirror_B3 = np.where(augmentation.mirror_B3, -1.0, 1.0)
    return mirror_B3[:, :, None] * rotation_B33.transpose(0, 2, 1) / augmentation.scale_B[:, None, None]


def _turn(angle_B: FloatArray, first: int, second: int) -> FloatArray:
    """(B, 3, 3) rotation in the plane of two axes, from the second towards the first: rot90's sense."""
    matrix_B33 = np.tile(np.eye(3), (len(angle_B), 1, 1))
    matrix_B33[:, first, first] = matrix_B33[:, second, second] = np.cos(angle_B)
    matrix_B33[:, second, first] = np.sin(angle_B)
    matrix_B33[:, first, second] = -np.sin(angle_B)
    return matrix_B33


def _add_elastic(grid_BDHW3: torch.Tensor, elastic_B3G: FloatArray, half: float) -> None:
    """Add the smooth displacement, cubic between the control points."""
    if not elastic_B3G.any():
        return
    device, (num, edge) = grid_BDHW3.device, grid_BDHW3.shape[:2]
    control = torch.tensor(elastic_B3G[:, ::-1] / half, dtype=torch.float32, device=device)
    basis_EG = torch.tensor(_spline_basis(edge, control.shape[-1]), dtype=torch.float32, device=device)
    # One axis after the other, z last and as a plain product: it is the only large one and needs no transposing.
    lines_BGGE3 = torch.einsum("bkpqr,xr->bpqxk", control, basis_EG)
    planes_BGEE3 = torch.einsum("bpqxk,yq->bpyxk", lines_BGGE3, basis_EG)
    grid_BDHW3.view(num, edge, -1).baddbmm_(basis_EG.expand(num, -1, -1), planes_BGEE3.flatten(start_dim=2))


@lru_cache(maxsize=8)
def _spline_basis(edge: int, num_control: int) -> FloatArray:
    """(E, G) weights of the natural cubic spline through G points from edge to edge."""
    spline = CubicSpline(np.linspace(0, 1, num_control), np.eye(num_control), bc_type="natural")
    return spline(np.linspace(0, 1, edge))


def _change_intensity(x_BCDHW: torch.Tensor, augmentation: Augmentation) -> torch.Tensor:
    """Contrast about the sample's mean, then brightness, then noise; in place."""
    for index in np.flatnonzero((augmentation.contrast_B != 1) | (augmentation.brightness_B != 0)):
        x_CDHW = x_BCDHW[index]
        contrast, brightness = augmentation.contrast_B[index], augmentation.brightness_B[index]
        x_CDHW.mul_(contrast).add_(x_CDHW.mean() / contrast * (1 - contrast) + brightness)
    for index in np.flatnonzero(augmentation.noise_sd_B):
        generator = torch.Generator().manual_seed(int(augmentation.noise_seed_B[index]))
        noise_CDHW = torch.randn(x_BCDHW.shape[1:], generator=generator).to(x_BCDHW.device)
        x_BCDHW[index].add_(noise_CDHW, alpha=float(augmentation.noise_sd_B[index]))
    return x_BCDHW
