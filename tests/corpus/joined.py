"""Scans that go on as another, and slices whose files are something else: the headers know nothing of either."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.kinds import kind, read, refused, variants
from corpus.phantom import CENTRE_MM, Points, chest_hu
from corpus.scan import STEP_MM, scan

Values = npt.NDArray[np.float64]
JOIN_Z_MM = CENTRE_MM[2] - STEP_MM / 2
HALF_MM = 8 * STEP_MM


def _above(xyz_mm: Points) -> npt.NDArray[np.bool_]:
    return xyz_mm[..., 2] > JOIN_Z_MM


def exchanged_hu(xyz_mm: Points) -> Values:
    """The upper half of the chest below, and the lower half above."""
    moved_mm = np.array(xyz_mm)
    moved_mm[..., 2] += np.where(_above(xyz_mm), -HALF_MM, HALF_MM)
    return chest_hu(moved_mm)


def shifted_hu(xyz_mm: Points) -> Values:
    """The chest, and from its middle on the chest 6 mm farther to the left."""
    moved_mm = np.array(xyz_mm)
    moved_mm[..., 0] += np.where(_above(xyz_mm), 6.0, 0.0)
    return chest_hu(moved_mm)


@kind(read(), hu=exchanged_hu)
def halves_exchanged(folder: Path) -> None:
    """What lay above lies below, at positions that were written anew."""
    scan(hu=exchanged_hu).write(folder)


@kind(read(), hu=shifted_hu)
def second_half_moved_sideways(folder: Path) -> None:
    """The patient moved, or another reconstruction goes on."""
    scan(hu=shifted_hu).write(folder)


@kind(read())
def two_series_numbers_under_one_uid(folder: Path) -> None:
    """An anonymiser gave two series one UID; their numbers and dates differ still."""
    whole = scan()
    whole.edit(range(8, 16), lambda one: one.set(SeriesNumber="4", StudyDate="20210304")).write(folder)


WRONG_SLOPES = {
    "slope-too-large-by-a-fifth-in-one-half": ("Half of the slices have another slope, for the same numbers.", 1.2),
    "slope-too-small-by-a-fifth-in-one-half": ("Half of the slices have a smaller slope, for the same numbers.", 0.8),
}


@variants(WRONG_SLOPES, refused("RESCALE_CONTRADICTED"))
def slope_of_one_half(folder: Path, slope: float) -> None:
    """A slope that changes where the stored values do not."""
    scan().edit(range(8, 16), lambda one: one.set(RescaleSlope=slope)).write(folder)


# --- an end that is lost --------------------------------------------------------------------------

ENDS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "end-slice-of-zeros": ("The room of a download was made and never filled.", lambda data: bytes(len(data))),
    "end-slice-of-ones": ("Flash memory that was erased.", lambda data: b"\xff" * len(data)),
    "end-slice-is-an-error-page": ("What the server said instead.", lambda data: b"<html>503 try later</html>"),
}


@variants(ENDS, read(15, beside={"NOT_DICOM": 1}))
def end_slice_replaced(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    """The topmost slice's file has its name and another content."""
    scan().edit(15, lambda one: one.damaged(damage)).write(folder)


@kind(read(15, beside={"NOT_DICOM": 1}))
def end_slice_packed_alone(folder: Path) -> None:
    """One file was packed, and the others were not."""
    scan().edit(15, lambda one: one.named(f"{one.name}.gz").damaged(gzip.compress)).write(folder)


@kind(read())
def positions_in_centimetres(folder: Path) -> None:
    """The steps are a tenth of the thickness: no reader knows which of the two is meant."""
    scan(step_mm=0.25).write(folder)
