"""Nodule shapes are LIDC-IDRI's, and no donor serves two virtual patients."""

from __future__ import annotations

import numpy as np
import pytest

from fedlung.ct.lidc import lidc_scans
from fedlung.ct.phantom import PhantomConfig
from fedlung.ct.phantom.donors import choose_shapes, donor_series, hand_of
from fedlung.errors import ConfigError

CFG = PhantomConfig()


def test_no_donor_patient_serves_two_virtual_patients() -> None:
    donors = donor_series(CFG, 96)
    patient_of = dict(zip(lidc_scans()["series_uid"], lidc_scans()["patient_id"], strict=True))
    hands = [{patient_of[uid] for uid in hand_of(donors, patient, 96)} for patient in range(96)]
    assert min(map(len, hands)) >= 1
    assert sum(map(len, hands)) == len(set().union(*hands))


def test_donors_come_from_thin_scans_while_these_suffice() -> None:
    thickness = lidc_scans().set_index("series_uid")["slice_thickness_mm"]
    assert thickness[donor_series(CFG, 96)].max() <= 1.25
    assert 1.25 < thickness[donor_series(CFG, 600)].max() <= 2.5


def test_too_many_patients_are_refused_with_the_number_that_fits() -> None:
    with pytest.raises(ConfigError, match="patients-per-site to"):
        donor_series(PhantomConfig(patients_per_site=200), 2000)


def test_a_hand_gives_shapes_of_three_readers_first_and_of_the_right_size() -> None:
    donors = donor_series(CFG, 96)
    shapes = [choose_shapes(hand_of(donors, patient, 96), CFG) for patient in range(12)]
    assert sum(found[0].readers >= 3 for found in shapes) >= 11
    for shape in (shape for found in shapes for shape in found):
        assert 2.5 <= shape.diameter_mm <= CFG.max_nodule_mm
        assert shape.distance_at(np.zeros((1, 3)))[0] < 0, "the centroid lies in the nodule"
        assert shape.distance_at(np.array([[0.0, shape.reach_mm + 1, 0.0]]))[0] > 0


def test_other_seeds_deal_other_hands() -> None:
    assert donor_series(CFG, 96) != donor_series(PhantomConfig(seed=1), 96)
    assert sorted(donor_series(CFG, 96)) == sorted(donor_series(PhantomConfig(seed=1), 96))
