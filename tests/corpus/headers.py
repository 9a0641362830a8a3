"""What an element may look like: vendors' habits that are sound, and headers that are damaged or built to do damage."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corpus import dicom
from corpus.dicom import UNDEFINED, Element, Elements, Items, encode_element
from corpus.kinds import kind, read, variants
from corpus.scan import Slice, scan


def _private(element: int, vr: str, value: Any) -> bytes:
    return encode_element(0x00190000 + element, Element(vr, value))


# --- habits that are sound ------------------------------------------------------------------------


@kind(read())
def private_tags_galore(folder: Path) -> None:
    """Two hundred private elements of every VR, as CT consoles write them."""
    creator = _private(0x10, "LO", "GEMS_ACQU_01")
    vrs = ("DS", "IS", "LO", "SH", "UN", "OB", "ST", "CS")
    values = [_private(0x1000 + n, vrs[n % 8], f"{n}\\{n + 1}") for n in range(200)]
    scan().each(lambda one: one.elements.raw.update({0x00190000: creator + b"".join(values)})).write(folder)


@kind(read())
def private_sequences_of_undefined_length(folder: Path) -> None:
    """Private sequences whose lengths and items' lengths are undefined, two deep."""
    inner = Elements().put(0x00291020, "LO", "inside").put(0x00280030, "DS", "9\\9")
    outer = Elements().put(0x00291010, "SQ", Items([inner], undefined_length=True)).set(ImagePositionPatient="9\\9\\9")
    scan().each(lambda one: one.elements.put(0x00091010, "SQ", Items([outer, outer], undefined_length=True))).write(
        folder
    )


@kind(read())
def unknown_vr_of_undefined_length(folder: Path) -> None:
    """A sequence that a router wrote as UN with undefined length: implicit VR inside (PS3.5 6.2.2)."""
    item = dicom.encode(Elements().set(PixelSpacing="9\\9", Rows=7), dicom.IMPLICIT)
    value = struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    raw = struct.pack("<HH2sHI", 0x0019, 0x1050, b"UN", 0, UNDEFINED) + value
    scan().each(lambda one: one.elements.raw.update({0x00191050: raw})).write(folder)


@kind(read())
def geometry_of_another_image_in_a_sequence(folder: Path) -> None:
    """A source image's position, spacing and rescale lie in a sequence; they are not this image's."""
    other = Elements().set(ImagePositionPatient="9\\9\\9", PixelSpacing="3\\3", RescaleIntercept="7", Rows=3)
    scan().set(SourceImageSequence=Items([other]), ReferencedImageSequence=Items([other] * 3)).write(folder)


@kind(read())
def group_lengths_that_are_wrong(folder: Path) -> None:
    """Retired group lengths, all wrong; the one of the file meta is right."""

    def lengths(one: Slice) -> None:
        for group in (0x0008, 0x0018, 0x0020, 0x0028):
            one.elements.put(group << 16, "UL", 4)

    scan().each(lengths).write(folder)


META_LENGTHS = {
    "meta-length-too-short": ("The file meta's group length is too short.", 10),
    "meta-length-too-long": ("The file meta's group length reaches far into the data set.", 4000),
    "meta-length-zero": ("The file meta's group length is zero.", 0),
}


@variants(META_LENGTHS, read())
def meta_length(folder: Path, length: int) -> None:
    """The file meta information's own length is wrong; its elements show where it ends."""
    told = struct.pack("<I", length)
    scan().each(lambda one: one.damaged(lambda data: patched(data, 140, told))).write(folder)


@kind(read())
def meta_length_missing(folder: Path) -> None:
    """The file meta information has no group length."""
    scan().each(lambda one: one.damaged(lambda data: data[:132] + data[144:])).write(folder)


@kind(read())
def preamble_of_a_tiff(folder: Path) -> None:
    """The preamble is a TIFF header: the file is an image of two kinds (PS3.10 7.1)."""
    scan().each(lambda one: setattr(one, "preamble", b"II*\0\x10\0\0\0" + b"\x5a" * 120 + b"DICM")).write(folder)


@kind(read())
def trailing_padding_element(folder: Path) -> None:
    """Data Set Trailing Padding follows the pixels."""
    scan().each(lambda one: one.elements.put(0xFFFCFFFC, "OB", bytes(500))).write(folder)


@kind(read())
def bytes_after_the_pixels(folder: Path) -> None:
    """Zeros follow the pixel data up to the next 512 bytes, as from tape."""
    scan().each(lambda one: one.damaged(lambda data: data + bytes(-len(data) % 512))).write(folder)


@kind(read())
def rubbish_after_the_pixels(folder: Path) -> None:
    """0xFF follows the pixel data."""
    scan().each(lambda one: one.damaged(lambda data: data + b"\xff" * 333)).write(folder)


