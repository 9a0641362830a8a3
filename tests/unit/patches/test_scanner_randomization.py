"""The virtual scanner does what was drawn: transfer, slices, noise and HU, each against its formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedlung.config import PrepareConfig, RunConfig, ScannerConfig
from fedlung.errors import ConfigError
from fedlung.patches.scanner_randomization import ScannerChange, apply, draw, in_plane

WINDOW = PrepareConfig()  # -1000 to 400 HU
WIDTH_HU = 1400
VOXEL_MM = 0.7


def scanner(num: int = 1, **values: float) -> ScannerChange:
    """The same scanner for ``num`` samples: one that changes nothing but what is given, by the fields' own names."""
    neutral = {
        "changed": True,
        "f50_per_mm": 0.0,
        "edge_gain": 0.0,
        "pixel_scale": 1.0,
        "thickness_mm": 0.1,
        "increment_share": 1.0,
        "phase": 0.0,
        "noise_hu": 0.0,
        "noise_peak_per_mm": 0.3,
        "noise_width_per_mm": 0.2,
        "noise_seed": 0,
        "gain": 1.0,
        "offset_hu": 0.0,
    }
    change = ScannerChange(**{f"{name}_B": np.full(num, value) for name, value in (neutral | values).items()})
    return replace(change, noise_seed_B=np.arange(num))


def scanned(hu_BDHW: np.ndarray, change: ScannerChange, voxel_mm: float = VOXEL_MM) -> np.ndarray:
    """(B, D, H, W) HU through ``apply`` and back."""
    x_BCDHW = (torch.from_numpy(hu_BDHW.astype(np.float32)).unsqueeze(1) - WINDOW.hu_min) / WIDTH_HU
    return apply(x_BCDHW, change, voxel_mm=voxel_mm, window=WINDOW)[:, 0].double().numpy() * WIDTH_HU + WINDOW.hu_min


@pytest.fixture
def x_BCDHW() -> torch.Tensor:
    return torch.rand(6, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))


def test_probability_zero_is_the_identity_and_one_changes_every_sample(x_BCDHW: torch.Tensor) -> None:
    for probability, expected in ((0.0, [True] * 6), (1.0, [False] * 6)):
        change = draw(6, ScannerConfig(probability=probability), np.random.default_rng(0))
        out = apply(x_BCDHW, change, voxel_mm=1.25, window=WINDOW)
        assert [torch.equal(out[index], x_BCDHW[index]) for index in range(6)] == expected
    assert draw(4000, ScannerConfig(probability=0.3), np.random.default_rng(0)).changed_B.mean() == pytest.approx(
        0.3, abs=0.03
    )


def test_a_recorded_scanner_replays_to_the_last_bit(x_BCDHW: torch.Tensor) -> None:
    before = x_BCDHW.clone()
    change = draw(6, ScannerConfig(probability=0.7), np.random.default_rng(0))
    once, again = (
        apply(x_BCDHW, found, voxel_mm=1.25, window=WINDOW)
        for found in (change, ScannerChange.from_json(change.to_json()))
    )
    assert torch.equal(once, again) and not torch.equal(once, x_BCDHW)
    assert torch.equal(x_BCDHW, before)


def test_a_sample_does_not_depend_on_its_neighbours(x_BCDHW: torch.Tensor) -> None:
    change = draw(6, ScannerConfig(probability=0.7), np.random.default_rng(0))
    whole = apply(x_BCDHW, change, voxel_mm=1.25, window=WINDOW)
    for index in range(6):
        alone = apply(x_BCDHW[[index]], change.take([index]), voxel_mm=1.25, window=WINDOW)
        torch.testing.assert_close(alone[0], whole[index], rtol=0, atol=1e-5)


def test_a_scanner_that_changes_nothing_changes_nothing() -> None:
    hu_BDHW = np.random.default_rng(0).uniform(-900, 300, (1, 16, 16, 16))
    assert scanned(hu_BDHW, scanner()) == pytest.approx(hu_BDHW, abs=0.01)


