"""The scanner in the image domain: blur in plane, a box along z, coloured noise, a shift in HU.

In plane H(f) = 2^-(f / f50)² (one half at f50), for lung kernels times 1 + b exp(-((f - f0) / s)²). Along z a slice is
the mean over its thickness T, and slices follow at the increment from a random phase. The noise power spectrum rises as
f / fp up to its peak and falls as a half-Gaussian beyond (two-parameter model, J Med Imag 11(3):035501, 2024).
Overlapping slices share noise as they share the scene. Shapes: D slices, S sub-slices, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from fedlung.ct.phantom.config import PhantomConfig
from fedlung.ct.phantom.field import Float32Array, Grid
from fedlung.ct.phantom.profiles import Protocol, ScannerProfile
from fedlung.ct.phantom.scene import Scene

HU_MIN, HU_MAX = -1024, 3071
# HU of fat less that at 120 kV, from oil at 100, 120 and 140 kV (Res Rep Phys 2012:150980).
FAT_SHIFT_HU = {100: -16.0, 120: 0.0, 130: 8.0, 135: 11.0, 140: 15.0}


@dataclass(frozen=True, eq=False)
class Scan:
    """What the scanner gives, in the scene's own space.

    hu_DHW      (D, H, W) int16 HU, slices ascending to the head
    grid        where its voxels are
    dose        relative to the reference; the noise falls with its root
    """

    hu_DHW: npt.NDArray[np.int16]
    grid: Grid
    profile: ScannerProfile
    protocol: Protocol
    model: str
    iodine_hu: float
    dose: float


def scan(
    scene: Scene,
    profile: ScannerProfile,
    cfg: PhantomConfig,
    rng: np.random.Generator,
    *,
    protocol: Protocol | None = None,
) -> Scan:
    """Scan a patient; the protocol is drawn by its share at this site when none is given."""
    if protocol is None:
        shares = [candidate.share for candidate in profile.protocols]
        protocol = profile.protocols[rng.choice(len(shares), p=shares)]
    model = profile.models[rng.integers(len(profile.models))]
    iodine_hu = float(rng.uniform(150, 250)) if rng.random() < profile.contrast_share else 0.0
    dose, offset_hu = float(rng.uniform(0.7, 1.5)), profile.offset_hu + float(rng.normal(0, 2))
    grid, fine = scan_grids(profile, protocol, cfg, phase=float(rng.random()))
    scene_SHW = scene.render(fine, iodine_hu=iodine_hu, fat_shift_hu=FAT_SHIFT_HU[protocol.kvp])
    noise_hu = protocol.noise_hu / np.sqrt(dose)
    hu_DHW = acquire(scene_SHW, grid, fine, protocol, rng, noise_hu=noise_hu, offset_hu=offset_hu)
    return Scan(hu_DHW, grid, profile, protocol, model, iodine_hu, dose)


def scan_grids(profile: ScannerProfile, protocol: Protocol, cfg: PhantomConfig, *, phase: float) -> tuple[Grid, Grid]:
    """The grid of the slices, and the finer one along z on which the scene is rendered."""
    pixel = profile.fov_mm / cfg.matrix
    in_plane = -0.5 * (cfg.matrix - 1) * pixel
    increment, thickness = protocol.increment_mm, protocol.thickness_mm
    num_slices = int(cfg.coverage_mm / increment)
    z_first = -0.5 * num_slices * increment + phase * increment
    step = protocol.substep_mm(cfg.substep_mm)
    num_sub = round(((num_slices - 1) * increment + thickness) / step)
    z_sub = z_first - 0.5 * (thickness - step)
    plane = (cfg.matrix, cfg.matrix)
    return (
        Grid((z_first, in_plane, in_plane), (increment, pixel, pixel), (num_slices, *plane)),
        Grid((z_sub, in_plane, in_plane), (step, pixel, pixel), (num_sub, *plane)),
    )


def acquire(
    scene_SHW: Float32Array,
    grid: Grid,
    fine: Grid,
    protocol: Protocol,
    rng: np.random.Generator,
    *,
    noise_hu: float,
    offset_hu: float = 0.0,
) -> npt.NDArray[np.int16]:
    """Blur, integrate, add noise and round: the slices (D, H, W) of a scene rendered on sub-slices (S, H, W)."""
    shape, pixel = grid.shape_DHW[1:], grid.spacing_mm[1]
    transfer = transfer_function(protocol, shape, pixel)
    noise = _WhiteNoise(rng, noise_amplitude(protocol, shape, pixel))
    level = noise_hu * noise_map(shape)
    stride, width = round(grid.spacing_mm[0] / fine.spacing_mm[0]), round(protocol.thickness_mm / fine.spacing_mm[0])
    slices = np.empty(grid.shape_DHW, dtype=np.int16)
    for k in range(len(slices)):
        mean_HW = scene_SHW[k * stride : k * stride + width].mean(axis=0, dtype=np.float32)
        hu = fft.irfft2(fft.rfft2(mean_HW) * transfer, s=shape)
        hu += level * noise.of_slice(k * stride, width)
        hu += np.float32(offset_hu)
        slices[k] = np.clip(np.rint(hu), HU_MIN, HU_MAX)
    return slices


def radial_frequency(shape: tuple[int, int], pixel_mm: float) -> Float32Array:
    """(H, W // 2 + 1) frequency in 1/mm of the half spectrum."""
    return np.hypot(fft.fftfreq(shape[0], pixel_mm)[:, None], fft.rfftfreq(shape[1], pixel_mm)).astype(np.float32)


def transfer_function(protocol: Protocol, shape: tuple[int, int], pixel_mm: float) -> Float32Array:
    """In-plane modulation transfer on the half spectrum; 1 at frequency 0."""
    frequency = radial_frequency(shape, pixel_mm)
    smooth = np.exp2(-((frequency / np.float32(protocol.f50_per_mm)) ** 2))
    peak, width = np.float32(protocol.edge_peak_per_mm), np.float32(protocol.edge_width_per_mm)
    edge = protocol.edge_gain * np.exp(-(((frequency - peak) / width) ** 2))
    edge -= edge[0, 0]
    return (smooth * (1 + edge)).astype(np.float32)


def noise_amplitude(protocol: Protocol, shape: tuple[int, int], pixel_mm: float) -> Float32Array:
    """Amplitude on the half spectrum that turns unit complex white noise into noise of deviation 1."""
    frequency, peak = radial_frequency(shape, pixel_mm), protocol.noise_peak_per_mm
    fall = np.exp(-((frequency - peak) ** 2) / (2 * protocol.noise_width_per_mm**2))
    power = np.where(frequency < peak, frequency / peak, fall)
    weight = np.full(power.shape[1], 2.0)
    weight[[0, -1]] = 1.0
    total = float((power * weight).sum())
    amplitude = np.sqrt(power / total) * (shape[0] * shape[1] / np.sqrt(2))
    # The inverse transform keeps the real part of the two columns that are their own mirror images: half their power.
    amplitude[:, [0, -1]] *= np.sqrt(2)
    return amplitude.astype(np.float32)


def noise_map(shape: tuple[int, int]) -> Float32Array:
    """(H, W) local noise level, 1 in mid-lung: higher where the rays' paths through the body are longer."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    squared = (y[:, None] / np.float32(0.62)) ** 2 + (x / np.float32(0.92)) ** 2
    return np.clip(1.22 - 0.44 * squared, 0.55, None)


class _WhiteNoise:
    """Coloured noise of deviation 1 on each slice; slices that overlap share their sub-slices' noise."""

    def __init__(self, rng: np.random.Generator, amplitude: Float32Array) -> None:
        self._rng = rng
        self._amplitude = amplitude
        self._shape = (amplitude.shape[0], 2 * (amplitude.shape[1] - 1))
        self._sub: dict[int, npt.NDArray[np.complex64]] = {}

    def of_slice(self, first: int, width: int) -> Float32Array:
        """(H, W) noise of the slice that holds sub-slices ``first`` to ``first + width``. Ascending calls only."""
        for gone in [index for index in self._sub if index < first]:
            del self._sub[gone]
        for index in range(first, first + width):
            if index not in self._sub:
                self._sub[index] = self._white()
        total = sum(self._sub[index] for index in range(first, first + width))
        spectrum = total * (self._amplitude / np.float32(np.sqrt(width)))
        return fft.irfft2(spectrum, s=self._shape)

    def _white(self) -> npt.NDArray[np.complex64]:
        pairs = self._rng.standard_normal((*self._amplitude.shape, 2), dtype=np.float32)
        return pairs.view(np.complex64)[..., 0]
