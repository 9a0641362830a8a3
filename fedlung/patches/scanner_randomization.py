"""Patches as another scanner would have shown them: ``draw`` a scanner for each, then ``apply`` it.

The physics is that of the phantom's scanner (``ct/phantom/scanner.py``), used on an image that a scanner has blurred
and sampled before: the changes come on top. In order: in-plane transfer (a further blur with one half at f50, or
enhanced edges) together with another pixel edge; slices that are means over a thickness T, taken at an increment from a
random phase and interpolated back; a gain about 0 HU and an offset; noise with a spectrum, which slices that overlap
share. An image that was cut to a window stays cut: what lay outside cannot be blurred back in.

What was drawn is plain numbers that can be kept as JSON and replayed. B batch, E edge of the cube in voxels, F columns
of the half spectrum, P pixels of a slice, D slice, H row, W column. Axes are zyx.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from fedlung.config import PrepareConfig, ScannerConfig
from fedlung.ct.phantom.profiles import Protocol
from fedlung.ct.phantom.scanner import noise_amplitude, transfer_function
from fedlung.patches.drawn import Drawn

FloatArray = npt.NDArray[np.float64]

NOISE_WIDTHS_PER_MM = (0.15, 0.25)  # of the spectrum's fall: what the phantom's four scanners have
LEAST_INCREMENT = 0.5  # slices overlap by half at most


@dataclass(frozen=True)
class ScannerChange(Drawn):
    """The scanner that each sample of a batch is seen through.

    changed_B              whether it is at all; nothing else counts where it is not
    f50_per_mm_B           in-plane frequency at which a wave keeps half its height; 0: no blur
    edge_gain_B            height of the enhancement around the phantom's ``edge_peak_per_mm``
    pixel_scale_B          above one: what is seen gets larger
    thickness_mm_B         T of the slices; not above the voxel's edge: no slices
    increment_share_B      distance of neighbouring slices over T
    phase_B                place of the slice nearest above the middle, in increments
    noise_hu_B             deviation in each slice
    noise_peak_per_mm_B    where the noise's power spectrum peaks
    noise_width_per_mm_B   deviation of its half-Gaussian fall
    noise_seed_B           which noise
    gain_B, offset_hu_B    HU become ``gain · HU + offset``
    """

    changed_B: npt.NDArray[np.bool_]
    f50_per_mm_B: FloatArray
    edge_gain_B: FloatArray
    pixel_scale_B: FloatArray
    thickness_mm_B: FloatArray
    increment_share_B: FloatArray
    phase_B: FloatArray
    noise_hu_B: FloatArray
    noise_peak_per_mm_B: FloatArray
    noise_width_per_mm_B: FloatArray
    noise_seed_B: npt.NDArray[np.int64]
    gain_B: FloatArray
    offset_hu_B: FloatArray


def draw(batch_size: int, cfg: ScannerConfig, rng: np.random.Generator) -> ScannerChange:
    """A scanner for each sample with the configured probability, everything uniform in its range."""

    def between(low: float, high: float) -> FloatArray:
        return rng.uniform(low, high, batch_size)

    changed_B = rng.random(batch_size) < cfg.probability
    sharpened_B = rng.random(batch_size) < cfg.edge_probability
    return ScannerChange(
        changed_B=changed_B,
        f50_per_mm_B=np.where(sharpened_B, 0.0, between(cfg.f50_min_per_mm, cfg.f50_max_per_mm)),
        edge_gain_B=np.where(sharpened_B, between(0.0, cfg.edge_gain), 0.0),
        pixel_scale_B=between(1.0 - cfg.pixel_scale, 1.0 + cfg.pixel_scale),
        thickness_mm_B=between(cfg.thickness_min_mm, cfg.thickness_max_mm),
        increment_share_B=between(LEAST_INCREMENT, 1.0),
        phase_B=between(0.0, 1.0),
        noise_hu_B=between(0.0, cfg.noise_hu),
        noise_peak_per_mm_B=between(cfg.noise_peak_min_per_mm, cfg.noise_peak_max_per_mm),
        noise_width_per_mm_B=between(*NOISE_WIDTHS_PER_MM),
        noise_seed_B=rng.integers(0, 2**62, size=batch_size),
        gain_B=between(1.0 - cfg.gain, 1.0 + cfg.gain),
        offset_hu_B=between(-cfg.offset_hu, cfg.offset_hu),
    )


@torch.no_grad()
def apply(x_BCDHW: torch.Tensor, change: ScannerChange, *, voxel_mm: float, window: PrepareConfig) -> torch.Tensor:
    """The batch (B, 1, E, E, E) through its scanners, within [0, 1], on the batch's device; the input stays as it is.

    0 and 1 are the window's ends in HU. A sample's result depends on that sample alone. The noise is drawn on the CPU
    so that a replay gives the same noise on every device.
    """
    changed = np.flatnonzero(change.changed_B)
    if not len(changed):
        return x_BCDHW
    own, device = change.take(changed), x_BCDHW.device
    where = torch.from_numpy(changed).to(device)
    image_BDP = in_plane(x_BCDHW[where, 0], own, voxel_mm).flatten(start_dim=2)
    noise_BDP = _noise(own, x_BCDHW.shape[-1], voxel_mm).to(device).flatten(start_dim=2)
    of_image_BEE, of_noise_BEE = slice_weights(own, x_BCDHW.shape[-1], voxel_mm)
    gain_B, offset_B, level_B = _in_units_of(window, own)
    out_BDP = _tensor(gain_B * of_image_BEE, device) @ image_BDP + _tensor(offset_B, device)
    out_BDP.baddbmm_(_tensor(level_B * of_noise_BEE, device), noise_BDP).clamp_(0.0, 1.0)
    out_BCDHW = x_BCDHW.clone()
    out_BCDHW[where] = out_BDP.view(-1, *x_BCDHW.shape[1:])
    return out_BCDHW


def _in_units_of(window: PrepareConfig, change: ScannerChange) -> list[FloatArray]:
    """Gain, offset and noise level, (B, 1, 1) each, for values of which 0 and 1 are the window's ends."""
    width_hu = window.hu_max - window.hu_min
    offset_B = ((change.gain_B - 1.0) * window.hu_min + change.offset_hu_B) / width_hu
    return [values_B[:, None, None] for values_B in (change.gain_B, offset_B, change.noise_hu_B / width_hu)]