@pytest.mark.parametrize("wave", [3, 10, 25])
@pytest.mark.parametrize(
    ("kernel", "transfer"),
    [
        ({"f50_per_mm": 0.3}, lambda f: np.exp(-np.log(2) * (f / 0.3) ** 2)),
        # Height 0.4 around 0.45 per mm with a width of 0.15, and 1 at frequency 0.
        ({"edge_gain": 0.4}, lambda f: 1 + 0.4 * (np.exp(-(((f - 0.45) / 0.15) ** 2)) - np.exp(-9.0))),
    ],
    ids=["blur", "edge"],
)
def test_a_wave_keeps_of_its_height_what_the_formula_says(kernel: dict[str, float], transfer, wave: int) -> None:
    edge = 32
    frequency = wave / (2 * edge * VOXEL_MM)
    wave_W = np.cos(np.pi * wave * (np.arange(edge) + 0.5) / edge)
    flat_W = np.ones(edge)
    for rows_H, columns_W, radial in ((flat_W, wave_W, 1.0), (wave_W, flat_W, 1.0), (wave_W, wave_W, np.sqrt(2))):
        wave_BDHW = np.broadcast_to(200 * np.outer(rows_H, columns_W), (1, edge, edge, edge))
        found = scanned(-300 + wave_BDHW, scanner(**kernel))
        np.testing.assert_allclose(found, -300 + transfer(radial * frequency) * wave_BDHW, atol=0.02)


