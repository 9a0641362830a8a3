"""What differs between sites is chosen: each switch does what it names, nothing else, and the default is as it was."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
from pydantic import ValidationError

from fedlung.ct.phantom import PROFILES, PhantomConfig, default_phantom_folder, design_of, make_scene, scan, switched
from fedlung.ct.phantom.dealing import hands_of
from fedlung.ct.phantom.donors import ENOUGH_READERS, Shape, choose_shapes, resized
from fedlung.ct.phantom.field import Grid
from fedlung.ct.phantom.patient import patient_shapes, virtual_patient
from fedlung.seeding import derive, derive_int

SMALL = {"patients_per_site": 5, "matrix": 64, "coverage_mm": 40.0, "smallest_vessel_mm": 3.0}
PLAIN, ALIKE = PhantomConfig(**SMALL), PhantomConfig(**SMALL | switched(["none"]))
NULL = PhantomConfig.for_control("null", **SMALL)
GRID = Grid.centred((30.0, 300.0, 300.0), (3.0, 4.0, 4.0))


def hand(site: str, patient: int, cfg: PhantomConfig = PLAIN) -> tuple[str, ...]:
    return dealt(cfg)[site][patient]


@cache
def dealt(cfg: PhantomConfig) -> dict[str, list[tuple[str, ...]]]:
    return {site: hands_of(site, cfg) for site in PROFILES}


@cache
def chosen(hand: tuple[str, ...]) -> tuple[Shape, ...]:
    return choose_shapes(hand, PLAIN)


@pytest.fixture(autouse=True)
def outlines_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every configuration here takes the same donors' nodules, so their outlines are computed once."""
    monkeypatch.setattr("fedlung.ct.phantom.patient.choose_shapes", lambda hand, cfg: chosen(tuple(hand)))


@cache
def shapes(cfg: PhantomConfig, site: str) -> list[tuple[Shape, ...]]:
    """The nodules of every patient of a site."""
    return [patient_shapes(site, patient, cfg, hand(site, patient, cfg)) for patient in range(cfg.patients_per_site)]


def diameters(cfg: PhantomConfig, site: str) -> list[float]:
    return [shape.diameter_mm for own in shapes(cfg, site) for shape in own]


def agreed(cfg: PhantomConfig, site: str) -> list[list[float]]:
    """Diameters in mm of each patient's nodules of three readers or more, which are what sites are matched by."""
    return [[shape.diameter_mm for shape in own if shape.readers >= ENOUGH_READERS] for own in shapes(cfg, site)]


def test_the_default_phantom_has_the_fingerprint_that_it_had_before_there_were_switches() -> None:
    assert PhantomConfig().fingerprint() == "900f7414be94b196"
    assert default_phantom_folder(PhantomConfig()).name == "phantom-900f7414be94b196"
    assert switched(["acquisition"]) == {name: getattr(PLAIN, name) for name in ("acquisition", "prevalence", "size")}


def test_the_default_patient_is_bit_for_bit_its_seeds_scene_under_its_vendors_scanner() -> None:
    nodules = choose_shapes(hand("SIEMENS", 1), PLAIN)
    seed = derive_int(PLAIN.seed, "phantom", "SIEMENS", 1)
    scene = make_scene(seed, nodules, coverage_mm=PLAIN.coverage_mm, smallest_vessel_mm=PLAIN.smallest_vessel_mm)
    again = virtual_patient("SIEMENS", 1, PLAIN, hand("SIEMENS", 1))
    images = [
        scan(patient, profile, PLAIN, derive(PLAIN.seed, "phantom", "SIEMENS", 1, "scan")).hu_DHW
        for patient, profile in ((scene, PROFILES["SIEMENS"]), (again, design_of("SIEMENS", PLAIN).profile))
    ]
    assert np.array_equal(*images)


def test_every_switch_changes_the_fingerprint_and_the_folder() -> None:
    configs = [
        PhantomConfig(acquisition=acquisition, prevalence=prevalence, size=size)
        for acquisition, prevalence, size in itertools.product(
            ("by-site", "same", "one-thick"), ("same", "by-site"), ("same", "by-site", "one-small", "all-small")
        )
    ]
    configs += [
        PhantomConfig(paired=True),
        PhantomConfig(matched=True),
        PhantomConfig.for_control("positive", odd_site="GE"),
    ]
    assert len({default_phantom_folder(config) for config in configs}) == len(configs) == 27


def test_acquisition_changes_the_scanner_and_no_patient() -> None:
    assert design_of("TOSHIBA", PLAIN).profile.name == "TOSHIBA"
    assert design_of("TOSHIBA", ALIKE).profile.name == "reference"
    vendors, same = (virtual_patient("TOSHIBA", 0, cfg, hand("TOSHIBA", 0)).render(GRID) for cfg in (PLAIN, ALIKE))
    assert np.array_equal(vendors, same)


def test_prevalence_takes_nodules_away_and_leaves_those_that_stay_as_they_are() -> None:
    cfg = PhantomConfig(**SMALL | switched(["prevalence"]))
    for site in PROFILES:
        assert design_of(site, cfg).profile == design_of(site, ALIKE).profile
        for all_of_them, left in zip(shapes(ALIKE, site), shapes(cfg, site), strict=True):
            if all_of_them and left:
                assert [shape.diameter_mm for shape in left] == [
                    shape.diameter_mm for shape in all_of_them[: len(left)]
                ]
        assert max(map(len, shapes(cfg, site))) <= design_of(site, cfg).max_nodules
    assert len(diameters(cfg, "GE")) > 2 * len(diameters(cfg, "TOSHIBA"))


