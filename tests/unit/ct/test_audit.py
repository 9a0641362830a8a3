"""Every reason to refuse a series, with its code; and what must not be refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from fedlung.ct import find_series

Write = Callable[..., Path]
Edit = Callable[[Dataset, int], None]


def on(numbers: set[int], **values: Any) -> Edit:
    """Set attributes of some slices; None deletes."""

    def edit(dataset: Dataset, number: int) -> None:
        for name, value in values.items():
            if number in numbers:
                delattr(dataset, name) if value is None else setattr(dataset, name, value)

    return edit


def moved(shift_mm: Callable[[int], tuple[float, float, float]]) -> Edit:
    def edit(dataset: Dataset, number: int) -> None:
        position = [float(x) + dx for x, dx in zip(dataset.ImagePositionPatient, shift_mm(number), strict=True)]
        dataset.ImagePositionPatient = [round(x, 6) for x in position]

    return edit


ALL, ONE = set(range(7)), {3}
REFUSED = [
    ("MIXED_PATIENTS", on(ONE, PatientID="P2")),
    ("MIXED_STUDIES", on(ONE, StudyInstanceUID="1.2.3")),
    ("MIXED_FRAMES_OF_REFERENCE", on({4, 5, 6}, FrameOfReferenceUID="1.2.3")),
    ("MIXED_SIZES", on(ONE, Rows=5)),
    ("NOT_MONOCHROME2", on(ALL, PhotometricInterpretation="MONOCHROME1")),
    ("NOT_MONOCHROME2", on(ONE, PhotometricInterpretation="RGB", SamplesPerPixel=3)),
    ("UNSUPPORTED_BITS", on(ALL, BitsStored=17)),
    ("NO_POSITION", on(ALL, ImagePositionPatient=None)),
    ("NO_POSITION", on(ONE, ImagePositionPatient=None)),
    ("BAD_ORIENTATION", on(ALL, ImageOrientationPatient=None)),
    ("BAD_ORIENTATION", on(ALL, ImageOrientationPatient=[1, 0, 0, 1, 0, 0])),
    ("MIXED_ORIENTATION", on(ONE, ImageOrientationPatient=[-1, 0, 0, 0, -1, 0])),
    ("BAD_PIXEL_SPACING", on(ALL, PixelSpacing=None)),
    ("BAD_PIXEL_SPACING", on(ALL, PixelSpacing=[0, 0])),
    ("BAD_PIXEL_SPACING", on(ALL, PixelSpacing=[-0.7, 0.7])),
    ("MIXED_SPACING", on(ONE, PixelSpacing=[1.0, 1.1])),
    ("NO_RESCALE", on(ALL, RescaleIntercept=None)),
    ("NO_RESCALE", on({1, 2, 3, 4, 5, 6}, RescaleSlope=None)),
    ("NO_RESCALE", on(ALL, RescaleSlope=0)),
    ("PIXELDATA_SHORT", on(ONE, PixelData=b"\0\0")),
    ("DUPLICATE_POSITION", moved(lambda number: (0, 0, -2.5 if number == 3 else 0))),
    ("TILT_OR_INPLANE_SHIFT", moved(lambda number: (0, 0.27 * number, 0))),
    ("NONUNIFORM_OR_MISSING_SLICES", moved(lambda number: (0, 0, 1.0 if number == 3 else 0))),
    ("NONUNIFORM_OR_MISSING_SLICES", moved(lambda number: (0, 0, 0.5 if number % 2 else 0))),
]


@pytest.mark.parametrize(
    ("code", "edit"), REFUSED, ids=[f"{number}-{code}" for number, (code, _) in enumerate(REFUSED)]
)
def test_a_series_that_cannot_be_trusted_is_refused_by_code(ct: Write, code: str, edit: Edit) -> None:
    found, (row,) = find_series(ct(edit=edit))
    assert found == []
    assert row.code == code
    assert row.num_files == 7
    assert row.sentence.endswith(".")
    assert row.remedy.endswith(".")


@pytest.mark.parametrize(
    ("code", "edit"),
    [
        ("ENHANCED_MULTIFRAME_UNSUPPORTED", on(ALL, NumberOfFrames=4)),
        ("NO_SERIES_UID", on(ALL, SeriesInstanceUID=None)),
        ("NO_PIXELS", on(ALL, Rows=None)),
        ("LOCALIZER", on(ALL, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])),
        ("NOT_CT", on(ALL, Modality="PT")),
    ],
)
def test_a_file_that_is_no_slice_is_left_out_by_code(ct: Write, code: str, edit: Edit) -> None:
    found, (row,) = find_series(ct(edit=edit))
    assert (found, row.code, row.num_files) == ([], code, 7)


def test_two_slices_are_no_volume(ct: Write) -> None:
    _, (row,) = find_series(ct(num_slices=2))
    assert row.code == "TOO_FEW_SLICES"


def test_numbers_with_a_decimal_comma_are_no_numbers(ct: Write) -> None:
    folder = ct(pixel_spacing_mm=(0.75, 0.75))
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"0.75\\0.75", b"0,75\\0,75"))
    _, (row,) = find_series(folder)
    assert row.code == "BAD_PIXEL_SPACING"


@pytest.mark.parametrize(
    "edit",
    [
        on(ALL, SliceThickness=5.0),
        on(ALL, SliceThickness=None, KVP=None, ConvolutionKernel=None, PixelPaddingValue=63536),
        moved(lambda number: (0, 0, 0.05 * (-1) ** number)),
        moved(lambda number: (0.1 * (number == 3), 0, 0)),
        moved(lambda number: (0, 0, -5.0 * number)),
        on(ALL, PatientID="", FrameOfReferenceUID=None),
    ],
    ids=["overlapping", "sparse header", "printed with one decimal", "tenth of a pixel aside", "descending", "unnamed"],
)
def test_what_real_scanners_write_is_accepted(ct: Write, edit: Edit) -> None:
    (series,), left_out = find_series(ct(edit=edit))
    assert (series.num_files, left_out) == (7, [])
