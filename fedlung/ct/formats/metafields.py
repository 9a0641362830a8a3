"""The text of a MetaImage header -> its fields, each once, and none that would change what the others mean."""

from __future__ import annotations

import math
import re
from typing import overload

from fedlung.ct.formats.onefile import refusal

# Other names that MetaIO gives the same field.
SYNONYMS = {
    "Position": "Offset",
    "Origin": "Offset",
    "Rotation": "TransformMatrix",
    "Orientation": "TransformMatrix",
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}
USED = {
    "Offset", "TransformMatrix", "ElementSpacing", "DimSize", "ElementType", "BinaryDataByteOrderMSB",
    "CompressedData", "CompressedDataSize", "HeaderSize", "AnatomicalOrientation",
}  # fmt: skip
HARMLESS = {"ElementSize", "ElementMin", "ElementMax", "CompressionLevel", "TransformType"}
# A field that, if it is there, must say this; in lower case. What MetaIO means by the others is not read here.
EXPECTED: dict[str, tuple[str, set[str]]] = {
    "ObjectType": ("NOT_AN_IMAGE", {"image"}),
    "NDims": ("NOT_A_VOLUME", {"3"}),
    "BinaryData": ("UNSUPPORTED_VOXEL_TYPE", {"true", "1"}),
    "ElementNumberOfChannels": ("UNSUPPORTED_VOXEL_TYPE", {"1"}),
    "Modality": ("NOT_CT", {"met_mod_ct", "met_mod_other", "met_mod_unknown"}),
    "0008|0060": ("NOT_CT", {"ct"}),  # ITK copies DICOM's tags into the headers that it writes
    "DistanceUnits": ("BAD_PIXEL_SPACING", {"mm", "?"}),
    "CenterOfRotation": ("BAD_ORIENTATION", {"0 0 0"}),
    "ElementToIntensityFunctionSlope": ("NO_RESCALE", {"1"}),
    "ElementToIntensityFunctionOffset": ("NO_RESCALE", {"0"}),
}
# An unknown field is a note of its writer's, unless its name is of the family that says how the voxels lie.
MEANINGFUL = ("element", "header", "compress", "binary", "dim", "ndim", "transform", "offset", "position", "origin")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def parse_fields(lines: bytes) -> Fields:
    """The fields of the lines before ``ElementDataFile``. Raises SeriesError."""
    values: dict[str, str] = {}
    for line in filter(str.strip, lines.decode("latin-1").splitlines()):
        key, equals, value = (part.strip() for part in line.partition("="))
        key = SYNONYMS.get(key, key)
        if not equals or not key:
            raise refusal("DAMAGED_HEADER", "a line of the header is not of the form key = value.")
        if values.setdefault(key, value) != value:
            raise refusal("DAMAGED_HEADER", f"the header gives two values of {_shown(key)}.")
    for key, value in values.items():
        _check_field(key, value)
    return Fields(values)


def _check_field(key: str, value: str) -> None:
    if key in EXPECTED:
        code, expected = EXPECTED[key]
        if " ".join(map(_plain, value.lower().split())) not in expected:
            raise refusal(code, f"{key} is {_shown(value)}, expected {' or '.join(sorted(expected))}.")
    elif key not in USED | HARMLESS and key.lower().startswith(MEANINGFUL):
        raise refusal("DAMAGED_HEADER", f"what the field {_shown(key)} means is not known here.")


class Fields:
    """The values of a header that passed ``parse_fields``."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def text(self, key: str) -> str:
        """The value as written; empty where there is none."""
        return self._values.get(key, "")

    def numbers(self, key: str, count: int, *, code: str) -> tuple[float, ...]:
        """Exactly so many finite numbers. Raises SeriesError with that code."""
        parts = self.text(key).split()
        found = tuple(float(part) for part in parts if _NUMBER.fullmatch(part))
        if len(found) != count or len(parts) != count or not all(map(math.isfinite, found)):
            raise refusal(code, f"{key} is not {count} numbers.")
        return found

    def sizes(self, key: str) -> tuple[int, int, int]:
        """Three sizes from 1 up. Raises SeriesError DAMAGED_HEADER."""
        parts = self.text(key).split()
        if len(parts) != 3 or not all(re.fullmatch(r"0*[1-9]\d{0,8}", part, re.ASCII) for part in parts):
            raise refusal("DAMAGED_HEADER", f"{key} is not three sizes.")
        x, y, z = map(int, parts)
        return x, y, z

    def flag(self, key: str) -> bool | None:
        """True or False; None where there is none. Raises SeriesError DAMAGED_HEADER."""
        said = self.text(key).lower()
        if said not in ("", "true", "false", "1", "0"):
            raise refusal("DAMAGED_HEADER", f"{key} is {_shown(said)}, expected True or False.")
        return said in ("true", "1") if said else None

    @overload
    def whole(self, key: str, *, default: int) -> int: ...
    @overload
    def whole(self, key: str, *, default: None) -> int | None: ...
    def whole(self, key: str, *, default: int | None) -> int | None:
        """A whole number, or the default where there is none. Raises SeriesError DAMAGED_HEADER."""
        said = self.text(key)
        if said and not re.fullmatch(r"-?\d{1,15}", said, re.ASCII):
            raise refusal("DAMAGED_HEADER", f"{key} is {_shown(said)}, expected a whole number.")
        return int(said) if said else default


def _plain(word: str) -> str:
    """A number in its shortest form, so that 1.0 is 1 and -0 is 0; any other word as it is."""
    return f"{float(word) + 0.0:g}" if _NUMBER.fullmatch(word) else word


def _shown(text: str) -> str:
    return repr(text[:40])