def in_plane(image_BDHW: torch.Tensor, change: ScannerChange, voxel_mm: float) -> torch.Tensor:
    """Each slice through the transfer function, on pixels of another edge.

    By the cosine transform, to which the image goes on beyond its borders as in a mirror: no border shines through to
    the opposite one, and its inverse can be evaluated between the pixels.
    """
    edge, device = image_BDHW.shape[-1], image_BDHW.device
    transfer_BEE = np.stack([_transfer(change, sample, edge, voxel_mm) for sample in range(len(change))])
    middle = (edge - 1) / 2
    from_BE = (np.arange(edge) - middle) / change.pixel_scale_B[:, None] + middle
    analysis_EE = _tensor(_cosines(np.arange(edge), edge), device)
    synthesis_B1EE = _tensor(_cosines(from_BE, edge), device).unsqueeze(1)
    spectrum_BDEE = (analysis_EE.T @ image_BDHW @ analysis_EE) * _tensor(transfer_BEE, device).unsqueeze(1)
    return synthesis_B1EE @ spectrum_BDEE @ synthesis_B1EE.mT


def slice_weights(change: ScannerChange, edge: int, voxel_mm: float) -> tuple[FloatArray, FloatArray]:
    """(B, E, E) what each voxel along z takes of the voxels it was made of: of the image's, and of white noise.

    A voxel lies between two slices and is interpolated linearly. A slice takes of each voxel the share of T that the
    voxel fills; the outermost go on without end. The noise's weights of a slice have the norm one, so that its
    deviation in a slice does not depend on T, and slices that overlap share what they overlap in.
    """
    z_E: FloatArray = (np.arange(edge, dtype=np.float64) - (edge - 1) / 2) * voxel_mm
    increment_B1 = (change.thickness_mm_B * change.increment_share_B)[:, None]
    place_BE = z_E / increment_B1 - change.phase_B[:, None]
    below_BE = np.floor(place_BE)
    upper_BE1 = (place_BE - below_BE)[:, :, None]
    first_BE = (below_BE + change.phase_B[:, None]) * increment_B1
    boxes = [_boxes(first_BE + step * increment_B1, change.thickness_mm_B, z_E, voxel_mm) for step in (0, 1)]
    units = [box_BEE / np.linalg.norm(box_BEE, axis=-1, keepdims=True) for box_BEE in boxes]
    thick_B11 = (change.thickness_mm_B > voxel_mm)[:, None, None]
    image_BEE, noise_BEE = ((1 - upper_BE1) * low + upper_BE1 * high for low, high in (boxes, units))
    return np.where(thick_B11, image_BEE, np.eye(edge)), np.where(thick_B11, noise_BEE, np.eye(edge))


