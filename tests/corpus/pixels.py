"""What the stored numbers mean: signs, bits, rescale, padding, photometry, and pixels that are torn or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from corpus.dicom import PIXEL_DATA, Elements, Items
from corpus.kinds import kind, read, refused, variants
from corpus.phantom import chest_hu, outside_field, round_field_hu
from corpus.scan import Scan, Slice, scan

TINY_HU = 1.0


# --- rare and sound -------------------------------------------------------------------------------


@kind(read())
def signed_pixels(folder: Path) -> None:
    """Signed pixels with an intercept of zero: the numbers are HU."""
    scan(signed=True, intercept=0.0).write(folder)


@kind(read())
def signed_pixels_with_an_intercept(folder: Path) -> None:
    """Signed pixels and an intercept of -1024."""
    scan(signed=True).write(folder)


@kind(read())
def twelve_bits(folder: Path) -> None:
    """12 bits stored in 16, as the classic scanners do."""
    scan().set(BitsStored=12, HighBit=11).write(folder)


@kind(read())
def twelve_bits_signed(folder: Path) -> None:
    """12 signed bits: the sign is bit 11, and the bits above it are clear."""
    whole = scan(signed=True, intercept=0.0).set(BitsStored=12, HighBit=11)
    whole.each(lambda one: one.store(one.stored_HW & 0xFFF, dtype="u2")).write(folder)


@kind(read())
def dirty_upper_bits(folder: Path) -> None:
    """12 bits stored; the four above hold rubbish."""
    whole = scan().set(BitsStored=12, HighBit=11)
    whole.each(lambda one: one.store(one.stored_HW | 0xA000)).write(folder)


@kind(read())
def overlay_in_the_upper_bits(folder: Path) -> None:
    """An overlay of old lies in bit 15 of the pixels (PS3.5-2004 8.1.2)."""
    whole = scan().set(BitsStored=12, HighBit=11)
    _overlay(whole, allocated=16, position=15)
    whole.each(lambda one: one.store(one.stored_HW | (0x8000 * (np.indices((32, 24)).sum(0) % 2)))).write(folder)


@kind(read())
def overlay_plane_beside_the_pixels(folder: Path) -> None:
    """An overlay in a group of its own, with its own data."""
    whole = _overlay(scan(), allocated=1, position=0)
    whole.each(lambda one: one.elements.put(0x60003000, "OW", b"\xa5" * 96)).write(folder)


def _overlay(whole: Scan, *, allocated: int, position: int) -> Scan:
    """The overlay's description in group 6000 (PS3.3 C.9.2)."""

    def describe(one: Slice) -> None:
        one.elements.put(0x60000010, "US", 32).put(0x60000011, "US", 24).put(0x60000040, "CS", "G")
        one.elements.put(0x60000050, "SS", [1, 1])
        one.elements.put(0x60000100, "US", allocated).put(0x60000102, "US", position)

    return whole.each(describe)


@kind(refused("UNSUPPORTED_BITS"))
def bits_in_the_upper_end(folder: Path) -> None:
    """12 bits stored in the upper 12 of 16: the high bit is 15, and the values are 16 times as large."""
    whole = scan().set(BitsStored=12, HighBit=15)
    whole.each(lambda one: one.store(one.stored_HW << 4)).write(folder)


@kind(read(tolerance_hu=4.0))
def eight_bits(folder: Path) -> None:
    """8 bits with a slope of 8: coarse, but honest."""
    scan(bits=8, slope=8.0).write(folder)


@kind(read())
def slope_of_a_half(folder: Path) -> None:
    """A slope of 0.5: HU with halves."""
    scan(slope=0.5).write(folder)


@kind(read())
def slope_that_is_not_whole(folder: Path) -> None:
    """A slope of many digits, as reconstructions with floating point write it."""
    scan(slope=0.73218, intercept=-1019.25).write(folder)


@kind(read(tolerance_hu=1.0))
def rescale_of_each_slice(folder: Path) -> None:
    """Every slice has its own slope and intercept, as from PET-CT workstations."""
    whole = scan()
    for one in whole.slices:
        slope, intercept = 1.0 + one.number / 16, -1024.0 - 3 * one.number
        one.set(RescaleSlope=slope, RescaleIntercept=intercept)
        one.store(np.rint((chest_hu(one.points_mm) - intercept) / slope))
    whole.write(folder)


@kind(read())
def one_slice_of_another_sign(folder: Path) -> None:
    """One slice is signed with an intercept of zero, the others are not."""
    whole = scan()
    whole.slices[5] = scan(signed=True, intercept=0.0).slices[5]
    whole.write(folder)