def test_the_modulation_transfer_measured_on_an_edge_is_the_formula() -> None:
    """As on a test object: the line spread is the derivative of the edge's profile, the transfer its spectrum."""
    edge, f50 = 96, 0.25
    step_W = np.where(np.arange(edge) < edge // 2, -600.0, 0.0)
    image_BDHW = torch.tensor(np.broadcast_to(step_W, (1, 1, edge, edge)).copy(), dtype=torch.float32)
    profile_W = in_plane(image_BDHW, scanner(f50_per_mm=f50), VOXEL_MM)[0, 0, edge // 2].double().numpy()
    measured = np.abs(np.fft.rfft(np.diff(profile_W))) / 600
    frequency = np.fft.rfftfreq(edge - 1, VOXEL_MM)
    assert measured == pytest.approx(2 ** -((frequency / f50) ** 2), abs=0.005)


def test_nothing_blurs_through_to_the_opposite_border() -> None:
    hu_BDHW = np.full((1, 16, 16, 16), -800.0)
    hu_BDHW[..., 0] = 200.0
    out = scanned(hu_BDHW, scanner(f50_per_mm=0.25))
    assert out[..., -1] == pytest.approx(-800.0, abs=0.5)
    assert out[..., 1].mean() > -700


def test_larger_pixels_make_what_is_seen_larger() -> None:
    edge, sigma = 33, 3.0
    y, x = np.mgrid[:edge, :edge] - 16.0
    blob_HW = np.exp(-(y**2 + (x - 2.0) ** 2) / (2 * sigma**2))
    larger_HW = np.exp(-(y**2 + (x - 2.0 * 1.1) ** 2) / (2 * (1.1 * sigma) ** 2))
    out = scanned(np.broadcast_to(-800 + 900 * blob_HW, (1, edge, edge, edge)), scanner(pixel_scale=1.1))
    assert out[0, 16] == pytest.approx(-800 + 900 * larger_HW, abs=0.5)


@pytest.mark.parametrize(
    ("thickness_mm", "phase", "expected"), [(3.0, 0.0, 1.0), (6.0, 0.0, 4.5 / 6.0), (6.0, 0.5, 2.25 / 6.0)]
)
def test_a_sphere_keeps_the_peak_contrast_of_its_box_integral(
    thickness_mm: float, phase: float, expected: float
) -> None:
    """A sphere of 4.5 mm on voxels of 0.5: the mean over T through its middle, and with the middle between slices."""
    voxel_mm, edge = 0.5, 33
    distance_mm = np.linalg.norm(np.mgrid[:edge, :edge, :edge] - 16.0, axis=0) * voxel_mm
    hu_DHW = np.where(distance_mm <= 2.25, 0.0, -800.0)
    out = scanned(hu_DHW[None], scanner(thickness_mm=thickness_mm, phase=phase), voxel_mm)
    assert (out[0, 16, 16, 16] + 800) / 800 == pytest.approx(expected, abs=1e-4)
    assert (out.max() + 800) / 800 == pytest.approx(expected, abs=1e-4)


def test_slices_no_thicker_than_the_voxels_change_nothing_and_thicker_ones_keep_the_mean() -> None:
    hu_BDHW = np.random.default_rng(0).uniform(-900, 300, (1, 17, 17, 17))
    assert scanned(hu_BDHW, scanner(thickness_mm=1.0, phase=0.3), 1.0) == pytest.approx(hu_BDHW, abs=0.01)
    ramp_BDHW = np.broadcast_to(-800.0 + 50 * np.arange(17)[:, None, None], (1, 17, 17, 17))
    out = scanned(ramp_BDHW, scanner(thickness_mm=4.0, phase=0.3, increment_share=0.5), 1.0)
    assert out[:, 5:-5] == pytest.approx(ramp_BDHW[:, 5:-5], abs=2.0)


def test_gain_and_offset_are_in_hu_and_the_gain_leaves_water_alone() -> None:
    hu_BDHW = np.random.default_rng(0).uniform(-900, 300, (1, 8, 8, 8))
    out = scanned(hu_BDHW, scanner(gain=1.02, offset_hu=-7.5))
    assert out == pytest.approx(1.02 * hu_BDHW - 7.5, abs=0.01)
    assert scanned(np.zeros((1, 8, 8, 8)), scanner(gain=1.02)) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("peak", [0.18, 0.3, 0.5])
def test_the_noise_has_its_deviation_and_its_spectrum_peaks_where_it_should(peak: float) -> None:
    change = scanner(12, noise_hu=40.0, noise_peak_per_mm=peak)
    noise = scanned(np.full((12, 32, 32, 32), -300.0), change) + 300
    assert noise.std() == pytest.approx(40.0, rel=0.01)
    power_HW = (np.abs(np.fft.fft2(noise)) ** 2).mean(axis=(0, 1))
    frequency_HW = np.hypot(*np.meshgrid(np.fft.fftfreq(32, VOXEL_MM), np.fft.fftfreq(32, VOXEL_MM)))
    low_K = np.arange(0.02, 0.68, 0.04)
    radial_K = [power_HW[(frequency_HW >= low) & (frequency_HW < low + 0.04)].mean() for low in low_K]
    assert low_K[int(np.argmax(radial_K))] + 0.02 == pytest.approx(peak, abs=0.045)
    # Below the peak the power rises as f / fp: at half the peak it is half.
    half = np.interp(peak / 2, low_K + 0.02, radial_K) / np.interp(peak, low_K + 0.02, radial_K)
    assert half == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("share", [0.6, 1.0])
def test_the_noise_of_slices_is_shared_as_far_as_they_overlap_whatever_their_thickness(share: float) -> None:
    # Slices of five voxels with one at the middle, three or five voxels apart.
    step = round(5 * share)
    change = scanner(8, noise_hu=40.0, thickness_mm=5.0, increment_share=share)
    slices = _cube_noise(change)[:, 16 % step :: step][:, 1:-1]
    assert slices.std() == pytest.approx(40.0, rel=0.03)
    assert np.corrcoef(slices[:, :-1].ravel(), slices[:, 1:].ravel())[0, 1] == pytest.approx(1 - share, abs=0.03)


def test_an_odd_patch_has_noise_too_and_two_seeds_differ() -> None:
    noise = _cube_noise(scanner(8, noise_hu=40.0))
    assert noise.std() == pytest.approx(40.0, rel=0.02)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.03


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_replay_on_cuda_is_that_of_the_cpu(x_BCDHW: torch.Tensor) -> None:
    change = draw(6, ScannerConfig(probability=1.0), np.random.default_rng(0))
    here, there = (apply(x_BCDHW.to(d), change, voxel_mm=1.25, window=WINDOW).cpu() for d in ("cpu", "cuda"))
    torch.testing.assert_close(there, here, rtol=0, atol=1e-5)


def test_what_is_drawn_lies_within_its_range() -> None:
    cfg = ScannerConfig(probability=1.0)
    change = draw(4000, cfg, np.random.default_rng(0))
    sharpened_B = change.f50_per_mm_B == 0
    assert sharpened_B.mean() == pytest.approx(0.25, abs=0.03)
    assert not change.edge_gain_B[~sharpened_B].any()
    for values_B, low, high in (
        (change.f50_per_mm_B[~sharpened_B], 0.3, 0.65),
        (change.thickness_mm_B, 1.0, 5.0),
        (change.offset_hu_B, -10.0, 10.0),
        (change.gain_B, 0.98, 1.02),
        (change.noise_hu_B, 0.0, 40.0),
        (change.noise_peak_per_mm_B, 0.15, 0.6),
        (change.pixel_scale_B, 0.97, 1.03),
        (change.phase_B, 0.0, 1.0),
    ):
        assert [values_B.min(), values_B.max()] == pytest.approx([low, high], abs=0.01 * (high - low))
        assert low <= values_B.min() and values_B.max() <= high


def test_a_range_upside_down_and_voxels_without_an_edge_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"f50-min-per-mm 0\.7 must not be above f50-max-per-mm 0\.65"):
        RunConfig.from_run_config({"scanner.f50-min-per-mm": 0.7})
    with pytest.raises(ConfigError, match=r"scanner\.probability wants voxels of a known edge"):
        RunConfig.from_run_config({"scanner.probability": 0.5, "task.name": "scan", "prepare.cube": 64})


def _cube_noise(change: ScannerChange) -> np.ndarray:
    """(B, 33, 33, 33) HU of noise on voxels of 1 mm."""
    return scanned(np.full((len(change), 33, 33, 33), -300.0), change, 1.0) + 300
