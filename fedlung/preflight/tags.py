"""What headers say beyond geometry: who it is, as a digest only, and which tags may tell."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from fedlung.ct.series import Series
from fedlung.preflight.phi import PHI, PRIVATE


@dataclass(frozen=True)
class SeriesTags:
    """Facts of a series. No value of a tag that may name somebody is kept.

    person               keyed digest of name and birth date; "" where the header lacks one of them
    phi_tags             keywords of tags with a value that PS3.15 Annex E names
    claims_deidentified  whether every header looked at says so itself (0012,0062)
    """

    person: str = ""
    phi_tags: frozenset[str] = frozenset()
    claims_deidentified: bool = False


def read_tags(series: Series, key: bytes) -> SeriesTags:
    """The facts of the first, the middle and the last file: a series' headers differ in little else than the slice.

    A form without a DICOM header has none. Raises whatever pydicom's parser meets in a garbled file.
    """
    if series.form != "dicom":
        return SeriesTags()
    paths = {series.files[0], series.files[len(series.files) // 2], series.files[-1]}
    headers = [_header(path) for path in sorted(paths)]
    return SeriesTags(
        person=_person(headers[0], key),
        phi_tags=frozenset(tag for header in headers for tag in _phi_tags(header)),
        claims_deidentified=all(header.get("PatientIdentityRemoved") == "YES" for header in headers),
    )


def _header(path: Path) -> Dataset:
    return pydicom.dcmread(path, stop_before_pixels=True)


def _person(header: Dataset, key: bytes) -> str:
    name, born = (str(header.get(keyword) or "").strip(" ^") for keyword in ("PatientName", "PatientBirthDate"))
    if not name or not born:
        return ""
    return hmac.new(key, f"{name.upper()}\0{born}".encode(errors="surrogateescape"), "sha256").hexdigest()


def _phi_tags(header: Dataset) -> Iterator[str]:
    """Keywords of tags with a value, also within sequences."""
    for element in header.iterall():
        if element.tag.is_private:
            yield PRIVATE
        elif element.keyword in PHI and not element.is_empty and str(element.value).strip(" ^"):
            yield element.keyword
