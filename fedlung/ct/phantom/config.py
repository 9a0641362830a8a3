"""Every knob of the phantom. All of it changes a pixel, so all of it is in the fingerprint.

What differs between the sites is chosen by three switches, each of which acts on what it names and on nothing else: a
patient keeps the anatomy, and a scan the noise, that it has with the switch off. What the switches mean by site is in
``design.py``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fedlung.config import PhantomControl
from fedlung.ct.phantom.profiles import PROFILES
from fedlung.section import Positive, Probability, Section

PHANTOM_VERSION = 1


def switched(shifts: Collection[str]) -> dict[str, Any]:
    """The knobs with which the sites differ in ``shifts`` (``PhantomShift``) and in nothing else."""
    switches = ("acquisition", "prevalence", "size")
    return {name: "by-site" if name in shifts or "all" in shifts else "same" for name in switches}


def control_knobs(control: PhantomControl, *, paired: bool = False) -> dict[str, Any]:
    """The knobs of a control, whose outcome is known before any model is trained.

    null       all sites alike in everything: the gap between them is 0 but for chance
    positive   the odd site has nodules of 3 to 6 mm in noisy slices of 5 mm, the others their donors' sizes in thin
               slices: held out, it must do worse. Paired, all have the small nodules and only the scanner differs.

    Both are matched, so that the same patients' chance differences make neither gap.
    """
    alike = {**switched(()), "matched": True}
    if control == "null":
        return alike
    return alike | {"acquisition": "one-thick", "size": "all-small" if paired else "one-small"}


class PhantomConfig(Section):
    """What is written; the number of processes that write it is not part of it."""

    version: int = Field(
        PHANTOM_VERSION, description="of the phantom's own code; it rises when the same knobs give other pixels"
    )
    seed: int = Field(0, ge=0)
    patients_per_site: int = Field(32, ge=1, le=200)
    matrix: int = Field(288, ge=64, le=1024, multiple_of=2, description="rows and columns of a slice")
    coverage_mm: float = Field(
        90.0, ge=40.0, le=320.0, description="extent along the patient; 320 has both lungs whole"
    )
    nodule_free: Probability = Field(0.12, description="share of patients without a nodule")
    max_nodules: int = Field(4, ge=1, le=12, description="of one patient")
    max_nodule_mm: Positive = Field(34.0, description="donor nodules beyond this diameter are not used")
    substep_mm: Positive = Field(1.5, description="the scene is rendered at least this finely along the patient")
    smallest_vessel_mm: float = Field(0.55, ge=0.3, le=3.0, description="radius at which the vessel trees end")
    acquisition: Literal["by-site", "same", "one-thick"] = Field(
        "by-site",
        description="each site its own scanner; all the reference scanner; or odd-site slices of 5 mm, the others that",
    )
    prevalence: Literal["same", "by-site"] = Field(
        "same",
        description="by-site: each its own share of nodule-free patients and most nodules, in place of those above",
    )
    size: Literal["same", "by-site", "one-small", "all-small"] = Field(
        "same", description="of the nodules: the donors' own, each site its own range, or 3 to 6 mm at odd-site or all"
    )
    odd_site: str = Field("TOSHIBA", description="which site one-thick and one-small mean")
    matched: bool = Field(False, description="sites get patients of like number and size of nodules, one for one")
    paired: bool = Field(False, description="every site scans the same virtual patients")

    @classmethod
    def for_control(cls, control: PhantomControl, **knobs: Any) -> PhantomConfig:
        """The phantom of a control; ``knobs`` are its other settings."""
        return cls(**{**control_knobs(control, paired=knobs.get("paired", False)), **knobs})

    @field_validator("odd_site")
    @classmethod
    def _is_a_site(cls, name: str) -> str:
        if name not in PROFILES:
            raise ValueError(f"the phantom's sites are {', '.join(PROFILES)}, and {name!r} is none of them")
        return name

    @model_validator(mode="after")
    def _one_patient_has_one_set_of_nodules(self) -> PhantomConfig:
        if self.paired and (self.prevalence == "by-site" or self.size in ("by-site", "one-small")):
            raise ValueError(
                "with paired scans every site has the same patients, and neither prevalence nor size can differ by "
                "site; leave them the same (or size all-small), or paired off"
            )
        return self

    def knobs(self) -> dict[str, Any]:
        """The settings as JSON has them, less what came after version 1 and is as it was before.

        So a phantom that was written before there were switches is still known as the default one.
        """
        later = {"acquisition", "prevalence", "size", "odd_site", "matched", "paired"}
        unchanged = {name for name in later if getattr(self, name) == type(self).model_fields[name].default}
        return self.model_dump(mode="json", exclude=unchanged)

    def fingerprint(self) -> str:
        """16 hex digits that change with any knob."""
        return hashlib.sha256(json.dumps(self.knobs(), sort_keys=True).encode()).hexdigest()[:16]
