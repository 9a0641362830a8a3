"""The thick protocol of the positive control takes from a small nodule what the optics of a slice say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedlung.ct.phantom import PROFILES, PhantomConfig, Protocol, design_of
from fedlung.ct.phantom.design import THICK, THIN
from fedlung.ct.phantom.donors import Shape
from fedlung.ct.phantom.field import Grid
from fedlung.ct.phantom.nodules import PlacedNodule, draw_nodule
from fedlung.ct.phantom.scanner import acquire, noise_map

CONTRAST_HU = 800.0
PIXEL_MM, STEP_MM, EDGE = 0.4, 0.25, 64


def ball(diameter_mm: float) -> PlacedNodule:
    """A solid sphere with a sharp edge at the origin."""
    z, y, x = np.indices((61, 61, 61)) * 0.25 - 7.5
    distance = (np.sqrt(z**2 + y**2 + x**2) - diameter_mm / 2).astype(np.float32)
    shape = Shape(distance, (0.25,) * 3, 4, 3.0, 5.0, calcification=6.0, margin=5.0, spiculation=1.0)
    return PlacedNodule(
        shape, (0.0, 0.0, 0.0), 0.0, False, rim_hu=0, core_hu=0, core_mm=0.1, edge_mm=0.02, enhancement=0
    )


def measured_retention(diameter_mm: float, protocol: Protocol, *, phase: float = 0.0) -> float:
    """Largest voxel of the noiseless slices of a sphere, over its true contrast; at phase 0 one slice is centred."""
    thickness, in_plane = protocol.thickness_mm, -0.5 * (EDGE - 1) * PIXEL_MM - 0.5 * PIXEL_MM
    first = (phase - 1) * thickness
    slices = Grid((first, in_plane, in_plane), (thickness, PIXEL_MM, PIXEL_MM), (3, EDGE, EDGE))
    fine = Grid(
        (first - 0.5 * (thickness - STEP_MM), in_plane, in_plane),
        (STEP_MM, PIXEL_MM, PIXEL_MM),
        (round(3 * thickness / STEP_MM), EDGE, EDGE),
    )
    scene = np.full(fine.shape_DHW, -CONTRAST_HU, np.float32)
    draw_nodule(scene, fine, ball(diameter_mm), iodine_hu=0.0)
    image = acquire(scene, slices, fine, protocol, np.random.default_rng(0), noise_hu=0.0)
    return float(image.max() + CONTRAST_HU) / CONTRAST_HU


def sphere_retention(diameter_mm: float, protocol: Protocol, *, phase: float = 0.0) -> float:
    """The mean over a slice of 1 - exp(-r(z)² / 2 s²), the middle of a disc of radius r after the kernel's blur.

    The kernel 2^-(f / f50)² is a Gaussian of variance s² = ln 2 / (2 pi² f50²) in the plane.
    """
    variance = math.log(2) / (2 * math.pi**2 * protocol.f50_per_mm**2)
    z = np.linspace(-0.5, 0.5, 4001) * protocol.thickness_mm + phase * protocol.thickness_mm
    squared = np.maximum((0.5 * diameter_mm) ** 2 - z**2, 0)
    return float(np.mean(1 - np.exp(-squared / (2 * variance))))


@pytest.mark.parametrize("protocol", [THIN, THICK], ids=["thin", "thick"])
@pytest.mark.parametrize("diameter_mm", [3.0, 4.0, 5.0, 6.0])
@pytest.mark.parametrize("phase", [0.0, 0.5])
def test_a_spheres_peak_contrast_is_its_box_integral_after_the_kernels_blur(
    protocol: Protocol, diameter_mm: float, phase: float
) -> None:
    expected = sphere_retention(diameter_mm, protocol, phase=phase)
    assert measured_retention(diameter_mm, protocol, phase=phase) == pytest.approx(expected, abs=0.03)


def test_a_slice_of_5_mm_halves_a_sphere_of_3_mm_and_leaves_one_of_6_mm_where_it_is_centred() -> None:
    assert sphere_retention(3.0, THICK) < 0.5 < 0.97 < sphere_retention(3.0, THIN)
    assert sphere_retention(6.0, THICK) > 0.97
    assert sphere_retention(4.0, THICK, phase=0.5) < 0.4


def test_the_odd_site_shows_small_nodules_at_a_fraction_of_their_contrast_to_noise() -> None:
    cfg = PhantomConfig.for_control("positive")
    ratios = []
    for site in PROFILES:
        (protocol,) = design_of(site, cfg).profile.protocols
        step = protocol.thickness_mm / 4
        plane = (1.2, 1.2)
        slices = Grid((0.0, 0.0, 0.0), (protocol.thickness_mm, *plane), (6, 128, 128))
        fine = Grid((0.0, 0.0, 0.0), (step, *plane), (24, 128, 128))
        empty = np.zeros(fine.shape_DHW, np.float32)
        noise = acquire(empty, slices, fine, protocol, np.random.default_rng(0), noise_hu=protocol.noise_hu)
        deviation_hu = float((noise / noise_map((128, 128))).std())
        ratios.append(measured_retention(4.0, protocol, phase=0.25) * CONTRAST_HU / deviation_hu)
    *thin, odd = ratios
    assert np.ptp(thin) == 0
    assert odd < thin[0] / 2
