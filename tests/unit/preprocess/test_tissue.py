"""Whether air, lung, fat and muscle are where they should be: on the phantom's four scanners, and on real scans."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fedlung.ct import find_series, read_series
from fedlung.ct.phantom import PROFILES, PhantomConfig, make_scene, scan
from fedlung.ct.phantom.dicom import stored_values
from fedlung.preprocess.tissue import FLOOR_HU, check_tissue
from fedlung.seeding import derive

Voxels = npt.NDArray[np.float32]
COVERAGE_MM = 60.0


@cache
def phantom_hu(vendor: str) -> Voxels:
    """A slab of chest as that vendor's scanner gives it, padding at the floor as the reader leaves it."""
    cfg = PhantomConfig(matrix=96, coverage_mm=COVERAGE_MM, smallest_vessel_mm=2.0)
    scene = make_scene(3, (), coverage_mm=COVERAGE_MM, smallest_vessel_mm=2.0)
    stored = stored_values(scan(scene, PROFILES[vendor], cfg, derive(0, "tissue", vendor)))
    return np.maximum(stored.astype(np.float32) + PROFILES[vendor].intercept, FLOOR_HU)


def read_with(slope: float, intercept: float) -> Callable[[Voxels], Voxels]:
    """HU as a header with another rescale gives them: the true one is 1 and -1024; values below air are clipped."""
    return lambda hu: np.maximum(slope * (hu + 1024) + intercept, FLOOR_HU)


WRONG = {
    "intercept 0 for -1024": (read_with(1.0, 0.0), {"HU_SHIFTED"}),
    "intercept -2048 for -1024": (read_with(1.0, -2048.0), {"HU_NO_TISSUE"}),
    "slope 1.1": (read_with(1.1, -1024.0), {"HU_SLOPE"}),
    "HU times 0.9": (lambda hu: 0.9 * hu, {"HU_NO_AIR"}),
    "inverted in 12 bits": (read_with(-1.0, 3071.0), {"HU_INVERTED"}),
    "negative": (lambda hu: np.maximum(-hu, FLOOR_HU), {"HU_INVERTED"}),
}


@pytest.mark.parametrize("vendor", PROFILES)
def test_every_scanner_of_the_phantom_is_as_it_should_be(vendor: str) -> None:
    tissue = check_tissue(phantom_hu(vendor))
    assert tissue.code == ""
    assert -1010 <= tissue.lung_hu <= -600
    assert -20 <= tissue.soft_hu <= 100


@pytest.mark.parametrize("vendor", PROFILES)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_rescale_is_named(vendor: str, wrong: str) -> None:
    change, codes = WRONG[wrong]
    tissue = check_tissue(change(phantom_hu(vendor)))
    assert tissue.code in codes
    assert tissue.sentence and tissue.remedy


def test_a_shift_is_told_in_hounsfield_units() -> None:
    told = check_tissue(phantom_hu("SIEMENS") + 300).sentence
    assert "+30" in told or "+29" in told, told


@pytest.mark.parametrize("vendor", PROFILES)
def test_noise_of_a_low_dose_is_no_wrong_rescale(vendor: str) -> None:
    hu = phantom_hu(vendor)
    noisy = np.maximum(hu + np.random.default_rng(0).normal(0, 60, hu.shape), FLOOR_HU).astype(np.float32)
    assert check_tissue(noisy).code == ""


def test_emphysema_and_iodine_are_no_wrong_rescale() -> None:
    """The phantom's Toshiba gives iodine to everybody; its lungs are thinned to -950 HU here."""
    hu = phantom_hu("TOSHIBA").copy()
    lung = (hu > -920) & (hu < -700)
    hu[lung] -= 100
    assert check_tissue(hu).code == ""


def test_a_scan_without_any_tissue_says_so_and_an_empty_one_as_well() -> None:
    assert check_tissue(np.full((20, 20, 20), -1000, np.int16)).code == "HU_NO_TISSUE"
    assert check_tissue(np.full((20, 20, 20), FLOOR_HU, np.int16)).code == "HU_NO_TISSUE"


def test_whole_numbers_and_fractions_are_judged_alike() -> None:
    hu = phantom_hu("GE")
    assert check_tissue(np.rint(hu).astype(np.int16)) == check_tissue(np.rint(hu))


@pytest.mark.lidc
@pytest.mark.slow
def test_the_real_series_are_as_they_should_be_and_no_longer_when_changed(lidc_folder: Path) -> None:
    found = {}
    for series in find_series(lidc_folder)[0]:
        # No test on the phantom's intercept of 0.9: on real scans, whose fat is a peak of its own, it is found as well.
        hu = read_series(series).voxels_DHW.astype(np.float32)[::2, ::4, ::4]
        changed = {name: check_tissue(change(hu)).code in codes for name, (change, codes) in WRONG.items()}
        changed["slope 0.9"] = check_tissue(read_with(0.9, -1024.0)(hu)).code != ""
        found[series.series_uid] = (check_tissue(hu).code, all(changed.values()))
    assert len(found) == 5
    assert set(found.values()) == {("", True)}
