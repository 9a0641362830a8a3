"""What a check found: of one series, and of the site as a whole. All of it stays at the site; see ``public``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from fedlung.ct.series import LeftOut
from fedlung.preflight.estimate import Estimate
from fedlung.preflight.machine import Machine

Level = Literal["PASS", "WARN", "FAIL"]
PASS: Level = "PASS"
WARN: Level = "WARN"
FAIL: Level = "FAIL"


@dataclass(frozen=True)
class Finding:
    """Something about a series or a site. FAIL: it cannot be used; WARN: it can, and somebody should look.

    The sentence has numbers and no names; what may name somebody is only in the site's own table.
    """

    level: Level
    code: str
    sentence: str
    remedy: str


@dataclass(frozen=True)
class SeriesCheck:
    """One series. ``number`` is what it is called wherever names may not be.

    folder        where its files are; empty for a series that is only in a table
    own_words     the full sentences of its errors, which may name somebody; for the site's own table
    diameters_mm  of its nodules on the grid: of the sphere of equal volume
    picture       a slice as JPEG, with what it shows in words; empty where it could not be read
    """

    number: int
    series_uid: str
    findings: tuple[Finding, ...]
    folder: str = ""
    own_words: str = ""
    num_slices: int = 0
    slice_thickness_mm: float = math.nan
    kernel: str = ""
    patient: str = ""
    diameters_mm: tuple[float, ...] = ()
    phi_tags: frozenset[str] = frozenset()
    claims_deidentified: bool = False
    synthetic: bool = False
    picture: bytes = b""
    picture_says: str = ""

    @property
    def level(self) -> Level:
        """The gravest of its findings."""
        levels = {finding.level for finding in self.findings}
        return FAIL if FAIL in levels else WARN if WARN in levels else PASS

    @property
    def main_code(self) -> str:
        """The code of its first finding of that level; "" for PASS."""
        return next((finding.code for finding in self.findings if finding.level == self.level), "")


@dataclass(frozen=True)
class SiteCheck:
    """A whole site.

    left_out  files that are no slices of a series
    findings  of the site as a whole; one FAIL among them and it cannot join
    """

    series: tuple[SeriesCheck, ...]
    left_out: tuple[LeftOut, ...]
    findings: tuple[Finding, ...]
    machine: Machine
    estimate: Estimate | None = None
    synthetic: bool = False

    @property
    def readable(self) -> tuple[SeriesCheck, ...]:
        """The series that can be used."""
        return tuple(one for one in self.series if one.level != FAIL)

    @property
    def num_patients(self) -> int:
        """Patients with a series that can be used."""
        return len({one.patient for one in self.readable})

    @property
    def can_join(self) -> bool:
        """Whether nothing about the site as a whole stands against it."""
        return not any(finding.level == FAIL for finding in self.findings)

    def count(self, level: Level) -> int:
        """Series of a level."""
        return sum(one.level == level for one in self.series)
