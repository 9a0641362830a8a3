"""Every reason to refuse a series, with its code; and what must not be refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage, SecondaryCaptureImageStorage

from fedlung.ct import find_series
from fedlung.ct.audit import Slices, warnings_of
from fedlung.ct.dicom.headers import read_header

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


def per_slice(name: str, values: Sequence[Any]) -> Edit:
    """Set an attribute of each slice; None leaves it out."""

    def edit(dataset: Dataset, number: int) -> None:
        if values[number] is not None:
            setattr(dataset, name, values[number])

    return edit


ALL, ONE = set(range(7)), {3}
REFUSED = [
    ("MIXED_PATIENTS", on(ONE, PatientID="P2")),
    ("MIXED_PATIENTS", on(ONE, PatientID="")),
    ("MIXED_PATIENTS", per_slice("PatientName", ["A^B"] * 5 + ["C^D"] * 2)),
    ("MIXED_PATIENTS", per_slice("PatientBirthDate", ["19500101"] * 6 + ["19500102"])),
    ("MIXED_STUDIES", on(ONE, StudyInstanceUID="1.2.3")),
    ("MIXED_FRAMES_OF_REFERENCE", on({4, 5, 6}, FrameOfReferenceUID="1.2.3")),
    ("MIXED_SIZES", on(ONE, Rows=5)),
    ("NOT_MONOCHROME2", on(ONE, PhotometricInterpretation="MONOCHROME1")),
    ("NOT_MONOCHROME2", on(ALL, PhotometricInterpretation="PALETTE COLOR")),
    ("NOT_MONOCHROME2", on(ONE, PhotometricInterpretation="RGB", SamplesPerPixel=3)),
    ("MIXED_ORIENTATION", per_slice("PatientPosition", ["HFS"] * 6 + ["HFP"])),
    ("MIXED_SCANNERS", on({4, 5}, ManufacturerModelName="Other")),
    ("MIXED_KERNELS", on({1, 3, 5}, ConvolutionKernel="B70f")),
    ("MIXED_THICKNESS", on({1, 3, 5}, SliceThickness=6.0)),
    ("MIXED_IMAGE_TYPES", on(ONE, ImageType=["DERIVED", "SECONDARY", "AXIAL"])),
    ("PROJECTION", on(ALL, ImageType=["DERIVED", "SECONDARY", "AXIAL", "MIP"])),
    ("MIXED_ACQUISITIONS", per_slice("TemporalPositionIdentifier", [1, 2, 1, 2, 1, 2, 1])),
    ("MIXED_ACQUISITIONS", per_slice("AcquisitionNumber", [1, 2, 1, 2, 1, 2, 1])),
    ("MIXED_ACQUISITIONS", on({1, 3}, KVP=80)),
    ("INCOMPLETE_SERIES", on(ALL, NumberOfSeriesRelatedInstances=9)),
    ("DUPLICATE_SOP_UID", on({2, 5}, SOPInstanceUID="1.2.3.4")),
    ("UNSUPPORTED_BITS", on(ALL, BitsStored=17)),
    ("UNSUPPORTED_BITS", on(ALL, BitsAllocated=32, BitsStored=32, HighBit=31)),
    ("UNSUPPORTED_BITS", on(ALL, BitsStored=12, HighBit=15)),
    ("MODALITY_LUT", on(ONE, ModalityLUTSequence=[])),
    ("NOT_HOUNSFIELD", on(ALL, RescaleType="Z_EFF")),
    ("NO_POSITION", on(ALL, ImagePositionPatient=None)),
    ("NO_POSITION", on(ONE, ImagePositionPatient=None)),
    ("BAD_ORIENTATION", on(ALL, ImageOrientationPatient=None)),
    ("BAD_ORIENTATION", on(ALL, ImageOrientationPatient=[1, 0, 0, 1, 0, 0])),
    ("MIXED_ORIENTATION", on(ONE, ImageOrientationPatient=[-1, 0, 0, 0, -1, 0])),
    ("BAD_PIXEL_SPACING", on(ALL, PixelSpacing=None)),
    ("BAD_PIXEL_SPACING", on(ALL, PixelSpacing=[0, 0])),
    ("BAD_PIXEL_SPACING", on(ALL, PixelSpacing=[-0.7, 0.7])),
    ("BAD_PIXEL_SPACING", on(ALL, PixelSpacing=[1e-6, 1e-6])),
    ("BAD_PIXEL_SPACING", on(ALL, PixelSpacing=[50, 50])),
    ("BAD_PIXEL_SPACING", on(ALL, PixelSpacing=0.7)),
    ("OBLONG_PIXELS", on(ALL, PixelSpacing=[0.7, 7.0])),
    ("OBLONG_PIXELS", on(ALL, PixelSpacing=[7.0, 0.7])),
    ("MIXED_SPACING", on(ONE, PixelSpacing=[1.0, 1.1])),
    ("NO_RESCALE", on(ALL, RescaleIntercept=None)),
    ("NO_RESCALE", on({1, 2, 3, 4, 5, 6}, RescaleSlope=None)),
    ("NO_RESCALE", on(ALL, RescaleSlope=0)),
    ("NO_RESCALE", on(ONE, RescaleSlope=-1)),
    ("PIXELDATA_LONG", on(ALL, Rows=5)),
    ("IMPLAUSIBLE_GEOMETRY", moved(lambda number: (0, 0, 1e8))),
    ("IMPLAUSIBLE_GEOMETRY", moved(lambda number: (0, 0, 47.5 * number))),
    ("SLICES_OUT_OF_ORDER", per_slice("SliceLocation", [0, 2.5, 12.5, 7.5, 10, 5, 15])),
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
        ("NOT_CT", on(ALL, SOPClassUID=SecondaryCaptureImageStorage)),
        ("NOT_CT", on(ALL, SOPClassUID=PositronEmissionTomographyImageStorage)),
        ("NOT_CT", on(ALL, ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"])),
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


ACCEPTED = {
    "overlapping": on(ALL, SliceThickness=5.0),
    "gaps between thin slices": on(ALL, SliceThickness=0.6),
    "sparse header": on(ALL, SliceThickness=None, KVP=None, ConvolutionKernel=None, PixelPaddingValue=63536),
    "no image type": on(ALL, ImageType=None),
    "an optional tag on some slices only": on(ONE, SliceThickness=None, KVP=None, ConvolutionKernel=None),
    "printed with one decimal": moved(lambda number: (0, 0, 0.05 * (-1) ** number)),
    "tenth of a pixel aside": moved(lambda number: (0.1 * (number == 3), 0, 0)),
    "pixels that are not quite square": on(ALL, PixelSpacing=[0.7, 1.0]),
    "descending": moved(lambda number: (0, 0, -5.0 * number)),
    "unnamed": on(ALL, PatientID="", FrameOfReferenceUID=None),
    "reversed numbers": per_slice("InstanceNumber", [7, 6, 5, 4, 3, 2, 1]),
    "random numbers": per_slice("InstanceNumber", [3, 7, 1, 6, 2, 5, 4]),
    "one number for all": per_slice("InstanceNumber", [1] * 7),
    "no number on one": per_slice("InstanceNumber", [1, 2, 3, None, 5, 6, 7]),
    "location of another sign and zero": per_slice("SliceLocation", [100 - 2.5 * number for number in range(7)]),
    "location in whole millimetres": per_slice("SliceLocation", [0, 2, 5, 7, 10, 12, 15]),
    "an acquisition number for each part": per_slice("AcquisitionNumber", [1, 1, 1, 2, 2, 2, 2]),
    "an acquisition number for each slice": per_slice("AcquisitionNumber", [1, 2, 3, 4, 5, 6, 7]),
    "half of the slices signed": on({0, 2, 4}, PixelRepresentation=1),
    "a spacing that is wrong": on(ALL, SpacingBetweenSlices=9.0),
    "a tilt that was taken out": on(ALL, GantryDetectorTilt=15.0),
    "tube current of each slice": per_slice("XRayTubeCurrent", [100, 110, 120, 130, 120, 110, 100]),
    "a reformat": on(ALL, ImageType=["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"]),
    "padding behind the pixels": on(ALL, PixelData=b"\1\4" * 49),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_real_scanners_write_is_accepted(ct: Write, name: str) -> None:
    (series,), left_out = find_series(ct(edit=ACCEPTED[name]))
    assert (series.num_files, left_out) == (7, [])


# --- slices between one another, and in another order ---------------------------------------------


def code_of(ct: Write, edit: Edit, num_slices: int) -> str:
    found, left_out = find_series(ct(edit=edit, num_slices=num_slices))
    return left_out[0].code if left_out else f"{len(found)} series"


def test_two_phases_at_half_steps_are_told_by_their_instance_numbers(ct: Write) -> None:
    numbered_on = [number // 2 + 10 * (number % 2) for number in range(12)]
    assert code_of(ct, per_slice("InstanceNumber", numbered_on), 12) == "MIXED_ACQUISITIONS"


def test_two_phases_that_keep_their_numbers_have_each_twice(ct: Write) -> None:
    assert code_of(ct, per_slice("InstanceNumber", [number // 2 for number in range(8)]), 8) == "MIXED_ACQUISITIONS"


def test_exchanged_positions_are_told_by_the_count_of_the_other_slices(ct: Write) -> None:
    numbers = list(range(1, 21))
    numbers[4], numbers[11] = numbers[11], numbers[4]
    assert code_of(ct, per_slice("InstanceNumber", numbers), 20) == "SLICES_OUT_OF_ORDER"


def test_a_count_at_random_is_no_evidence(ct: Write) -> None:
    numbers = np.random.default_rng(0).permutation(20).tolist()
    assert code_of(ct, per_slice("InstanceNumber", numbers), 20) == "1 series"


# --- odd but trusted ------------------------------------------------------------------------------

WARNED = {
    "MAYBE_TRUNCATED": [per_slice("InstanceNumber", range(4, 11)), on(ALL, ImagesInAcquisition=9)],
    "MAYBE_MERGED": [
        per_slice("SeriesNumber", [3, 3, 3, 4, 4, 4, 4]),
        per_slice("StudyDate", ["20200102"] * 4 + ["20200304"] * 3),
    ],
    "STEP_CONTRADICTED": [on(ALL, SliceThickness=25.0)],
    "NUMBERS_WITH_GAPS": [per_slice("InstanceNumber", range(1, 15, 2))],
    "LOCATION_CONTRADICTS": [per_slice("SliceLocation", range(0, 70, 10))],
    "TILT_CONTRADICTED": [on(ALL, GantryDetectorTilt=-15.0)],
    "FIELD_CONTRADICTED": [on(ALL, ReconstructionDiameter=16.0), on(ONE, ReconstructionDiameter=16.0)],
    "OBLONG_PIXELS": [on(ALL, PixelSpacing=[0.7, 1.1]), on(ALL, PixelSpacing=[1.4, 0.7])],
    "DERIVED": [on(ALL, ImageType=["DERIVED", "PRIMARY", "AXIAL"])],
    "NOT_AXIAL": [on(ALL, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])],
    "LOSSY": [on(ONE, LossyImageCompression="01")],
    "BURNED_IN": [on(ONE, BurnedInAnnotation="YES")],
    "UNIT_UNSPECIFIED": [on(ALL, RescaleType="US")],
    "MIXED_BITS": [on(ONE, PixelRepresentation=1)],
}


@pytest.mark.parametrize(("code", "edit"), [(code, edit) for code in WARNED for edit in WARNED[code]])
def test_what_is_odd_is_a_sentence_that_begins_with_its_code(ct: Write, code: str, edit: Edit) -> None:
    settings = {"orientation": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)} if code == "NOT_AXIAL" else {}
    headers = [read_header(path) for path in ct(edit=edit, **settings).iterdir()]
    (sentence,) = warnings_of(Slices(tuple(headers)))
    assert sentence.startswith(f"{code}: ")
    assert sentence.endswith(".")


def test_an_ordinary_series_has_no_warning(ct: Write) -> None:
    ordinary = per_slice("InstanceNumber", range(1, 8))
    headers = [read_header(path) for path in ct(edit=ordinary).iterdir()]
    assert warnings_of(Slices(tuple(headers))) == ()


# --- copies ---------------------------------------------------------------------------------------


def test_a_copy_byte_for_byte_is_left_out_alone(ct: Write) -> None:
    folder = ct()
    (folder / "copy").write_bytes((folder / "1-003").read_bytes())
    (series,), (row,) = find_series(folder)
    assert (series.num_files, row.code, row.num_files) == (7, "DUPLICATE_COPY", 1)


def test_one_uid_with_other_pixels_at_its_place_is_no_copy(ct: Write) -> None:
    folder = ct()
    (folder / "copy").write_bytes((folder / "1-003").read_bytes()[:-2] + b"\7\7")
    found, (row,) = find_series(folder)
    assert (found, row.code, row.num_files) == ([], "DUPLICATE_POSITION", 8)
