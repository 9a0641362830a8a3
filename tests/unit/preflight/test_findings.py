"""Patients under two IDs, the site's verdict, categories, tags: each rule by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.datadict import tag_for_keyword

from fedlung.preflight.estimate import Estimate
from fedlung.preflight.findings import FAIL, PASS, WARN, Finding, SeriesCheck, SiteCheck
from fedlung.preflight.machine import Machine, inspect_machine
from fedlung.preflight.patients import Identity, patient_findings
from fedlung.preflight.phi import IDENTIFYING, OTHER
from fedlung.preflight.public import public_code, public_report
from fedlung.preflight.tables import SIZES_MM, binned, kernel_class
from fedlung.preflight.verdict import site_findings

MACHINE = Machine(4, 16_000_000_000, 100_000_000_000, "cpu")


def row(number: int, patient: str = "", **fields: object) -> SeriesCheck:
    return SeriesCheck(number, f"1.2.{number}", (), patient=patient or f"P{number}", **fields)


def codes(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(finding.level, finding.code) for finding in findings]


def test_what_two_patients_share_is_a_finding_on_each_and_names_the_other_by_number() -> None:
    found = patient_findings(
        [
            Identity(1, "A", "study", "", "p1"),
            Identity(2, "B", "study", "", "p2"),
            Identity(3, "A", "own", "x", "p3"),
            Identity(4, "C", "more", "x", "p3"),
            Identity(5, "A", "own", "x", "p5"),
        ]
    )
    assert {number: [one.code for one in findings] for number, findings in found.items()} == {
        1: ["SAME_STUDY_TWO_PATIENTS"],
        2: ["SAME_STUDY_TWO_PATIENTS"],
        3: ["SAME_PERSON_TWO_IDS", "SAME_PIXELS_TWO_PATIENTS"],
        4: ["SAME_PERSON_TWO_IDS", "SAME_PIXELS_TWO_PATIENTS"],
        5: ["SAME_PERSON_TWO_IDS"],
    }
    assert found[4][0].sentence == "The same name and birth date as #3, #5, under another patient ID."


def test_series_of_one_patient_may_share_everything() -> None:
    assert not patient_findings([Identity(number, "A", "study", "x", "p") for number in (1, 2)])


def test_a_site_needs_three_patients_and_one_patient_counts_once() -> None:
    nodule = {"diameters_mm": (8.0,)}
    assert codes(site_findings([row(n, **nodule) for n in (1, 2, 3)], None, MACHINE, has_annotations=True)) == []
    same = [row(n, patient="A" if n < 3 else "B", **nodule) for n in (1, 2, 3)]
    assert codes(site_findings(same, None, MACHINE, has_annotations=True)) == [(FAIL, "TOO_FEW_PATIENTS")]


def test_a_disk_with_less_than_a_tenth_to_spare_is_too_small() -> None:
    rows = [row(n, diameters_mm=(8.0,)) for n in (1, 2, 3)]
    estimate = Estimate(1, 3, 1.0, 30_000_000_000.0, 1.0, 1, "net")
    assert codes(site_findings(rows, estimate, MACHINE, has_annotations=True)) == []
    small = replace(MACHINE, disk_free_bytes=98_000_000_000)
    assert codes(site_findings(rows, estimate, small, has_annotations=True)) == [(FAIL, "DISK_TOO_SMALL")]


def test_names_in_headers_are_a_warning_unless_the_header_says_that_they_are_no_names() -> None:
    tagged = {"diameters_mm": (8.0,), "phi_tags": frozenset({"PatientName", "StudyDate"})}
    rows = [row(n, **tagged) for n in (1, 2, 3)]
    assert codes(site_findings(rows, None, MACHINE, has_annotations=True)) == [(WARN, "PHI_TAGS")]
    replaced = [replace(one, claims_deidentified=True) for one in rows]
    assert codes(site_findings(replaced, None, MACHINE, has_annotations=True)) == []
    dates = [replace(one, phi_tags=frozenset({"StudyDate"})) for one in rows]
    assert codes(site_findings(dates, None, MACHINE, has_annotations=True)) == []


def test_a_site_without_a_nodule_or_with_many_series_left_out_is_told() -> None:
    rows = [row(n) for n in (1, 2, 3)]
    failed = replace(row(4), findings=(Finding(FAIL, "X", "x.", "y."),))
    assert codes(site_findings([*rows, failed], None, MACHINE, has_annotations=False)) == [
        (WARN, "MANY_LEFT_OUT"),
        (WARN, "NO_NODULES"),
    ]


def test_the_gravest_finding_is_the_level_and_the_first_of_that_level_the_main_code() -> None:
    warn, fail = Finding(WARN, "W", "", ""), Finding(FAIL, "F", "", "")
    assert (row(1).level, row(1).main_code) == (PASS, "")
    assert replace(row(1), findings=(warn, fail)).main_code == "F"


def test_a_value_on_an_edge_belongs_below_it_and_nan_apart() -> None:
    assert list(binned([6.0, 6.01, 30.0, 31.0, math.nan], SIZES_MM).values()) == [1, 1, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("STANDARD", "smooth"), ("B30f", "smooth"), ("Br40d\\3", "smooth"), ("FC01", "smooth"), ("C", "smooth"),
        ("LUNG", "sharp"), ("BONEPLUS", "sharp"), ("B70f", "sharp"), ("Bl57d", "sharp"), ("FC51", "sharp"),
        ("D", "sharp"), ("", "unknown"), ("DR SMITH", "unknown"), ("Quixworth", "unknown"),
    ],
)  # fmt: skip
def test_kernels_are_told_by_names_that_are_known(kernel: str, expected: str) -> None:
    assert kernel_class(kernel) == expected


def test_every_phi_tag_is_in_the_dictionary_and_of_one_kind() -> None:
    assert not IDENTIFYING & OTHER
    assert all(tag_for_keyword(keyword) is not None for keyword in IDENTIFYING | OTHER)


def test_nothing_but_a_code_is_public() -> None:
    assert public_code("MIXED_PATIENTS") == "MIXED_PATIENTS"
    assert public_code("UNEXPECTED_KeyError") == "UNEXPECTED"
    assert public_code("Smith, John") == public_code("1.2.840.1") == "OTHER"
    assert public_code("THICK_SLICES") == public_code("DERIVED")


def test_public_counts_of_a_larger_site_by_hand() -> None:
    warned = (Finding(WARN, "LOSSY", "", ""),)
    rows = [row(n, slice_thickness_mm=1.0, kernel="B30f", diameters_mm=(4.0,)) for n in range(1, 31)]
    rows += [replace(row(n, slice_thickness_mm=2.5, kernel="LUNG"), findings=warned) for n in range(31, 51)]
    rows += [replace(row(51), findings=(Finding(FAIL, "TILT_OR_INPLANE_SHIFT", "", ""),))]
    report = public_report(SiteCheck(tuple(rows), (), (), MACHINE))
    assert (report.num_readable, report.num_failed, report.num_patients, report.num_nodules) == (50, None, 50, 30)
    assert report.levels == {"PASS": 30, "WARN": 20}
    assert report.warned_because == {"LOSSY": 20}
    assert report.failed_because is None
    assert report.kernels == {"smooth": 30, "sharp": 20, "unknown": 0}
    assert report.slice_thickness_mm is not None and report.slice_thickness_mm["≤ 1"] == 30


def test_the_machine_is_told_for_a_store_that_is_not_there_yet(tmp_path: Path) -> None:
    import torch

    machine = inspect_machine(tmp_path / "not" / "yet", torch.device("cpu"))
    assert machine.num_cpus >= 1 and machine.memory_bytes > 1e8 and machine.disk_free_bytes > 0
    assert (machine.device, bool(machine.gpu)) == ("cpu", torch.cuda.is_available())
