"""Positions, orientations and pixel spacings that are no such thing: each is refused, none gets a default."""

from __future__ import annotations

from pathlib import Path

from corpus.geometry import ORIENTATIONS
from corpus.kinds import kind, refused, variants
from corpus.scan import Slice, scan

# --- positions, orientations and spacings that are no such thing ---------------------------------

BAD_POSITIONS = {
    "position-empty": ("ImagePositionPatient has no value.", ""),
    "position-not-a-number": ("ImagePositionPatient holds NaN.", "NaN\\0\\0"),
    "position-infinite": ("ImagePositionPatient holds an infinite number.", "0\\0\\inf"),
    "position-of-two-values": ("ImagePositionPatient has two values.", "-8\\30"),
    "position-of-four-values": ("ImagePositionPatient has four values.", "-8\\30\\-93\\0"),
    "position-with-decimal-commas": ("ImagePositionPatient has decimal commas.", "-8,0\\30,0\\-93,5"),
    "position-in-words": ("ImagePositionPatient is a text.", "left\\back\\head"),
    "position-in-hexadecimal": ("ImagePositionPatient has hexadecimal digits.", "0x8\\0x1e\\-93"),
    "position-with-underscores": ("ImagePositionPatient has digits grouped as Python takes them.", "-8\\3_0\\-93"),
    "position-overflows": ("ImagePositionPatient has an exponent beyond double precision.", "-8\\30\\1e999"),
}


@variants(BAD_POSITIONS, refused("NO_POSITION"))
def bad_position(folder: Path, value: str) -> None:
    """A position that is none, on one slice."""
    scan().edit(5, lambda one: one.set(ImagePositionPatient=value)).write(folder)


@kind(refused("NO_POSITION"))
def no_position_at_all(folder: Path) -> None:
    """No slice says where it lies."""
    scan().unset("ImagePositionPatient").write(folder)


@kind(refused("NO_POSITION"))
def no_position_on_one_slice(folder: Path) -> None:
    """One slice does not say where it lies."""
    scan().edit(5, lambda one: one.unset("ImagePositionPatient")).write(folder)


BAD_ORIENTATIONS = {
    "orientation-missing": ("No slice of a sagittal scan says how it lies.", None),
    "orientation-of-five-values": ("ImageOrientationPatient has five values.", "0\\1\\0\\0\\0"),
    "orientation-all-zero": ("ImageOrientationPatient is all zero.", "0\\0\\0\\0\\0\\0"),
    "orientation-not-a-number": ("ImageOrientationPatient holds NaN.", "0\\1\\0\\0\\0\\NaN"),
    "orientation-not-perpendicular": ("Row and column directions are not perpendicular.", "0\\1\\0\\0\\0.6\\-0.8"),
    "orientation-not-of-length-one": ("Direction cosines of length two.", "0\\2\\0\\0\\0\\-2"),
    "orientation-row-equals-column": ("Row and column directions are the same.", "0\\1\\0\\0\\1\\0"),
}


@variants(BAD_ORIENTATIONS, refused("BAD_ORIENTATION"))
def bad_orientation(folder: Path, cosines: str | None) -> None:
    """A sagittal scan whose orientation is none, on every slice."""
    whole = scan(orientation=ORIENTATIONS["sagittal"][1])
    whole.each(lambda one: _set_or_unset(one, "ImageOrientationPatient", cosines)).write(folder)


BAD_SPACINGS = {
    "pixel-spacing-missing": ("No slice has a PixelSpacing.", None),
    "pixel-spacing-empty": ("PixelSpacing has no value.", ""),
    "pixel-spacing-zero": ("PixelSpacing is zero.", "0\\0"),
    "pixel-spacing-zero-in-one-direction": ("PixelSpacing is zero along the rows.", "0.75\\0"),
    "pixel-spacing-negative": ("PixelSpacing is negative.", "-0.75\\-1"),
    "pixel-spacing-of-one-value": ("PixelSpacing has one value.", "0.75"),
    "pixel-spacing-of-three-values": ("PixelSpacing has three values.", "0.75\\1\\2.5"),
    "pixel-spacing-with-decimal-comma": ("PixelSpacing has a decimal comma.", "0,75\\1,0"),
    "pixel-spacing-not-a-number": ("PixelSpacing holds NaN.", "nan\\nan"),
    "pixel-spacing-infinite": ("PixelSpacing holds an infinite number.", "inf\\inf"),
    "pixel-spacing-denormal": ("PixelSpacing is positive and next to nothing.", "1e-310\\1e-310"),
    "pixel-spacing-in-metres": ("PixelSpacing is in metres.", "0.00075\\0.001"),
    "pixel-spacing-in-microns": ("PixelSpacing is in micrometres.", "750\\1000"),
}


@variants(BAD_SPACINGS, refused("BAD_PIXEL_SPACING"))
def bad_spacing(folder: Path, spacing: str | None) -> None:
    """A pixel spacing that is none, on every slice."""
    scan().each(lambda one: _set_or_unset(one, "PixelSpacing", spacing)).write(folder)


TEN_TIMES = {
    "pixels-ten-times-as-wide-as-high": ("The spacing of columns is ten times that of rows.", "0.7\\7"),
    "pixels-ten-times-as-high-as-wide": ("The spacing of rows is ten times that of columns.", "7\\0.7"),
}


@variants(TEN_TIMES, refused("OBLONG_PIXELS"))
def ten_times(folder: Path, spacing: str) -> None:
    """A point lost from one of the two numbers, on every slice."""
    scan(pixel_spacing_mm=(0.7, 0.7)).set(PixelSpacing=spacing).write(folder)


@kind(refused("BAD_PIXEL_SPACING"))
def only_imager_pixel_spacing(folder: Path) -> None:
    """ImagerPixelSpacing, the detector's own, stands where PixelSpacing should."""
    scan().unset("PixelSpacing").set(ImagerPixelSpacing="0.75\\1").write(folder)


@kind(refused("MIXED_SPACING"))
def one_slice_of_another_pixel_spacing(folder: Path) -> None:
    """One slice was reconstructed with a smaller field of view."""
    scan().edit(5, lambda one: one.set(PixelSpacing="0.5\\0.7")).write(folder)


@kind(refused("MIXED_SPACING"))
def one_slice_with_its_pixel_spacing_swapped(folder: Path) -> None:
    """One slice says column spacing first."""
    scan().edit(5, lambda one: one.set(PixelSpacing="1\\0.75")).write(folder)


@kind(refused("BAD_PIXEL_SPACING", "MIXED_SPACING"))
def one_slice_without_pixel_spacing(folder: Path) -> None:
    """One slice has no PixelSpacing."""
    scan().edit(5, lambda one: one.unset("PixelSpacing")).write(folder)


@kind(refused("MIXED_SPACING"))
def pixel_spacing_drifts(folder: Path) -> None:
    """A magnified reformat: each slice's pixels are 0.5 % larger than the last one's."""
    scan().each(lambda one: one.set(PixelSpacing=[0.75 * 1.005**one.number, 1.005**one.number])).write(folder)


def _set_or_unset(one: Slice, keyword: str, value: str | None) -> None:
    if value is None:
        one.unset(keyword)
    else:
        one.set(**{keyword: value})
