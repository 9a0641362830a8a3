"""Whose images they are and which belong together: mixed series, patients and copies, and what lies beside a scan."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from corpus.dicom import Elements, Items
from corpus.kinds import kind, nothing, read, refused, variants
from corpus.phantom import contrast_hu
from corpus.scan import UID_ROOT, Scan, Slice, another, later, scan

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DOSE_REPORT = "1.2.840.10008.5.1.4.1.1.88.67"
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"


# --- several series -------------------------------------------------------------------------------


@kind(read(16, 12))
def two_series_in_one_folder(folder: Path) -> None:
    """Two reconstructions of one study, each with its own UID, in one folder."""
    scan().write(folder)
    scan(12, series="2").write(folder)


@kind(read(16, 16))
def two_kernels_in_two_series(folder: Path) -> None:
    """A soft and a sharp kernel under two UIDs at the same positions."""
    scan().write(folder)
    scan(series="2").set(ConvolutionKernel="B70f").write(folder)


@kind(read())
def series_across_folders(folder: Path) -> None:
    """An export that put every four slices into a folder of their own."""
    for one in scan().slices:
        Scan([one]).write(folder / f"part{one.number // 4}" / "IMG")


@kind(read(16, beside={"DUPLICATE_COPY": 16}))
def byte_identical_copies_in_a_sub_folder(folder: Path) -> None:
    """The whole scan was copied into a folder below itself."""
    scan().write(folder)
    scan().write(folder / "copy of CT")


@kind(read(16, beside={"DUPLICATE_COPY": 1}))
def one_byte_identical_copy(folder: Path) -> None:
    """One file lies there twice, byte for byte."""
    scan().write(folder)
    shutil.copy(folder / "1-004.dcm", folder / "1-004 (1).dcm")


@kind(refused("DUPLICATE_POSITION"))
def copies_that_differ_in_their_pixels(folder: Path) -> None:
    """One image lies there twice under one UID, and the second has other pixels: nobody knows which is right."""
    scan().write(folder)
    whole = scan(hu=contrast_hu).on(6)
    whole.slices[0].name = "again.dcm"
    whole.write(folder)


@kind(refused("MIXED_IMAGE_TYPES"))
def maximum_projection_with_the_same_geometry(folder: Path) -> None:
    """A maximum intensity projection of thick slabs at the same positions, under the UID of the scan."""
    scan().write(folder)
    another(_projection(scan(hu=contrast_hu)), "mip").write(folder)


@kind(refused("MIXED_IMAGE_TYPES"))
def maximum_projection_between_the_slices(folder: Path) -> None:
    """Slabs of a projection lie half a step between the slices and carry their UID."""
    scan().write(folder)
    half = scan(hu=contrast_hu, shift_mm=lambda number: (0.0, 0.0, 1.25))
    another(_projection(half), "mip").write(folder)


def _projection(whole: Scan) -> Scan:
    return whole.set(ImageType="DERIVED\\SECONDARY\\AXIAL\\CT_SOM5 MIP", SliceThickness="10")


# --- one series, several of something -------------------------------------------------------------

ONE_SLICE_OF_ANOTHER = {
    "two-patients": ("Two patients' images under one series UID.", {"PatientID": "C-0002"}),
    "one-slice-without-patient": ("One slice has lost its PatientID, the others have one.", {"PatientID": ""}),
    "two-studies": ("Two studies under one series UID.", {"StudyInstanceUID": UID_ROOT + "1.9"}),
    "two-frames-of-reference": ("Two frames of reference: millimetres that mean nothing to each other.",
                                {"FrameOfReferenceUID": UID_ROOT + "3.9"}),
}  # fmt: skip
CODES_OF_ANOTHER = ("MIXED_PATIENTS", "MIXED_STUDIES", "MIXED_FRAMES_OF_REFERENCE")


@variants(ONE_SLICE_OF_ANOTHER, refused(*CODES_OF_ANOTHER))
def half_of_another(folder: Path, values: dict[str, Any]) -> None:
    """The upper half of the scan says something else."""
    scan().edit(range(8, 16), lambda one: one.set(**values)).write(folder)


@kind(refused("MIXED_SIZES"))
def one_slice_of_another_size(folder: Path) -> None:
    """One slice has another matrix."""
    other = scan(shape_HW=(24, 24)).on(5).slices
    whole = scan()
    whole.slices[5] = other[0]
    whole.write(folder)


@kind(refused("MIXED_PATIENTS"))
def two_names_under_one_patient_id(folder: Path) -> None:
    """A test ID that two patients share."""
    scan().edit(range(8, 16), lambda one: one.set(PatientName="Corpus^Two")).write(folder)


@kind(refused("MIXED_ORIENTATION"))
def two_patient_positions(folder: Path) -> None:
    """Half of the slices say head first, half feet first."""
    scan().edit(range(8, 16), lambda one: one.set(PatientPosition="FFS")).write(folder)


@kind(read())
def tube_current_varies(folder: Path) -> None:
    """Dose modulation: another tube current and exposure on every slice."""
    scan().each(lambda one: one.set(XRayTubeCurrent=str(100 + 7 * one.number), Exposure=str(one.number))).write(folder)


@kind(read())
def acquisition_numbers_all_empty(folder: Path) -> None:
    """An anonymiser has emptied the acquisition numbers and times."""
    scan().set(AcquisitionNumber="", AcquisitionTime="", StudyTime="", StudyDate="").write(folder)


@kind(read())
def content_times_vary(folder: Path) -> None:
    """Each slice has its own content and acquisition time, as in a spiral."""
    scan().each(
        lambda one: one.set(ContentTime=f"1015{one.number:02}", AcquisitionTime=f"1014{one.number:02}.5")
    ).write(folder)


@kind(read())
def no_patient_at_all(folder: Path) -> None:
    """Anonymised to the bone: no patient, no study ID, no frame of reference."""
    scan().unset("PatientID", "PatientName", "StudyID", "AccessionNumber", "FrameOfReferenceUID").write(folder)


@kind(read())
def no_study_uid(folder: Path) -> None:
    """The study's UID is gone from every slice; the series' UID holds it together."""
    scan().unset("StudyInstanceUID").write(folder)


@kind(read())
def uids_padded_differently(folder: Path) -> None:
    """Some writers pad a UID with NUL, some with a space, some patients' IDs with several."""
    whole = scan(series="11")
    whole.edit(3, lambda one: one.set(SeriesInstanceUID=_bytes(one, "SeriesInstanceUID") + b" "))
    whole.edit(4, lambda one: one.set(SeriesInstanceUID=_bytes(one, "SeriesInstanceUID") + b"\0\0"))
    whole.edit(5, lambda one: one.set(PatientID=b"C-0001    ", StudyInstanceUID=_bytes(one, "StudyInstanceUID") + b" "))
    whole.write(folder)


