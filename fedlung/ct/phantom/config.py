"""Every knob of the phantom. All of it changes a pixel, so all of it is in the fingerprint."""

from __future__ import annotations

from pydantic import Field

from fedlung.config import Positive, Probability, Section

PHANTOM_VERSION = 1


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
