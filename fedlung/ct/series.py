"""The types of a DICOM series on disk: what was found, and what was left out and why."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fedlung.ct.dicom.header import Header

Repair = Literal["missing-slices", "uneven-steps", "tilt", "in-plane-jitter"]


def is_uid(text: str) -> bool:
    """Whether a text is written like a UID (PS3.5 section 9.1: digits and dots, 64 at most) and so names nobody."""
    return re.fullmatch("[0-9.]{1,64}", text) is not None


@dataclass(frozen=True)
class Series:
    """A CT series whose headers passed every check. Stays at the site.

    files         each once, by its first slice, ascending along the slices' normal
    positions_mm  of each slice along that normal
    form          what the files are
    repairs       what ``read_series`` will mend by resampling along the true positions, because the site asked for it
    warnings      what is odd about the files beside it, which ``read_series`` cannot see; begins with a stable code
    headers       of the slices, where they are kept: ``read_series`` takes those whose files have not changed
    """

    series_uid: str
    patient_id: str
    study_uid: str
    files: tuple[Path, ...]
    positions_mm: tuple[float, ...]
    modality: str = "CT"
    manufacturer: str = ""
    scanner_model: str = ""
    slice_thickness_mm: float = float("nan")
    form: Literal["dicom", "metaimage", "nifti"] = "dicom"
    repairs: tuple[Repair, ...] = ()
    warnings: tuple[str, ...] = ()
    headers: tuple[Header, ...] = field(default=(), repr=False, compare=False)

    @property
    def num_files(self) -> int:
        """Files; one may hold several slices."""
        return len(self.files)

    @property
    def num_slices(self) -> int:
        """Slices."""
        return len(self.positions_mm)


@dataclass(frozen=True)
class LeftOut:
    """Something that was found and not used. Stays at the site; only ``code`` and ``num_files`` may leave it.

    what       a series UID, or the folder of files that are no series
    code       stable, e.g. ``NONUNIFORM_OR_MISSING_SLICES``
    sentence   what was found and what was expected
    remedy     what to do
    num_files  how many files are not used for it
    is_series  False: files that are no slices of a series, such as a localizer or a note beside them
    folder     where the first file of a series lies; empty where there is none
    """

    what: str
    code: str
    sentence: str
    remedy: str
    num_files: int = 1
    is_series: bool = True
    folder: str = ""
