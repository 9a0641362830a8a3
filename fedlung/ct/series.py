"""The types of a DICOM series on disk: what was found, and what was left out and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Series:
    """A CT series whose headers passed every check. Stays at the site.

    files         ascending along the slices' normal
    positions_mm  of each file along that normal
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

    @property
    def num_files(self) -> int:
        """One file is one slice."""
        return len(self.files)


@dataclass(frozen=True)
class LeftOut:
    """Something that was found and not used. Stays at the site; only ``code`` and ``num_files`` may leave it.

    what       a series UID, or the folder of files that are no series
    code       stable, e.g. ``NONUNIFORM_OR_MISSING_SLICES``
    sentence   what was found and what was expected
    remedy     what to do
    num_files  how many files are not used for it
    is_series  False: files that are no slices of a series, such as a localizer or a note beside them
    """

    what: str
    code: str
    sentence: str
    remedy: str
    num_files: int = 1
    is_series: bool = True