@kind(refused("DUPLICATE_SOP_UID"))
def sop_uids_all_the_same(folder: Path) -> None:
    """An anonymiser has given every image one SOPInstanceUID: an archive would keep one of them."""
    scan().set(SOPInstanceUID=UID_ROOT + "4.1").write(folder)


@kind(nothing(NO_SERIES_UID=16))
def no_series_uid(folder: Path) -> None:
    """No image says which series it belongs to."""
    scan().unset("SeriesInstanceUID").write(folder)


@kind(nothing(NO_SERIES_UID=16))
def series_uid_empty(folder: Path) -> None:
    """The series UID is there and has no value: all such images of the world would be one series."""
    scan().set(SeriesInstanceUID="").write(folder)


@kind(refused("MIXED_PATIENTS"))
def uid_reused_for_another_patient(folder: Path) -> None:
    """An anonymiser has given two patients, in two folders, the same series UID."""
    scan().write(folder / "one")
    other = scan(hu=contrast_hu, shift_mm=lambda number: (0.0, 0.0, 40.0)).set(PatientID="C-0002")
    other.write(folder / "two")


@kind(refused("MIXED_ACQUISITIONS", "NONUNIFORM_OR_MISSING_SLICES", "DUPLICATE_POSITION"))
def breathing_phases(folder: Path) -> None:
    """A breathing scan of four phases under one UID, each a quarter of a step further."""
    for phase in range(4):
        whole = scan(8, steps=[number + 0.25 * phase for number in range(8)])
        another(whole.set(TemporalPositionIdentifier=str(phase + 1)), f"phase{phase}").write(folder)


@kind(read(20))
def two_acquisitions_joined(folder: Path) -> None:
    """Two table positions that join without a gap on one grid; the second is another acquisition that counts on."""
    scan(10).write(folder)
    second = later(scan(10, shift_mm=lambda number: (0.0, 0.0, 25.0)))
    second.each(lambda one: one.set(InstanceNumber=str(one.number + 11))).write(folder)


@kind(refused("MIXED_ACQUISITIONS"))
def two_acquisitions_that_count_alike(folder: Path) -> None:
    """The same, but the second counts from 1 again: which of two scans a number means is not known."""
    scan(10).write(folder)
    later(scan(10, shift_mm=lambda number: (0.0, 0.0, 25.0))).write(folder)


# --- what lies beside a scan ----------------------------------------------------------------------


@kind(read(16, beside={"LOCALIZER": 2}))
def localizer_under_the_same_uid(folder: Path) -> None:
    """Two scouts carry the UID of the scan."""
    scan().write(folder)
    _scout("1").write(folder)