@kind(read())
def texts_padded_with_nul(folder: Path) -> None:
    """Decimal strings and codes are padded with NUL bytes in place of spaces."""
    whole = scan().set(Modality=b"CT", PixelSpacing=b"0.75\\1\0\0", RescaleSlope=b"1\0", RescaleIntercept=b"-1024\0")
    whole.set(PhotometricInterpretation=b"MONOCHROME2\0", ImageType=b"ORIGINAL\\PRIMARY\\AXIAL\0\0").write(folder)


@kind(read())
def values_of_odd_length(folder: Path) -> None:
    """Texts of odd length, unpadded (against PS3.5 7.1.1)."""
    scan().set(PatientID=b"C-1", ConvolutionKernel=b"B30", RescaleSlope=b"1", PixelSpacing=b"0.750\\1").write(folder)


@kind(read())
def values_with_spaces_all_around(folder: Path) -> None:
    """Leading and trailing spaces around every component."""
    scan().set(
        PixelSpacing="  0.75 \\ 1.0  ", RescaleSlope="   1   ", ImageOrientationPatient=" 1\\ 0 \\0\\0\\1 \\0 "
    ).write(folder)


@kind(read())
def empty_and_absent_tags(folder: Path) -> None:
    """Tags that mean nothing for geometry are empty on some slices and absent on others."""
    keywords = ("KVP", "XRayTubeCurrent", "SliceThickness", "ConvolutionKernel", "Manufacturer", "SliceLocation")
    whole = scan()
    whole.edit(range(8), lambda one: one.set(**dict.fromkeys(keywords, "")))
    whole.edit(range(8, 16), lambda one: one.unset(*keywords)).write(folder)


CHARACTER_SETS = {
    "characters-latin": ("A name with umlauts in Latin-1.", ("ISO_IR 100", "Müller^Jürgen".encode("latin-1"))),
    "characters-unicode": ("A name in UTF-8.", ("ISO_IR 192", "Żółć^Łucja=山田^太郎".encode())),
    "characters-chinese": ("A name in GB18030.", ("GB18030", "王^小东".encode("gb18030"))),
    "characters-japanese": (
        "A name with escape sequences.",
        ("\\ISO 2022 IR 87", b"Yamada=\x1b$B;3ED\x1b(B^\x1b$BB@O:"),
    ),
    "characters-unheard-of": ("A character set that nobody knows.", ("ISO_IR 999", b"\xff\xfe\xfd^\x80")),
    "characters-undeclared": ("UTF-8 that no tag declares.", ("", "Ünïcödé".encode())),
    "characters-escaping": ("A terminal's escape sequence as character set.", ("\x1b]0;title\x07", b"A^B")),
}


@variants(CHARACTER_SETS, read())
def characters(folder: Path, how: tuple[str, bytes]) -> None:
    """Names and descriptions that are not ASCII."""
    scan().set(SpecificCharacterSet=how[0], PatientName=how[1], SeriesDescription=how[1]).write(folder)


@kind(read())
def series_uid_that_is_a_path(folder: Path) -> None:
    """A series UID that would leave any folder it is used as a name in."""
    scan().set(SeriesInstanceUID="../../../etc/passwd").write(folder)


@kind(read())
def series_uid_that_is_markup(folder: Path) -> None:
    """A series UID and a patient with markup, line breaks and terminal escapes."""
    scan().set(SeriesInstanceUID="<script>alert(1)</script>\n\x1b[2J", PatientID="'; DROP TABLE--\n").write(folder)


@kind(read())
def very_long_name(folder: Path) -> None:
    """A patient's name and a comment of 60,000 characters."""
    scan().set(PatientName="N" * 60_000, PatientComments="c" * 60_000).write(folder)


@kind(read())
def a_million_bytes_of_vendor_data(folder: Path) -> None:
    """Two slices carry a megabyte of raw vendor data before the geometry."""
    scan().edit((3, 4), lambda one: one.elements.put(0x00191099, "OB", bytes(1 << 20))).write(folder)


OTHER_VRS: dict[str, tuple[str, Callable[[Slice], object]]] = {
    "spacing-as-long-text": (
        "PixelSpacing has the VR LO.",
        lambda one: one.elements.put(0x00280030, "LO", "0.75\\1.0"),
    ),
    "position-as-unknown": (
        "ImagePositionPatient went through a router that did not know it: VR UN.",
        lambda one: one.elements.put(0x00200032, "UN", "\\".join(map(str, one.position_mm.tolist())) + " "),
    ),
    "rescale-as-unknown": ("The rescale has the VR UN.", lambda one: one.elements.put(0x00281052, "UN", "-1024 ")),
}


@variants(OTHER_VRS, read())
def another_vr(folder: Path, edit: Callable[[Slice], object]) -> None:
    """A sound value under a VR that the dictionary does not give it."""
    scan().each(edit).write(folder)


def patched(data: bytes, at: int, part: bytes) -> bytes:
    """The bytes with some of them replaced."""
    return data[:at] + part + data[at + len(part) :]
