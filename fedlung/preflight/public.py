"""The part of a check that may leave the site: counts, and facts of the machine.

No name, path, UID, date or free text of a header is in it: categories are fixed here. A count of 1 to 10 is null, with
as many others as ``suppression`` needs; a table whose total is withheld is null as a whole. Only tables that share no
cell, and of which none bounds another's, are here. A verdict bounds the count that it goes by, so it is told only where
that count is: a withheld number of patients with ``can_join`` would tell whether it is below 3.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fedlung import __version__
from fedlung.preflight.findings import FAIL, PASS, WARN, Level, SiteCheck
from fedlung.preflight.phi import PHI, PRIVATE
from fedlung.preflight.suppression import published, published_table
from fedlung.preflight.tables import KERNEL_CLASSES, SIZES_MM, THICKNESSES_MM, binned, kernel_class

Count = int | None
Table = dict[str, int | None] | None

# A code is public as it is, but for those that another table here would bound (thicknesses, the number of nodules, that
# of patients): each shares a cell with codes that it does not bound.
GROUPED = {
    "THICK_SLICES": "UNUSUAL_RECONSTRUCTION",
    "DERIVED": "UNUSUAL_RECONSTRUCTION",
    "LUNGS_CUT": "LUNGS_OR_NODULES",
    "LUNGS_NOT_FOUND": "LUNGS_OR_NODULES",
    "NODULE_OFF_GRID": "LUNGS_OR_NODULES",
    "NODULE_OUTSIDE_LUNG": "LUNGS_OR_NODULES",
    "NODULE_DUPLICATE": "LUNGS_OR_NODULES",
    "NODULE_TOO_LARGE": "LUNGS_OR_NODULES",
    "ANNOTATIONS_MIRRORED": "LUNGS_OR_NODULES",
    "PATIENT_UNKNOWN": "PATIENT_IDENTITY",
    "SAME_STUDY_TWO_PATIENTS": "PATIENT_IDENTITY",
    "SAME_PERSON_TWO_IDS": "PATIENT_IDENTITY",
    "SAME_PIXELS_TWO_PATIENTS": "PATIENT_IDENTITY",
}
# What stands against a site as a whole, and the count that it goes by.
GOES_BY = {"TOO_FEW_PATIENTS": "num_patients", "DISK_TOO_SMALL": "num_readable"}
CODE_PATTERN = r"[A-Z][A-Z0-9_]*"


class PublicMachine(BaseModel):
    """What the site computes on. Nothing here depends on patients."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_cpus: int
    memory_gb: int
    gpu: bool
    gpu_memory_gb: int
    cuda_version: str
    seconds_per_series: float | None = Field(description="to read and prepare one, measured; two digits")
    seconds_per_step: float | None = Field(description="of training the configured network, measured; two digits")


class PublicReport(BaseModel):
    """A check as a consortium may see it. null: withheld."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    fedlung_version: str
    synthetic: bool
    can_join: bool | None = Field(description="null where a count that it goes by is withheld")
    reasons: tuple[str, ...] = Field(
        description="codes of what stands against the site as a whole, as far as the counts that they go by are told"
    )
    num_readable: Count = Field(description="series that passed or have a warning")
    num_failed: Count = Field(description="series that cannot be used; their sum with num_readable is not published")
    num_patients: Count = Field(description="with a readable series")
    num_nodules: Count = Field(description="on the grid of a readable series")
    levels: Table = Field(description="parts num_readable: PASS, WARN")
    warned_because: Table = Field(description="parts WARN: each series once, by its first finding")
    failed_because: Table = Field(description="parts num_failed: each series once, by its code")
    slice_thickness_mm: Table = Field(description="parts num_readable")
    kernels: Table = Field(description="parts num_readable, by classes of known names")
    nodule_diameter_mm: Table = Field(description="parts num_nodules")
    phi_tags: dict[str, Count] = Field(description="readable series with a value in the tag; null also for its rest")
    ignored_files: dict[str, Count] = Field(description="files that are no slices, by code")
    machine: PublicMachine


def public_report(check: SiteCheck) -> PublicReport:
    """What others may see of a check."""
    readable, diameters_mm = check.readable, [d for one in check.readable for d in one.diameters_mm]
    levels = published_table({PASS: check.count(PASS), WARN: check.count(WARN)})
    warned = levels is not None and levels[WARN] is not None
    told = {"num_readable": published(len(readable)), "num_patients": published(check.num_patients)}
    reasons = _reasons(check, told)
    return PublicReport(
        fedlung_version=__version__,
        synthetic=check.synthetic,
        can_join=False if reasons else None if None in told.values() else True,
        reasons=reasons,
        num_failed=published(check.count(FAIL)),
        **told,
        num_nodules=published(len(diameters_mm)),
        levels=levels,
        warned_because=published_table(_codes(check, WARN)) if warned else None,
        failed_because=published_table(_codes(check, FAIL)),
        slice_thickness_mm=published_table(binned((one.slice_thickness_mm for one in readable), THICKNESSES_MM)),
        kernels=published_table(_counts((kernel_class(one.kernel) for one in readable), KERNEL_CLASSES)),
        nodule_diameter_mm=published_table(binned(diameters_mm, SIZES_MM)),
        phi_tags=_phi_tags(check),
        ignored_files=_ignored(check),
        machine=_machine(check),
    )


def _reasons(check: SiteCheck, told: Mapping[str, Count]) -> tuple[str, ...]:
    """Codes of what stands against the site, where the count that it goes by is told."""
    codes = (finding.code for finding in check.findings if finding.level == FAIL)
    return tuple(code for code in codes if told[GOES_BY[code]] is not None)


def public_code(code: str) -> str:
    """A code as it may be published: nothing but a code gets through."""
    known = GROUPED.get(code, "UNEXPECTED" if code.startswith("UNEXPECTED_") else code)
    return known if re.fullmatch(CODE_PATTERN, known) else "OTHER"


def _codes(check: SiteCheck, level: Level) -> Mapping[str, int]:
    return Counter(public_code(one.main_code) for one in check.series if one.level == level)


def _counts(found: Iterable[str], categories: Iterable[str]) -> Mapping[str, int]:
    counts = Counter(found)
    return {category: counts[category] for category in categories}


def _phi_tags(check: SiteCheck) -> dict[str, Count]:
    """Each tag's own table of those with and those without; the latter follows from the total where it is known."""
    num = len(check.readable)
    counts = Counter(tag for one in check.readable for tag in one.phi_tags)
    tables = {tag: published_table({"with": counts[tag], "without": num - counts[tag]}) for tag in sorted(counts)}
    return {tag: table["with"] if table else None for tag, table in tables.items() if tag in PHI | {PRIVATE}}


def _ignored(check: SiteCheck) -> dict[str, Count]:
    files: Counter[str] = Counter()
    for row in check.left_out:
        files[public_code(row.code)] += row.num_files
    return {code: published(num) for code, num in sorted(files.items())}


def _machine(check: SiteCheck) -> PublicMachine:
    machine, estimate = check.machine, check.estimate
    return PublicMachine(
        num_cpus=machine.num_cpus,
        memory_gb=round(machine.memory_bytes / 1e9),
        gpu=bool(machine.gpu),
        gpu_memory_gb=round(machine.gpu_memory_bytes / 1e9),
        cuda_version=machine.cuda_version,
        seconds_per_series=_two_digits(estimate.series_s) if estimate else None,
        seconds_per_step=_two_digits(estimate.step_s) if estimate else None,
    )


def _two_digits(number: float) -> float | None:
    return None if math.isnan(number) else float(f"{number:.2g}")
