"""Slices that are missing, doubled, uneven or of several scans under one series UID."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from corpus.kinds import kind, read, refused, repaired
from corpus.phantom import contrast_hu
from corpus.scan import STEP_MM, another, later, scan


def _half_a_step(number: int) -> tuple[float, float, float]:
    return (0.0, 0.0, STEP_MM / 2)


# --- slices that are missing, doubled or uneven ---------------------------------------------------


@kind(repaired("missing-slices", "NONUNIFORM_OR_MISSING_SLICES", tolerance_hu=110.0))
def slice_missing(folder: Path) -> None:
    """One slice in the middle was never sent."""
    scan().drop(8).write(folder)


@kind(refused("NONUNIFORM_OR_MISSING_SLICES"))
def slices_missing_here_and_there(folder: Path) -> None:
    """Three slices, far from one another, were never sent."""
    scan(20).drop(4, 9, 15).write(folder)


@kind(refused("NONUNIFORM_OR_MISSING_SLICES"))
def every_other_slice_missing_in_one_half(folder: Path) -> None:
    """A transfer that lost every other slice from the middle on."""
    scan(20).drop(11, 13, 15, 17).write(folder)


@kind(refused("NONUNIFORM_OR_MISSING_SLICES"))
def second_slice_missing(folder: Path) -> None:
    """The slice after the first one is missing, where an end hides the gap from a median."""
    scan().drop(1).write(folder)


@kind(refused("NONUNIFORM_OR_MISSING_SLICES"))
def gap_as_long_as_the_scan(folder: Path) -> None:
    """Two blocks of slices with a hole between them, as wide as both."""
    scan(24).drop(*range(6, 18)).write(folder)


@kind(read(13))
def slices_missing_at_an_end(folder: Path) -> None:
    """The last three slices were never sent and no tag tells: what is there is right."""
    scan().drop(13, 14, 15).write(folder)


@kind(read(13))
def slices_missing_at_an_end_of_an_acquisition(folder: Path) -> None:
    """The last three slices were never sent; the headers say that the acquisition had 16, as a sub-series would."""
    scan().set(ImagesInAcquisition="16").drop(13, 14, 15).write(folder)


@kind(refused("INCOMPLETE_SERIES"))
def slices_missing_at_an_end_and_counted(folder: Path) -> None:
    """The last three slices were never sent; the headers say that the series has 16."""
    scan().set(NumberOfSeriesRelatedInstances="16").drop(13, 14, 15).write(folder)


@kind(refused("DUPLICATE_POSITION"))
def slice_twice_with_a_new_uid(folder: Path) -> None:
    """One slice was imported twice and got a new UID the second time."""
    scan().write(folder)
    another(scan().on(7), "again").write(folder)


@kind(refused("DUPLICATE_POSITION"))
def two_phases(folder: Path) -> None:
    """Two phases of contrast under one series UID."""
    scan().write(folder)
    later(scan(hu=contrast_hu)).write(folder)


@kind(refused("MIXED_ACQUISITIONS"))
def two_phases_half_a_step_apart(folder: Path) -> None:
    """The second phase lies between the slices of the first: together they are an even grid of half the step."""
    scan().write(folder)
    later(scan(hu=contrast_hu, shift_mm=_half_a_step)).write(folder)


@kind(refused("DUPLICATE_POSITION", "MIXED_ACQUISITIONS"))
def two_temporal_positions_half_a_step_apart(folder: Path) -> None:
    """Two breathing phases whose slices interleave; only TemporalPositionIdentifier tells them apart."""
    scan().set(TemporalPositionIdentifier="1").write(folder)
    other = scan(hu=contrast_hu, shift_mm=_half_a_step).set(TemporalPositionIdentifier="2")
    another(other, "t2").write(folder)


@kind(refused("MIXED_KERNELS"))
def two_kernels_half_a_step_apart(folder: Path) -> None:
    """A soft and a sharp reconstruction interleave under one UID."""
    scan().write(folder)
    other = scan(hu=contrast_hu, shift_mm=_half_a_step).set(ConvolutionKernel="B70f")
    another(other, "sharp").write(folder)


@kind(refused("MIXED_IMAGE_TYPES"))
def thick_reformat_under_the_same_uid(folder: Path) -> None:
    """A reformat of 5 mm at every other position, under the UID of the thin series."""
    scan().write(folder)
    thick = scan(8, step_mm=5.0, hu=contrast_hu).set(SliceThickness="5", ImageType="DERIVED\\SECONDARY\\REFORMATTED")
    another(thick, "thick").write(folder)


@kind(refused("DUPLICATE_POSITION", "NONUNIFORM_OR_MISSING_SLICES", "MIXED_ACQUISITIONS"))
def overlapping_stations(folder: Path) -> None:
    """Two table positions overlap by a few slices."""
    scan(10).write(folder)
    later(scan(10, shift_mm=lambda number: (0.0, 0.0, 17.5))).write(folder)


@kind(refused("NONUNIFORM_OR_MISSING_SLICES", "MIXED_ACQUISITIONS"))
def stations_off_the_grid(folder: Path) -> None:
    """A second table position starts a third of a step too late."""
    scan(8).write(folder)
    later(scan(8, shift_mm=lambda number: (0.0, 0.0, 20.9))).write(folder)


@kind(repaired("uneven-steps", "NONUNIFORM_OR_MISSING_SLICES", tolerance_hu=55.0))
def step_changes(folder: Path) -> None:
    """Fine slices in the lesion, coarse ones beyond."""
    scan(16, steps=[0, 1, 2, 3, 4, 4.5, 5, 5.5, 6, 6.5, 7, 8, 9, 10, 11, 12]).write(folder)


@kind(repaired("uneven-steps", "NONUNIFORM_OR_MISSING_SLICES", tolerance_hu=70.0))
def positions_jitter_along_z(folder: Path) -> None:
    """True positions jitter by a third of a step, as from a table that was pushed."""
    scan(steps=[n + (0.33 if n % 3 == 1 else 0.0) for n in range(16)]).write(folder)


@kind(refused("NONUNIFORM_OR_MISSING_SLICES"))
def positions_rounded_to_a_millimetre(folder: Path) -> None:
    """Positions were rounded to whole millimetres, the slices were not."""
    scan().each(lambda one: one.set(ImagePositionPatient=np.round(one.position_mm).tolist())).write(folder)


@kind(refused("NONUNIFORM_OR_MISSING_SLICES"))
def steps_grow(folder: Path) -> None:
    """Every step is 2 % longer than the one before: no two neighbours look odd."""
    scan(steps=np.cumsum(1.02 ** np.arange(16)).tolist()).write(folder)


@kind(refused("TOO_FEW_SLICES"))
def one_slice(folder: Path) -> None:
    """A single slice says nothing of its neighbours."""
    scan(1).write(folder)


@kind(refused("TOO_FEW_SLICES"))
def two_slices(folder: Path) -> None:
    """Two slices show one step and no evenness."""
    scan(2).write(folder)


@kind(refused("DUPLICATE_POSITION"))
def all_slices_at_one_position(folder: Path) -> None:
    """A perfusion series, or an anonymiser that wrote one position into every header."""
    first = scan().slices[0].position_mm.tolist()
    scan().set(ImagePositionPatient=first).write(folder)


@kind(read(8))
def every_other_slice_missing(folder: Path) -> None:
    """Every other slice was left out on purpose: an even grid of twice the step, and right."""
    scan().drop(*range(1, 16, 2)).write(folder)


@kind(refused("DUPLICATE_POSITION", "NONUNIFORM_OR_MISSING_SLICES"))
def copy_a_hair_apart(folder: Path) -> None:
    """One slice lies there twice, 0.02 mm apart: rounding at another hospital."""
    scan().write(folder)
    another(scan(shift_mm=lambda number: (0.0, 0.0, 0.02)).on(7), "hair").write(folder)


@kind(refused("MIXED_ACQUISITIONS", "MIXED_KERNELS"))
def two_energies_half_a_step_apart(folder: Path) -> None:
    """Two tubes' images of 80 and 140 kV interleave under one UID."""
    scan().set(KVP="80").write(folder)
    another(scan(hu=contrast_hu, shift_mm=_half_a_step).set(KVP="140"), "high").write(folder)


@kind(refused("MIXED_ACQUISITIONS", "SLICES_OUT_OF_ORDER", "INTENSITY_JUMP"))
def two_phases_that_no_tag_tells_apart(folder: Path) -> None:
    """Two phases of contrast interleave and were renumbered: only the brightness to and fro tells."""
    scan().each(lambda one: one.set(InstanceNumber=str(2 * one.number + 1))).write(folder)
    other = scan(hu=contrast_hu, shift_mm=_half_a_step)
    another(other.each(lambda one: one.set(InstanceNumber=str(2 * one.number + 2))), "phase").write(folder)
