"""What turns stored values into HU and whether they can be such: rescale, bits, photometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from corpus.dicom import PIXEL_DATA, Elements, Items
from corpus.kinds import kind, nothing, refused, variants
from corpus.scan import scan

# --- rescale --------------------------------------------------------------------------------------

BAD_RESCALES: dict[str, tuple[str, dict[str, Any]]] = {
    "slope-zero": ("A slope of zero.", {"RescaleSlope": "0"}),
    "slope-negative": ("A negative slope.", {"RescaleSlope": "-1"}),
    "slope-not-a-number": ("A slope of NaN.", {"RescaleSlope": "NaN"}),
    "slope-with-decimal-comma": ("A slope with a decimal comma.", {"RescaleSlope": "1,0"}),
    "slope-empty": ("A slope without a value.", {"RescaleSlope": ""}),
    "intercept-empty": ("An intercept without a value.", {"RescaleIntercept": ""}),
    "intercept-infinite": ("An infinite intercept.", {"RescaleIntercept": "-inf"}),
}


@variants(BAD_RESCALES, refused("NO_RESCALE"))
def bad_rescale(folder: Path, values: dict[str, Any]) -> None:
    """A rescale that is none."""
    scan().set(**values).write(folder)


@kind(refused("NO_RESCALE"))
def no_rescale(folder: Path) -> None:
    """No slice has a rescale: unsigned numbers would be off by 1024."""
    scan().unset("RescaleSlope", "RescaleIntercept", "RescaleType").write(folder)


@kind(refused("NO_RESCALE"))
def rescale_on_the_first_slice_only(folder: Path) -> None:
    """Only the first slice has a rescale."""
    scan().edit(range(1, 16), lambda one: one.unset("RescaleSlope", "RescaleIntercept")).write(folder)


@kind(refused("NO_RESCALE"))
def intercept_missing(folder: Path) -> None:
    """A slope and no intercept."""
    scan().unset("RescaleIntercept").write(folder)


@kind(refused("MODALITY_LUT"))
def modality_lookup_table(folder: Path) -> None:
    """A modality lookup table stands where the rescale should."""
    lookup = Elements().put(0x00283002, "US", [4096, 0, 16]).set(ModalityLUTType="HU")
    lookup.put(0x00283006, "OW", np.arange(4096, dtype=np.uint16))
    scan().unset("RescaleSlope", "RescaleIntercept").set(ModalityLUTSequence=Items([lookup])).write(folder)


@kind(refused("NOT_HOUNSFIELD"))
def rescale_to_optical_density(folder: Path) -> None:
    """The rescale says that it gives thousandths of optical density and no HU."""
    scan().set(RescaleType="OD").write(folder)


@kind(refused("NOT_HOUNSFIELD"))
def rescale_to_material_density(folder: Path) -> None:
    """An iodine map of a dual-energy scan: MGML, no HU."""
    scan().set(RescaleType="MGML", ImageType="DERIVED\\PRIMARY\\AXIAL\\MATERIAL").write(folder)


@kind(refused("IMPLAUSIBLE_HU"))
def slope_of_a_hundred(folder: Path) -> None:
    """A slope of 100: bone of 200,000 HU."""
    scan().set(RescaleSlope="100").write(folder)


@kind(refused("IMPLAUSIBLE_HU"))
def intercept_forgotten(folder: Path) -> None:
    """Unsigned numbers whose intercept says 0: air is 0 HU and water 1024."""
    scan().set(RescaleIntercept="0").write(folder)


@kind(refused("IMPLAUSIBLE_HU"))
def intercept_cut_short(folder: Path) -> None:
    """Unsigned numbers whose intercept lost a digit: -102 in place of -1024 lets nothing be air."""
    scan().set(RescaleIntercept="-102").write(folder)


@kind(refused("IMPLAUSIBLE_HU"))
def rescaled_twice(folder: Path) -> None:
    """The numbers are HU already and the intercept is applied once more: water at -1024."""
    scan(signed=True, intercept=0.0).set(RescaleIntercept="-1024").write(folder)


@kind(refused("WRONG_SIGN", "IMPLAUSIBLE_HU"))
def signed_numbers_called_unsigned(folder: Path) -> None:
    """Signed numbers with PixelRepresentation 0: air becomes 64,500."""
    scan(signed=True, intercept=0.0).set(PixelRepresentation=0).write(folder)


@kind(refused("WRONG_SIGN", "IMPLAUSIBLE_HU"))
def unsigned_numbers_called_signed(folder: Path) -> None:
    """Large unsigned numbers (a slope of 1/32) with PixelRepresentation 1."""
    scan(slope=0.03125).set(PixelRepresentation=1).write(folder)


@kind(refused("RESCALE_CONTRADICTED", "INTENSITY_JUMP"))
def intercept_of_one_slice_lies(folder: Path) -> None:
    """One slice's intercept says 0: its stored values are its neighbours', its HU are not."""
    scan().edit(6, lambda one: one.set(RescaleIntercept="0")).write(folder)


# --- bits and colours that are no CT ---------------------------------------------------------------

BAD_BITS: dict[str, tuple[str, dict[str, Any]]] = {
    "thirty-two-bits": ("BitsAllocated 32 over 16-bit pixels.", {"BitsAllocated": 32}),
    "one-bit": ("BitsAllocated 1, as of a segmentation.", {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}),
    "twelve-bits-allocated": ("BitsAllocated 12: packed pixels.", {"BitsAllocated": 12, "BitsStored": 12}),
    "bits-stored-beyond-allocated": ("BitsStored 20 in 16.", {"BitsStored": 20, "HighBit": 19}),
    "bits-stored-zero": ("BitsStored 0.", {"BitsStored": 0}),
    "high-bit-below-the-bits": ("HighBit 5 for 12 bits stored.", {"BitsStored": 12, "HighBit": 5}),
    "high-bit-beyond-the-word": ("HighBit 40.", {"HighBit": 40}),
}


@variants(BAD_BITS, refused("UNSUPPORTED_BITS", "PIXELDATA_SHORT"))
def bad_bits(folder: Path, values: dict[str, Any]) -> None:
    """Bits that cannot be."""
    scan().set(**values).write(folder)


@kind(refused("WRONG_SIGN", "IMPLAUSIBLE_HU", "UNSUPPORTED_BITS"))
def pixel_representation_of_seven(folder: Path) -> None:
    """PixelRepresentation 7 is neither signed nor unsigned."""
    scan(signed=True, intercept=0.0).set(PixelRepresentation=7).write(folder)


@kind(refused("WRONG_SIGN", "IMPLAUSIBLE_HU", "UNSUPPORTED_BITS"))
def pixel_representation_missing(folder: Path) -> None:
    """Signed numbers, and no tag says so."""
    scan(signed=True, intercept=0.0).unset("PixelRepresentation").write(folder)


@kind(refused("UNSUPPORTED_BITS", "IMPLAUSIBLE_HU", "PIXELDATA_SHORT"))
def bits_allocated_missing(folder: Path) -> None:
    """No tag says how many bits a pixel has."""
    scan().unset("BitsAllocated", "BitsStored", "HighBit").write(folder)


@kind(refused("UNSUPPORTED_BITS", "IMPLAUSIBLE_HU"))
def bits_stored_too_few(folder: Path) -> None:
    """BitsStored says 10, yet the values need 12: cut to 10 they wrap around."""
    scan().set(BitsStored=10, HighBit=9).write(folder)


@kind(nothing(NO_PIXELS=16))
def rows_zero(folder: Path) -> None:
    """A matrix without rows."""
    scan().set(Rows=0).write(folder)


@kind(refused("NOT_MONOCHROME2"))
def colour_scan(folder: Path) -> None:
    """A scan of colour images."""
    whole = scan().set(PhotometricInterpretation="RGB", SamplesPerPixel=3)
    whole.each(lambda one: one.elements.put(PIXEL_DATA, "OW", one.pixels * 3)).write(folder)


@kind(refused("NOT_MONOCHROME2"))
def palette_colour(folder: Path) -> None:
    """Numbers that are places in a palette."""
    scan().set(PhotometricInterpretation="PALETTE COLOR").write(folder)


@kind(refused("NOT_MONOCHROME2"))
def photometry_missing(folder: Path) -> None:
    """No tag says how the samples are to be understood."""
    scan().unset("PhotometricInterpretation").write(folder)


@kind(nothing(FLOAT_PIXELS=16))
def floating_point_pixels(folder: Path) -> None:
    """Parametric map style: FloatPixelData in place of PixelData."""
    whole = scan().each(lambda one: one.set(FloatPixelData=one.stored_HW.astype(np.float32)))
    whole.unset("PixelData").set(BitsAllocated=32, BitsStored=32, HighBit=31).write(folder)