def test_size_scales_the_nodules_into_the_sites_range_and_keeps_their_number_and_their_order() -> None:
    cfg = PhantomConfig(**SMALL | switched(["size"]))
    for site in PROFILES:
        before, after = diameters(ALIKE, site), diameters(cfg, site)
        low, high = design_of(site, cfg).size_mm
        assert [len(own) for own in shapes(cfg, site)] == [len(own) for own in shapes(ALIKE, site)]
        assert np.array_equal(np.argsort(before), np.argsort(after))
        assert low <= min(after) < max(after) <= high
    assert design_of("GE", cfg).profile == design_of("GE", ALIKE).profile


def test_size_leaves_the_anatomy_around_the_nodules() -> None:
    small = PhantomConfig(**SMALL | {"acquisition": "same", "size": "all-small"})
    patients = [virtual_patient("GE", 0, cfg, hand("GE", 0)) for cfg in (ALIKE, small)]
    assert all(len(patient.nodules) > 0 for patient in patients)
    assert np.array_equal(*(patient.fields.lung.values_DHW for patient in patients))
    assert np.array_equal(*(patient.trees.vessels.end_N3 for patient in patients))


@pytest.mark.parametrize("factor", [0.2, 1.0, 2.5])
def test_a_scaled_shape_has_the_factor_in_every_length_and_knows_its_distance_well_outside(factor: float) -> None:
    z, y, x = np.indices((41, 41, 41)) * 0.5 - 10
    ball = Shape(
        (np.sqrt(z**2 + y**2 + x**2) - 5).astype(np.float32),
        (0.5, 0.5, 0.5), 4, 3.0, 5.0, calcification=6.0, margin=5.0, spiculation=1.0,
    )  # fmt: skip
    scaled = ball.scaled(factor)
    assert scaled.diameter_mm == pytest.approx(factor * ball.diameter_mm)
    assert scaled.reach_mm == pytest.approx(factor * ball.reach_mm)
    outside_N = np.array([0.0, 1.0, 2.0, 4.0])
    found_N = scaled.distance_at(np.stack([0 * outside_N, factor * 5 + outside_N, 0 * outside_N], axis=1))
    assert found_N == pytest.approx(outside_N, abs=0.05)


def test_resizing_reaches_both_ends_of_the_range() -> None:
    largest = PhantomConfig(max_nodule_mm=10.0)
    z, y, x = np.indices((61, 61, 61)) * 0.25 - 7.5
    distance = np.sqrt(z**2 + y**2 + x**2)
    balls = [
        Shape((distance - radius).astype(np.float32), (0.25,) * 3, 4, 3.0, 5.0, 6.0, 5.0, 1.0) for radius in (1.25, 5.0)
    ]
    assert [resized(ball, largest, (3.0, 6.0)).diameter_mm for ball in balls] == pytest.approx([3.0, 6.0], rel=0.02)


def test_under_the_null_control_the_sites_have_one_scanner_and_patients_alike_one_for_one() -> None:
    assert len({design_of(site, NULL) for site in PROFILES}) == 1
    patients = list(zip(*(agreed(NULL, site) for site in PROFILES), strict=True))
    for alike in patients:
        assert len({len(sizes_mm) == 0 for sizes_mm in alike}) == 1, "a nodule-free patient is one at every site"
    matched, by_chance = ([np.log(np.concatenate(agreed(cfg, site))) for site in PROFILES] for cfg in (NULL, ALIKE))
    assert np.ptp([len(sizes) for sizes in matched]) <= 2 < np.ptp([len(sizes) for sizes in by_chance])
    assert np.ptp([sizes.mean() for sizes in matched]) < 0.3


def test_matched_sites_share_no_donor() -> None:
    given = [series_uid for site in PROFILES for own in dealt(NULL)[site] for series_uid in own]
    assert len(given) == len(set(given)) > 3 * 4 * NULL.patients_per_site


def test_the_positive_control_is_the_null_control_but_for_the_odd_site() -> None:
    positive = PhantomConfig.for_control("positive", odd_site="Philips", **SMALL)
    differing = [site for site in PROFILES if design_of(site, positive) != design_of(site, NULL)]
    assert differing == ["Philips"]
    odd = design_of("Philips", positive)
    assert odd.profile.protocols[0].thickness_mm == 5.0
    assert [len(own) for own in shapes(positive, "Philips")] == [len(own) for own in shapes(NULL, "Philips")]
    assert 3 <= min(diameters(positive, "Philips")) < max(diameters(positive, "Philips")) <= 6


@pytest.mark.parametrize("knobs", [{"prevalence": "by-site"}, {"size": "by-site"}, {"size": "one-small"}])
def test_a_shared_patient_cannot_have_nodules_by_site(knobs: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="every site has the same patients"):
        PhantomConfig(paired=True, **knobs)


def test_the_paired_positive_control_has_small_nodules_everywhere() -> None:
    cfg = PhantomConfig.for_control("positive", paired=True)
    assert {design_of(site, cfg).size_mm for site in PROFILES} == {(3.0, 6.0)}
    assert design_of("TOSHIBA", cfg).profile != design_of("GE", cfg).profile


def test_an_odd_site_that_is_none_is_refused_with_the_sites() -> None:
    with pytest.raises(ValidationError, match="GE, Philips, SIEMENS, TOSHIBA, and 'Siemens' is none"):
        PhantomConfig.for_control("positive", odd_site="Siemens")
