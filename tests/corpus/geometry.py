"""Where the slices lie: rare but sound grids, gaps, duplicates, tilts, jitters, and tags that lie about all that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from corpus.kinds import kind, read, refused, repaired, variants
from corpus.phantom import chest_hu, ramp_hu
from corpus.scan import STEP_MM, another, scan

FAR_MM = np.array([0.0, 0.0, -1850.0])
COS, SIN = float(np.cos(np.deg2rad(15))), float(np.sin(np.deg2rad(15)))


TILTED = (1.0, 0.0, 0.0, 0.0, COS, SIN)
ORIENTATIONS: dict[str, tuple[str, Sequence[float]]] = {
    "prone": ("The patient lies on the belly: rows and columns run the other way.", (-1.0, 0, 0, 0, -1.0, 0)),
    "feet-first": ("Feet first: the row direction is mirrored.", (-1.0, 0, 0, 0, 1.0, 0)),
    "sagittal": ("A sagittal reformat.", (0, 1.0, 0, 0, 0, -1.0)),
    "coronal": ("A coronal reformat.", (1.0, 0, 0, 0, 0, -1.0)),
    "oblique": ("The patient lies turned about the long axis.", (COS, SIN, 0, -SIN, COS, 0)),
    "oblique-slices": ("Slices tilted together with their stacking direction.", TILTED),
    "double-oblique": ("Oblique about two axes.", (COS, SIN, 0, -SIN * COS, COS * COS, SIN)),
    "cosines-of-minus-zero": ("Direction cosines written as -0.0.", (1.0, -0.0, -0.0, -0.0, 1.0, -0.0)),
}


@variants(ORIENTATIONS, read())
def oriented(folder: Path, orientation: Sequence[float]) -> None:
    """Every direction in which a sound scan may lie."""
    scan(orientation=orientation).write(folder)


@kind(read())
def plain(folder: Path) -> None:
    """A sound axial scan; nothing is wrong with it."""
    scan().write(folder)


@kind(read(), hu=ramp_hu)
def plain_ramp(folder: Path) -> None:
    """A sound axial scan of a slope with a lesion: no plausible body, but honest."""
    scan(hu=ramp_hu).write(folder)


@kind(read(3))
def three_slices(folder: Path) -> None:
    """The shortest stack that shows an even step."""
    scan(3).write(folder)


OBLONG_PIXELS: dict[str, tuple[str, tuple[float, float]]] = {
    "pixels-a-little-wider-than-high": ("PixelSpacing is 0.7 and 0.75, and so are the pixels.", (0.7, 0.75)),
    "pixels-half-as-wide-again-as-high": ("PixelSpacing is 0.7 and 1.0, and so are the pixels.", (0.7, 1.0)),
}


@variants(OBLONG_PIXELS, read())
def oblong_pixels(folder: Path, pixel_spacing_mm: tuple[float, float]) -> None:
    """Pixels that are truly not square."""
    scan(pixel_spacing_mm=pixel_spacing_mm).write(folder)


@kind(read(20))
def anisotropic_pixels(folder: Path) -> None:
    """Pixels three times as wide as high, thin slices."""
    scan(20, pixel_spacing_mm=(0.5, 1.5), step_mm=0.625).write(folder)


@kind(read())
def overlapping_slices(folder: Path) -> None:
    """Slices of 5 mm every 2.5 mm."""
    scan().set(SliceThickness="5").write(folder)


@kind(read())
def slices_with_gaps(folder: Path) -> None:
    """Slices of 1 mm every 2.5 mm, as high-resolution protocols of old took them."""
    scan().set(SliceThickness="1.0").write(folder)


@kind(read())
def reversed_names_and_numbers(folder: Path) -> None:
    """Names and instance numbers run against the positions."""
    scan().each(lambda one: one.set(InstanceNumber=str(40 - one.number))).write(folder)


@kind(read())
def instance_numbers_all_one(folder: Path) -> None:
    """An anonymiser has set every instance number to 1."""
    scan().set(InstanceNumber="1").write(folder)


@kind(read())
def no_instance_numbers(folder: Path) -> None:
    """Instance number and slice location, both optional for geometry, are not there."""
    scan().unset("InstanceNumber", "SliceLocation").write(folder)


@kind(read())
def slice_location_of_another_origin(folder: Path) -> None:
    """Slice locations count from the table's start, as some vendors have it."""
    scan().each(lambda one: one.set(SliceLocation=2.5 * one.number)).write(folder)


@kind(read())
def slice_location_runs_downwards(folder: Path) -> None:
    """Slice locations grow towards the feet while z grows towards the head."""
    scan().each(lambda one: one.set(SliceLocation=-2.5 * one.number)).write(folder)


@kind(read())
def spacing_between_slices_negative(folder: Path) -> None:
    """SpacingBetweenSlices with a sign, as nuclear medicine has it."""
    scan().set(SpacingBetweenSlices="-2.5").write(folder)


@kind(read())
def positions_cut_at_sixteen_characters(folder: Path) -> None:
    """Positions fill all 16 characters of a decimal string."""
    scan(step_mm=2.4999999).each(
        lambda one: one.set(ImagePositionPatient=[f"{x:.16f}"[:16] for x in one.position_mm])
    ).write(folder)


