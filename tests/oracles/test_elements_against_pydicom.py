"""Our walk over a file's elements against pydicom's parser: on every file of pydicom's wheel, and on real CT."""

from __future__ import annotations

import warnings
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import FileDataset

from fedlung.ct.dicom.elements import PIXEL_TAGS, TRANSFER_SYNTAX, Elements, read_elements
from fedlung.ct.dicom.headers import TAGS
from fedlung.ct.dicom.source import OpenFile

# pydicom's test files are listed here and not asked of pydicom, which would download those that the wheel lacks.
WHEEL = Path(pydicom.__file__).parent / "data"
WANTED = frozenset(TAGS.values())
CUT_OFF = {"rtplan_truncated.dcm"}  # ends within an element, which pydicom overlooks
WITHOUT_ANY_SIGN = {"no_meta.dcm"}  # neither DICM, nor group 2, nor group 8: read by force only


def dicom_files() -> list[Path]:
    return sorted(path for path in WHEEL.rglob("*") if path.is_file() and is_dicom(path))


def is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix == ".dcm" or file.read(132)[128:] == b"DICM"


def walk(path: Path) -> Elements | None:
    with OpenFile(path) as file:
        return read_elements(file, WANTED)


def read_with_pydicom(path: Path) -> FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path, stop_before_pixels=True, force=True)


def raw_values(dataset: FileDataset) -> dict[int, bytes]:
    """Raw bytes by tag, as pydicom has them before it converts a value; it converts a few while it parses."""
    found = {}
    for part in (dataset, dataset.file_meta):
        for tag in (tag for tag in WANTED | {TRANSFER_SYNTAX} if tag in part):
            value = part.get_item(tag).value
            if isinstance(value, str):
                value = value.encode()
            elif isinstance(value, pydicom.multival.MultiValue):
                value = "\\".join(value).encode()
            found[int(tag)] = value if isinstance(value, bytes) else b""
    return found


def without_padding(values: dict[int, bytes]) -> dict[int, bytes]:
    return {tag: raw.rstrip(b" \0") for tag, raw in values.items()}


@pytest.mark.parametrize("path", dicom_files(), ids=lambda path: path.name)
def test_every_wanted_value_is_the_one_that_pydicom_reads(path: Path) -> None:
    ours = walk(path)
    if path.name in WITHOUT_ANY_SIGN:
        assert ours is None
        return
    assert ours is not None
    assert bool(ours.damage) == (path.name in CUT_OFF), ours.damage
    theirs = read_with_pydicom(path)
    assert without_padding(ours.values) == without_padding(raw_values(theirs))
    assert ours.little_endian == theirs.original_encoding[1]


@pytest.mark.parametrize("path", dicom_files(), ids=lambda path: path.name)
def test_the_pixels_begin_where_pydicom_finds_them(path: Path) -> None:
    ours = walk(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pydicom.dcmread(path, force=True)
    found = [tag for tag in PIXEL_TAGS if tag in theirs]
    if not found or ours is None:
        assert ours is None or ours.pixels is None
        return
    assert ours.pixels is not None and ours.pixels.tag == found[0]
    assert ours.pixels.offset == theirs.get_item(found[0]).value_tell


def test_the_wheel_has_files_of_every_encoding() -> None:
    encodings = {read_with_pydicom(path).original_encoding for path in dicom_files()}
    assert {(True, True), (False, True), (False, False)} <= encodings
    assert len(dicom_files()) > 150


@pytest.mark.lidc
def test_real_headers_are_read_as_pydicom_reads_them(lidc_folder: Path) -> None:
    paths = sorted(lidc_folder.rglob("*.dcm"))[::40]
    assert len(paths) > 10
    for path in paths:
        ours = walk(path)
        assert ours is not None and not ours.damage
        assert without_padding(ours.values) == without_padding(raw_values(read_with_pydicom(path)))
