"""The scanner model does what its profile says: blur, slice, noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlung.ct.phantom import PROFILES
from fedlung.ct.phantom.field import Grid
from fedlung.ct.phantom.profiles import Protocol
from fedlung.ct.phantom.scanner import acquire, noise_map, radial_frequency, transfer_function

PROTOCOLS = [protocol for profile in PROFILES.values() for protocol in profile.protocols]
PLAIN = Protocol("plain", 1.0, 2.0, 2.0, 0.375, 0.25, 0.18, 20.0)


def grids(protocol: Protocol, *, num_slices: int, edge: int, pixel_mm: float, step_mm: float) -> tuple[Grid, Grid]:
    num_sub = round(((num_slices - 1) * protocol.increment_mm + protocol.thickness_mm) / step_mm)
    plane, in_plane = (edge, edge), (pixel_mm, pixel_mm)
    slices = Grid((0.0, 0.0, 0.0), (protocol.increment_mm, *in_plane), (num_slices, *plane))
    return slices, Grid((0.0, 0.0, 0.0), (step_mm, *in_plane), (num_sub, *plane))


def noise_of(protocol: Protocol, *, num_slices: int = 12, edge: int = 192, pixel_mm: float = 0.5) -> np.ndarray:
    """Noise alone, of deviation 100 HU in mid-lung, flattened to the same level everywhere."""
    step = protocol.substep_mm(1.5)
    slices, fine = grids(protocol, num_slices=num_slices, edge=edge, pixel_mm=pixel_mm, step_mm=step)
    empty = np.zeros(fine.shape_DHW, np.float32)
    return acquire(empty, slices, fine, protocol, np.random.default_rng(0), noise_hu=100.0) / noise_map((edge, edge))


def test_a_wave_at_f50_comes_out_at_half_its_height() -> None:
    slices, fine = grids(PLAIN, num_slices=1, edge=256, pixel_mm=0.5, step_mm=1.0)
    wave = 400 * np.cos(2 * np.pi * 0.375 * 0.5 * np.arange(256))
    scene = np.broadcast_to(wave.astype(np.float32), fine.shape_DHW)
    image = acquire(scene, slices, fine, PLAIN, np.random.default_rng(0), noise_hu=0.0)
    assert image[0, 0, 0] == 200
    assert np.abs(image[0] - 0.5 * wave).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: f"{p.kernel}-{p.thickness_mm}-{p.kvp}")
def test_a_constant_keeps_its_level_under_every_kernel(protocol: Protocol) -> None:
    assert transfer_function(protocol, (32, 32), 0.7)[0, 0] == pytest.approx(1.0)


def test_a_thin_plate_is_averaged_over_the_slice_that_holds_it_and_no_other() -> None:
    slices, fine = grids(PLAIN, num_slices=5, edge=16, pixel_mm=1.0, step_mm=0.5)
    scene = np.zeros(fine.shape_DHW, np.float32)
    scene[9] = 1000.0
    image = acquire(scene, slices, fine, PLAIN, np.random.default_rng(0), noise_hu=0.0)
    assert image[:, 8, 8].tolist() == [0, 0, 250, 0, 0]


def test_overlapping_slices_both_hold_a_thin_plate() -> None:
    overlapping = replace(PLAIN, increment_mm=1.0)
    slices, fine = grids(overlapping, num_slices=6, edge=16, pixel_mm=1.0, step_mm=1.0)
    scene = np.zeros(fine.shape_DHW, np.float32)
    scene[3] = 1000.0
    image = acquire(scene, slices, fine, overlapping, np.random.default_rng(0), noise_hu=0.0)
    assert image[:, 8, 8].tolist() == [0, 0, 500, 500, 0, 0]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: f"{p.kernel}-{p.thickness_mm}-{p.kvp}")
def test_the_noise_has_its_level_and_its_spectrum_peaks_where_the_profile_says(protocol: Protocol) -> None:
    noise = noise_of(protocol)
    assert noise.std() == pytest.approx(100.0, rel=0.03)
    power = (np.abs(np.fft.rfft2(noise)) ** 2).mean(axis=0)
    frequency = radial_frequency(noise.shape[1:], 0.5)
    edges = np.arange(0.02, 0.95, 0.04)
    radial = [power[(frequency >= low) & (frequency < low + 0.04)].mean() for low in edges]
    assert edges[int(np.argmax(radial))] + 0.02 == pytest.approx(protocol.noise_peak_per_mm, abs=0.045)


@pytest.mark.parametrize(("site", "shared"), [("Philips", 0.5), ("GE", 0.0)])
def test_neighbouring_slices_share_as_much_noise_as_they_overlap(site: str, shared: float) -> None:
    noise = noise_of(PROFILES[site].protocols[0])
    assert np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1] == pytest.approx(shared, abs=0.03)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_the_shares_of_a_sites_protocols_sum_to_one(profile) -> None:
    assert sum(protocol.share for protocol in profile.protocols) == pytest.approx(1.0)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: f"{p.kernel}-{p.thickness_mm}-{p.kvp}")
def test_a_sub_step_divides_thickness_and_increment(protocol: Protocol) -> None:
    step = protocol.substep_mm(1.5)
    assert step <= 1.5
    for length in (protocol.thickness_mm, protocol.increment_mm):
        assert length / step == pytest.approx(round(length / step))