def _boxes(center_BE: FloatArray, thickness_mm_B: FloatArray, z_E: FloatArray, voxel_mm: float) -> FloatArray:
    """(B, E, E) the share of the slice around each centre that each voxel fills; they sum to one."""
    from_E, to_E = z_E - voxel_mm / 2, z_E + voxel_mm / 2
    from_E[0], to_E[-1] = -np.inf, np.inf
    center_BE1, thickness_B11 = center_BE[:, :, None], thickness_mm_B[:, None, None]
    ends = [np.clip(center_BE1 + side * thickness_B11 / 2, from_E, to_E) for side in (-1, 1)]
    return (ends[1] - ends[0]) / thickness_B11


def _transfer(change: ScannerChange, sample: int, edge: int, voxel_mm: float) -> npt.NDArray[np.float32]:
    """(E, E) of a sample at the frequencies of the cosine transform: the first ones of an image of twice the edge."""
    return transfer_function(_protocol(change, sample), (2 * edge, 2 * edge), voxel_mm)[:edge, :edge]


def _noise(change: ScannerChange, edge: int, voxel_mm: float) -> torch.Tensor:
    """(B, E, E, E) noise of deviation 1 in each plane, planes independent of each other."""
    even = edge + edge % 2  # the half spectrum of an odd width has another shape
    white_BDHF2 = torch.empty(len(change), edge, even, even // 2 + 1, 2)
    for sample, seed in enumerate(change.noise_seed_B):
        torch.randn(white_BDHF2.shape[1:], generator=torch.Generator().manual_seed(int(seed)), out=white_BDHF2[sample])
    amplitude_BHF = np.stack(
        [noise_amplitude(_protocol(change, sample), (even, even), voxel_mm) for sample in range(len(change))]
    )
    spectrum_BDHF = torch.view_as_complex(white_BDHF2) * torch.from_numpy(amplitude_BHF).unsqueeze(1)
    return torch.fft.irfft2(spectrum_BDHF, s=(even, even))[..., :edge, :edge]


def _protocol(change: ScannerChange, sample: int) -> Protocol:
    """A sample's scanner in the phantom's words."""
    return Protocol(
        kernel="",
        share=1.0,
        thickness_mm=float(change.thickness_mm_B[sample]),
        increment_mm=float(change.thickness_mm_B[sample] * change.increment_share_B[sample]),
        f50_per_mm=float(change.f50_per_mm_B[sample]) or math.inf,
        noise_peak_per_mm=float(change.noise_peak_per_mm_B[sample]),
        noise_width_per_mm=float(change.noise_width_per_mm_B[sample]),
        noise_hu=float(change.noise_hu_B[sample]),
        edge_gain=float(change.edge_gain_B[sample]),
    )


def _cosines(position_P: npt.NDArray, edge: int) -> FloatArray:
    """(..., P, E) the orthonormal cosine functions (DCT-II) of an edge, at these places between its pixels."""
    basis_PE = np.cos(np.pi / edge * (position_P[..., None] + 0.5) * np.arange(edge)) * np.sqrt(2.0 / edge)
    basis_PE[..., 0] = np.sqrt(1.0 / edge)
    return basis_PE


def _tensor(values: npt.NDArray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(device)
