"""What a site of LIDC's sizes can show."""

from __future__ import annotations

import pytest

from fedlung.evaluation.power import detectable_difference, half_width

# Malignant and benign nodules of at least three readers in LIDC-IDRI, by manufacturer.
LIDC = {"GE": (327, 387), "SIEMENS": (103, 169), "Philips": (56, 61), "TOSHIBA": (44, 47)}


def test_the_half_width_is_hanley_and_mcneils() -> None:
    # AUC .9 with 9 against 9: Q1 = .9 / 1.1, Q2 = 1.62 / 1.9; SE = .0784 by hand.
    variance = (0.09 + 8 * (0.9 / 1.1 - 0.81) + 8 * (1.62 / 1.9 - 0.81)) / 81
    assert half_width(0.9, 9, 9) == pytest.approx(1.96 * variance**0.5)
    assert half_width(0.9, 9, 9) == pytest.approx(0.153, abs=5e-4)


@pytest.mark.parametrize(
    ("site", "expected"), [("GE", 0.024), ("SIEMENS", 0.042), ("Philips", 0.059), ("TOSHIBA", 0.067)]
)
def test_half_widths_at_lidcs_manufacturers(site: str, expected: float) -> None:
    assert half_width(0.9, *LIDC[site]) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(
    ("site", "expected"), [("GE", 0.022), ("SIEMENS", 0.038), ("Philips", 0.053), ("TOSHIBA", 0.060)]
)
def test_detectable_differences_at_lidcs_manufacturers(site: str, expected: float) -> None:
    assert detectable_difference(0.9, *LIDC[site]) == pytest.approx(expected, abs=6e-4)


def test_all_of_lidc_can_show_a_difference_of_17_thousandths() -> None:
    pooled = [sum(counts) for counts in zip(*LIDC.values(), strict=True)]
    assert detectable_difference(0.9, *pooled) == pytest.approx(0.017, abs=5e-4)


def test_models_that_agree_more_and_less_power_asked_make_smaller_differences_visible() -> None:
    usual = detectable_difference(0.9, 50, 50)
    assert detectable_difference(0.9, 50, 50, correlation=0.95) == pytest.approx(usual / 2)
    half = 1.95996 / (1.95996 + 0.84162)
    assert detectable_difference(0.9, 50, 50, power=0.5) == pytest.approx(usual * half, rel=1e-5)
