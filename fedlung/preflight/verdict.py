"""Whether a site can join: the few things that stand against it as a whole, and what somebody should know."""

from __future__ import annotations

from collections.abc import Sequence

from fedlung.preflight.estimate import Estimate
from fedlung.preflight.findings import FAIL, WARN, Finding, SeriesCheck
from fedlung.preflight.machine import GB, Machine
from fedlung.preflight.phi import IDENTIFYING

MIN_PATIENTS = 3  # one to train, one to validate, one to test
MANY_LEFT_OUT = 0.2
DISK_RESERVE = 1.1


def site_findings(
    series: Sequence[SeriesCheck], estimate: Estimate | None, machine: Machine, *, has_annotations: bool
) -> tuple[Finding, ...]:
    """What is to be said of the site as a whole, the gravest first."""
    readable = [one for one in series if one.level != FAIL]
    found = [
        _too_few([one.patient for one in readable]),
        _disk(estimate, machine),
        _left_out(len(series) - len(readable), len(series)),
        _nodules(readable, has_annotations=has_annotations),
        _phi(readable),
    ]
    return tuple(finding for finding in found if finding is not None)


def _too_few(patients: Sequence[str]) -> Finding | None:
    num = len(set(patients))
    if num >= MIN_PATIENTS:
        return None
    sentence = f"Patients with a series that can be used: {num}, expected {MIN_PATIENTS} or more."
    remedy = "Mend what fails below, or export more patients: some train, some validate, some test."
    return Finding(FAIL, "TOO_FEW_PATIENTS", sentence, remedy)


def _disk(estimate: Estimate | None, machine: Machine) -> Finding | None:
    if estimate is None or estimate.disk_bytes * DISK_RESERVE <= machine.disk_free_bytes:
        return None
    need, free = estimate.disk_bytes / GB, machine.disk_free_bytes / GB
    sentence = f"The prepared cases need about {need:.1f} GB, and {free:.1f} GB are free where the store will be."
    return Finding(FAIL, "DISK_TOO_SMALL", sentence, "Make room, or set store in site.toml to another disk.")


def _left_out(num: int, num_all: int) -> Finding | None:
    if num <= MANY_LEFT_OUT * num_all:
        return None
    sentence = f"{num} of {num_all} series cannot be used."
    return Finding(WARN, "MANY_LEFT_OUT", sentence, "Mend what fails below: what is left may not be like the site.")


def _nodules(readable: Sequence[SeriesCheck], *, has_annotations: bool) -> Finding | None:
    if any(one.diameters_mm for one in readable):
        return None
    if has_annotations:
        sentence = "The annotations have no nodule on the grid of a series that can be used."
        remedy = "Check that their series UIDs and coordinates are those of these series, and mend what fails below."
        return Finding(WARN, "NO_NODULES", sentence, remedy)
    remedy = "Give annotations, in site.toml or by --annotations; without a nodule a site can train nothing."
    return Finding(WARN, "NO_NODULES", "There are no annotations.", remedy)


def _phi(readable: Sequence[SeriesCheck]) -> Finding | None:
    num = sum(bool(one.phi_tags & IDENTIFYING) and not one.claims_deidentified for one in readable)
    if not num:
        return None
    sentence = f"Series with tags that name a person or an examination, and no word that it was removed: {num}."
    remedy = "Nothing of it is ever sent. Still, work on a de-identified copy where you can (DICOM PS3.15 Annex E)."
    return Finding(WARN, "PHI_TAGS", sentence, remedy)
