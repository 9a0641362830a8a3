"""Whether all slices of a series are one patient's, one scan and one reconstruction."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from fedlung.ct.audit.findings import Finding
from fedlung.ct.audit.slices import Slices
from fedlung.ct.dicom.headers import Header

SPLIT = "Split it by what differs."
NOT_POOLED = "Never pool it: find out whose it is."
THICKNESS_TOLERANCE_MM = 0.02
# Values that a computed picture has in its image type: its numbers are no attenuation at the voxel's place.
PROJECTION_WORDS = {"MIP", "MAX_IP", "MINIP", "MIN_IP", "MIN IP", "MAX IP", "VOLUME_RENDER", "SURFACE_RENDER", "VRT"}
PROJECTION_WORDS |= {"CURVED_MPR", "CURVED MPR", "PROJECTION IMAGE", "SUBTRACT", "SUBTRACTION"}


def one_value(
    code: str, what: str, remedy: str, value: Callable[[Header], object], *, absent: object = None
) -> Callable[[Slices], Finding | None]:
    """A check that all slices have the same value; the values themselves may name a patient and are not told.

    ``absent`` is passed over: an optional tag may be missing on some slices, and says nothing there.
    """

    def check(slices: Slices) -> Finding | None:
        num_values = len({found for header in slices.headers if (found := value(header)) != absent})
        return Finding(code, f"{num_values} different {what} under one series UID.", remedy) if num_values > 1 else None

    return check


def _mixed_thickness(slices: Slices) -> Finding | None:
    found = [header.slice_thickness_mm for header in slices.headers if math.isfinite(header.slice_thickness_mm)]
    if found and max(found) - min(found) > THICKNESS_TOLERANCE_MM:
        sentence = f"slices of {min(found):.4g} mm and of {max(found):.4g} mm under one series UID."
        return Finding("MIXED_THICKNESS", sentence, "Split it into one series a reconstruction.")
    return None


def _projection(slices: Slices) -> Finding | None:
    if any(PROJECTION_WORDS & set(header.image_type) for header in slices.headers):
        return Finding("PROJECTION", "a projection or a rendering of slices.", "Export the slices that it is made of.")
    return None


def _interleaved(slices: Slices) -> Finding | None:
    """Two acquisitions may each cover their own part of the patient; along the normal none may come back."""
    for number_of in (lambda header: header.acquisition_number, lambda header: header.kvp):
        numbers = [number for header in slices.ascending if (number := number_of(header)) is not None]
        if _comes_back([number for number in numbers if number == number]):
            sentence = "slices of several acquisitions lie between one another."
            return Finding("MIXED_ACQUISITIONS", sentence, "Split it into one series an acquisition.")
    return None


def _comes_back(numbers: Sequence[float]) -> bool:
    blocks = [number for number, _ in groupby(numbers)]
    return len(blocks) > len(set(blocks))


def _numbered_twice(slices: Slices) -> Finding | None:
    """Phases that were merged keep their instance numbers: each occurs as often as there are phases.

    Or they were numbered on: then every second slice counts on by itself.
    """
    numbers = [header.instance_number for header in slices.ascending]
    if None in numbers:
        return None
    counts = Counter(numbers)
    if (len(counts) >= 3 and set(counts.values()) == {max(counts.values())} != {1}) or _two_countings(numbers):
        sentence = "the instance numbers are those of several scans between one another."
        return Finding("MIXED_ACQUISITIONS", sentence, "Split it into one series an acquisition.")
    return None


def _two_countings(numbers: Sequence[int | None]) -> bool:
    number_N = np.array(numbers, dtype=np.int64)
    if len(number_N) < 8:
        return False
    steps = [np.diff(number_N[start::2]) for start in (0, 1)]
    # A single counting by ones has steps of 2 on either half; two countings have steps of 1.
    return all(abs(step[0]) == 1 and (step == step[0]).all() for step in steps)


def _repeated_object(slices: Slices) -> Finding | None:
    """One SOPInstanceUID names one image: in two files at two places it is wrong in one of them.

    Two files at one place are a copy, which the check of positions refuses; frames of one file share their UID.
    """
    places: dict[str, dict[Path, tuple[float, ...]]] = {}
    for header in slices.headers:
        if header.sop_uid:
            places.setdefault(header.sop_uid, {}).setdefault(header.path, header.position_mm)
    repeated = sum(len(set(of_file.values())) > 1 for of_file in places.values())
    if repeated:
        sentence = f"{repeated} SOPInstanceUIDs stand for images at several places."
        return Finding("DUPLICATE_SOP_UID", sentence, "Export again: each image needs its own UID.")
    return None


def _incomplete(slices: Slices) -> Finding | None:
    declared = max((header.num_in_series or 0 for header in slices.headers), default=0)
    if declared > len(slices.headers):
        sentence = f"{len(slices.headers)} slices, but the headers say that the series has {declared}."
        return Finding("INCOMPLETE_SERIES", sentence, "Copy or export the series again as a whole.")
    return None


def _part_missing(slices: Slices) -> Finding | None:
    """PS3.3 C.7.6.16.2.2.4. Where a series has several concatenations, one's parts may stand in for another's."""
    declared = max(header.num_in_concatenation for header in slices.headers)
    found = len({header.path for header in slices.headers if header.num_in_concatenation})
    if declared > found:
        sentence = f"{found} parts of an image that was split into {declared} files."
        return Finding("INCOMPLETE_SERIES", sentence, "Copy or export the series again as a whole.")
    return None


IDENTITY_CHECKS: tuple[Callable[[Slices], Finding | None], ...] = (
    one_value("MIXED_PATIENTS", "patients", NOT_POOLED, lambda header: header.patient_id),
    one_value("MIXED_PATIENTS", "patients' names", NOT_POOLED, lambda header: header.patient_name, absent=""),
    one_value("MIXED_PATIENTS", "dates of birth", NOT_POOLED, lambda header: header.birth_date, absent=""),
    one_value("MIXED_STUDIES", "studies", SPLIT, lambda header: header.study_uid),
    one_value("MIXED_FRAMES_OF_REFERENCE", "frames of reference", SPLIT, lambda header: header.frame_uid),
    one_value("MIXED_ORIENTATION", "patient positions", SPLIT, lambda header: header.patient_position, absent=""),
    one_value("MIXED_SIZES", "matrix sizes", SPLIT, lambda header: header.shape_HW),
    one_value("MIXED_SCANNERS", "makers", SPLIT, lambda header: header.manufacturer, absent=""),
    one_value("MIXED_SCANNERS", "models", SPLIT, lambda header: header.scanner_model, absent=""),
    one_value("MIXED_KERNELS", "kernels", SPLIT, lambda header: header.kernel, absent=""),
    one_value("MIXED_IMAGE_TYPES", "image types", SPLIT, lambda header: header.image_type, absent=("",)),
    one_value("MIXED_ACQUISITIONS", "points in time", SPLIT, lambda header: header.temporal_position),
    one_value("MIXED_STACKS", "stacks of frames", SPLIT, lambda header: header.stack, absent=""),
    _mixed_thickness,
    _projection,
    _incomplete,
    _part_missing,
    _repeated_object,
)
# These need positions, so they come after the checks of geometry.
ORDERED_CHECKS: tuple[Callable[[Slices], Finding | None], ...] = (_interleaved, _numbered_twice)