@kind(read(16, beside={"LOCALIZER": 2}))
def localizer_of_its_own(folder: Path) -> None:
    """Two scouts in a series of their own, whose UID sorts first."""
    scan().write(folder)
    _scout("0").write(folder)


@kind(refused("MIXED_SIZES", "MIXED_ORIENTATION", "MIXED_SPACING"))
def localizer_that_does_not_say_so(folder: Path) -> None:
    """A scout under the UID of the scan, whose image type has been emptied."""
    scan().write(folder)
    _scout("1").set(ImageType="").write(folder)


def _scout(series: str) -> Scan:
    whole = scan(2, orientation=(0, 1.0, 0, 0, 0, -1.0), shape_HW=(40, 24), series=series, hu=contrast_hu)
    return another(whole.set(ImageType="ORIGINAL\\PRIMARY\\LOCALIZER"), "scout")


@kind(read(16, beside={"NOT_CT": 5}))
def reports_beside(folder: Path) -> None:
    """A dose report, a PDF, a presentation state, a structure set and a segmentation lie beside the scan."""
    scan().write(folder)
    for modality in ("SR", "DOC", "PR", "RTSTRUCT", "SEG"):
        _without_pixels(modality).write(folder)


def _without_pixels(modality: str) -> Scan:
    report = scan(1, series=f"9{sum(modality.encode())}").set(Modality=modality, SOPClassUID=DOSE_REPORT)
    report.unset("Rows", "Columns", "PixelData", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    return another(report, modality)


@kind(read(16, beside={"NOT_CT": 4}))
def other_modalities_beside(folder: Path) -> None:
    """An MR slice, a PET slice, an X-ray and a photograph lie beside the scan."""
    scan().write(folder)
    for modality in ("MR", "PT", "DX", "XC"):
        another(scan(1, series="8").set(Modality=modality), modality).write(folder)


@kind(read(16, beside={"NOT_CT": 1}))
def one_slice_says_mr(folder: Path) -> None:
    """An MR image carries the UID of the scan."""
    scan().write(folder)
    another(scan(1).set(Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4"), "mr").write(folder)


@kind(nothing(NOT_CT=16))
def modality_missing(folder: Path) -> None:
    """No image says that it is CT."""
    scan().unset("Modality").write(folder)


@kind(read())
def modality_padded(folder: Path) -> None:
    """The modality is padded with four spaces."""
    scan().set(Modality="CT    ").write(folder)


@kind(refused("MIXED_IMAGE_TYPES"))
def colour_capture_under_the_same_uid(folder: Path) -> None:
    """A colour screenshot carries the UID of the scan and its geometry."""
    scan().write(folder)
    _screenshot("1").write(folder)


@kind(refused("NOT_MONOCHROME2", "TOO_FEW_SLICES", "NOT_AN_IMAGE_OF_CT", volumes=(16,)))
def dose_screen_beside(folder: Path) -> None:
    """The dose page: a colour screenshot with modality CT, no position, in a series of its own."""
    scan().write(folder)
    page = _screenshot("7").set(SOPClassUID=SECONDARY_CAPTURE)
    page.unset("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept")
    page.write(folder)


def _screenshot(series: str) -> Scan:
    page = scan(1, series=series).set(
        PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=0, BitsAllocated=8, BitsStored=8
    )
    page.set(HighBit=7, ImageType="DERIVED\\SECONDARY", PixelData=bytes(32 * 24 * 3))
    return another(page, "screen")


@kind(read(16, beside={"DICOMDIR": 1}))
def dicomdir_beside(folder: Path) -> None:
    """The index of the medium that the scan was exported on."""
    scan().write(folder)
    index = scan(1).slices[0]
    index.meta.set(MediaStorageSOPClassUID="1.2.840.10008.1.3.10")
    index.elements = Elements().set(
        FileSetID="CORPUS", DirectoryRecordSequence=Items([Elements().set(RecordInUseFlag=0xFFFF)])
    )
    index.name = "DICOMDIR"
    Scan([index]).write(folder)


@kind(read())
def derived_by_an_anonymiser(folder: Path) -> None:
    """Image type DERIVED\\SECONDARY\\AXIAL after a research export; the pixels are the scanner's."""
    scan().set(ImageType="DERIVED\\SECONDARY\\AXIAL").write(folder)


@kind(read())
def image_type_missing(folder: Path) -> None:
    """No image type at all."""
    scan().unset("ImageType").write(folder)


@kind(read())
def secondary_capture_class_with_full_geometry(folder: Path) -> None:
    """A workstation stores its reformats as Secondary Capture, with modality CT and every geometry tag."""
    scan().set(SOPClassUID=SECONDARY_CAPTURE).write(folder)


def _bytes(one: Slice, keyword: str) -> bytes:
    return str(one.elements.get(keyword)).encode()