@kind(read())
def positions_with_exponents(folder: Path) -> None:
    """Positions, spacings and rescale in scientific notation, with signs and spaces around."""
    whole = scan().set(PixelSpacing="7.5e-1\\ +1.0E0 ", RescaleIntercept="-1.024E+3", RescaleSlope=" 1e0")
    whole.each(lambda one: one.set(ImagePositionPatient=[f" {x:+.6e}" for x in one.position_mm])).write(folder)


@kind(read(tolerance_hu=0.6))
def positions_in_microns(folder: Path) -> None:
    """Positions printed with three decimals, where the true step of 2.5003 mm has four."""
    scan(step_mm=2.5003).each(lambda one: one.set(ImagePositionPatient=[f"{x:.3f}" for x in one.position_mm])).write(
        folder
    )


@kind(read())
def orientation_wobbles(folder: Path) -> None:
    """Direction cosines of one slice are off by 1e-5, as from single precision."""
    scan().edit(5, lambda one: one.set(ImageOrientationPatient="1\\0.00001\\0\\-0.00001\\1\\0")).write(folder)


@kind(read(), hu=lambda xyz_mm: chest_hu(xyz_mm - FAR_MM))
def far_from_the_origin(folder: Path) -> None:
    """The table has moved far: positions of almost two metres along z."""
    far = scan().each(lambda one: one.set(ImagePositionPatient=(one.position_mm + FAR_MM).tolist()))
    far.unset("SliceLocation").write(folder)


# --- tilt and shifts in the plane -----------------------------------------------------------------


@kind(repaired("tilt", "TILT_OR_INPLANE_SHIFT", tolerance_hu=3.0))
def gantry_tilt(folder: Path) -> None:
    """The gantry is tilted by 15 degrees, the table moves along z: the grid is sheared."""
    scan(orientation=TILTED, shift_mm=_sheared).set(GantryDetectorTilt="15").write(folder)


@kind(repaired("tilt", "TILT_OR_INPLANE_SHIFT", tolerance_hu=3.0))
def gantry_tilt_without_its_tag(folder: Path) -> None:
    """A tilt of 15 degrees that shows in the positions alone."""
    scan(orientation=TILTED, shift_mm=_sheared).write(folder)


@kind(refused("TILT_OR_INPLANE_SHIFT"))
def slices_drift_sideways(folder: Path) -> None:
    """Axial slices whose origin drifts by a tenth of a millimetre each."""
    scan(shift_mm=lambda number: (0.1 * number, 0.0, 0.0)).write(folder)


@kind(repaired("in-plane-jitter", "TILT_OR_INPLANE_SHIFT", tolerance_hu=1.0))
def one_slice_shifted_in_its_plane(folder: Path) -> None:
    """One slice was reconstructed around another centre, 3 mm to the side."""
    scan(shift_mm=lambda number: (3.0 if number == 6 else 0.0, 0.0, 0.0)).write(folder)


@kind(refused("MIXED_ORIENTATION"))
def radial_slices(folder: Path) -> None:
    """Slices that turn about an axis, two degrees each, as a radial reformat does."""
    whole = scan()
    angles = np.deg2rad(2.0 * np.arange(16))
    whole.each(lambda one: one.set(ImageOrientationPatient=_turned(angles[one.number]))).write(folder)


@kind(refused("MIXED_ORIENTATION"))
def one_slice_upside_down(folder: Path) -> None:
    """One slice's orientation says that it is turned by 180 degrees."""
    scan().edit(5, lambda one: one.set(ImageOrientationPatient="-1\\0\\0\\0\\-1\\0")).write(folder)


@kind(refused("MIXED_ORIENTATION", "DUPLICATE_POSITION"))
def three_planes_under_one_uid(folder: Path) -> None:
    """Axial, coronal and sagittal reformats share a UID."""
    for name in ("coronal", "sagittal"):
        another(scan(orientation=ORIENTATIONS[name][1]), name).write(folder)
    scan().write(folder)


@kind(refused("SLICES_OUT_OF_ORDER"))
def two_positions_swapped(folder: Path) -> None:
    """Two slices carry one another's position; instance number and slice location tell the truth."""
    whole = scan()
    near, far = whole.slices[4].position_mm.tolist(), whole.slices[11].position_mm.tolist()
    whole.edit(4, lambda one: one.set(ImagePositionPatient=far))
    whole.edit(11, lambda one: one.set(ImagePositionPatient=near)).write(folder)


@kind(refused("SLICES_OUT_OF_ORDER"))
def two_positions_swapped_and_nothing_else_tells(folder: Path) -> None:
    """Two slices carry one another's position, and there is neither number nor location: only the image tells."""
    whole = scan().unset("InstanceNumber", "SliceLocation")
    near, far = whole.slices[4].position_mm.tolist(), whole.slices[11].position_mm.tolist()
    whole.edit(4, lambda one: one.set(ImagePositionPatient=far))
    whole.edit(11, lambda one: one.set(ImagePositionPatient=near)).write(folder)


# --- edits ---------------------------------------------------------------------------------------


def _sheared(number: int) -> tuple[float, float, float]:
    """From where slice ``number`` of an untilted stack lies to where a table that moves along z has brought it.

    The planes' normal is (0, -SIN, COS); along it the table's step is COS times as long as along z.
    """
    along_z_mm = STEP_MM / COS * number
    return (0.0, STEP_MM * number * SIN, along_z_mm - STEP_MM * number * COS)


def _turned(angle: float) -> list[float]:
    """Axial cosines turned about the column direction."""
    return [float(np.cos(angle)), 0.0, float(np.sin(angle)), 0.0, 1.0, 0.0]