@kind(read())
def one_slice_of_other_bits(folder: Path) -> None:
    """One slice says 12 bits stored, the others 16."""
    scan().edit(5, lambda one: one.set(BitsStored=12, HighBit=11)).write(folder)


@kind(read())
def monochrome1(folder: Path) -> None:
    """MONOCHROME1 says how grey is shown; HU are rescaled as ever (PS3.3 C.7.6.3.1.2)."""
    scan().set(PhotometricInterpretation="MONOCHROME1").write(folder)


@kind(read())
def lies_about_display(folder: Path) -> None:
    """Window, smallest and largest value are nonsense: none of them means anything for HU."""
    whole = scan().set(WindowCenter="1e9", WindowWidth="0", PixelAspectRatio="3\\1")
    whole.set(SmallestImagePixelValue=60000, LargestImagePixelValue=1).write(folder)


@kind(read())
def icon_with_pixels_of_its_own(folder: Path) -> None:
    """An icon comes before the image and has its own Rows, Columns, bits and PixelData."""
    icon = Elements().set(Rows=8, Columns=8, BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0)
    icon.set(SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME1", PixelData=bytes(64))
    scan().set(IconImageSequence=Items([icon], undefined_length=True)).write(folder)


@kind(read())
def pixels_as_bytes(folder: Path) -> None:
    """16-bit pixels under the VR OB, as some converters write them."""
    scan().each(lambda one: one.elements.put(PIXEL_DATA, "OB", one.pixels)).write(folder)


@kind(read())
def pixel_data_padded(folder: Path) -> None:
    """Pixel data a few bytes longer than the matrix."""
    scan().each(lambda one: one.elements.put(PIXEL_DATA, "OW", one.pixels + bytes(6))).write(folder)


@kind(read())
def number_of_frames_one(folder: Path) -> None:
    """NumberOfFrames is there and says 1."""
    scan().set(NumberOfFrames="1").write(folder)


# --- padding --------------------------------------------------------------------------------------


def _padded(folder: Path, stored: int, declared: dict[str, tuple[str, int]], *, signed: bool = True) -> None:
    """A round field of view in a square matrix; beyond it the file holds ``stored``."""
    whole = scan(hu=round_field_hu, signed=signed, intercept=0.0 if signed else -1024.0)
    for one in whole.slices:
        one.store(np.where(outside_field(one.points_mm), stored, one.stored_HW))
        for keyword, (vr, value) in declared.items():
            one.elements.put({"padding": 0x00280120, "limit": 0x00280121}[keyword], vr, value)
    whole.write(folder)


PADDINGS = {
    "padding-declared-signed": ("A rim of -2000, declared as SS.", (-2000, {"padding": ("SS", -2000)})),
    "padding-declared-unsigned": ("A rim of -2000, declared as 63536.", (-2000, {"padding": ("US", 63536)})),
    "padding-not-declared": ("A rim of -2000 that no tag declares: below air.", (-2000, {})),
    "padding-of-minus-3024": ("A rim of -3024, declared.", (-3024, {"padding": ("SS", -3024)})),
    "padding-of-the-lowest-number": ("A rim of -32768, declared.", (-32768, {"padding": ("SS", -32768)})),
    "padding-with-a-range": ("A rim of -1990 within a declared range (PixelPaddingRangeLimit).",
                             (-1990, {"padding": ("SS", -2000), "limit": ("SS", -1980)})),
    "padding-above-all-tissue": ("A rim of 32000, declared.", (32000, {"padding": ("SS", 32000)})),
}  # fmt: skip


@variants(PADDINGS, read(), hu=round_field_hu)
def padding(folder: Path, rim: tuple[int, dict[str, tuple[str, int]]]) -> None:
    """Whatever lies beyond the round field of view becomes air."""
    _padded(folder, *rim)


@kind(read(), hu=round_field_hu)
def padding_unsigned(folder: Path) -> None:
    """Unsigned pixels with a rim of 63536, declared."""
    _padded(folder, 63536, {"padding": ("US", 63536)}, signed=False)


@kind(read())
def padding_value_that_tissue_has(folder: Path) -> None:
    """PixelPaddingValue was left at 0 HU: water is no padding."""
    scan(signed=True, intercept=0.0).each(lambda one: one.elements.put(0x00280120, "SS", 40)).write(folder)


@kind(read())
def padding_of_four_bytes(folder: Path) -> None:
    """PixelPaddingValue with a VR and a size that it cannot have; nothing in the image is padded."""
    scan().each(lambda one: one.elements.put(0x00280120, "UL", 0xFFFFF830)).write(folder)
