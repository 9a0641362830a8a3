"""Enhanced CT: every frame gets its own place, rescale and pixels, and a file that cannot be sorted out is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
)

from fedlung.ct import Series, find_series, read_series
from fedlung.ct.dicom import nested
from fedlung.ct.dicom.headers import DamagedHeaderError, Header, read_headers

ROOT = "1.2.826.0.1.3680043.8.498."
ORDER = (3, 0, 4, 1, 2)
"""Of the slices, from feet to head, as frames of the file."""
AXIAL = [1, 0, 0, 0, 1, 0]
Hu = Callable[[np.ndarray], np.ndarray]


def items(**values: object) -> list[Dataset]:
    """A sequence of one item."""
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return [item]


@dataclass
class EnhancedWriter:
    """Five slices of (4, 5) pixels; ``edit(dataset)`` may change the file before it is saved."""

    path: Path
    hu_at: Hu
    syntax: UID = ExplicitVRLittleEndian
    file_class: UID = EnhancedCTImageStorage
    per_frame_rescale: bool = False
    undefined_lengths: bool = False
    edit: Callable[[Dataset], None] = field(default=lambda dataset: None)

    def write(self) -> Path:
        """The file's path."""
        dataset = self._root()
        dataset.SharedFunctionalGroupsSequence = [self._shared()]
        dataset.PerFrameFunctionalGroupsSequence = [self._frame(number) for number in ORDER]
        order = ">" if self.syntax == ExplicitVRBigEndian else "<"
        dataset.PixelData = b"".join(self._stored(number).astype(f"{order}u2").tobytes() for number in ORDER)
        dataset["PixelData"].VR = "OW"
        self.edit(dataset)
        if self.undefined_lengths:
            dataset.walk(_undefine)
        dataset.save_as(self.path, enforce_file_format=True)
        return self.path

    def _root(self) -> Dataset:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = self.file_class
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = ROOT + "40"
        dataset.file_meta.TransferSyntaxUID = self.syntax
        dataset.Modality, dataset.ImageType, dataset.PatientID = "CT", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], "P1"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = ROOT + "10", ROOT + "20"
        dataset.FrameOfReferenceUID, dataset.NumberOfFrames, dataset.InstanceNumber = ROOT + "30", len(ORDER), 1
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 4, 5, 1
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
        dataset.PhotometricInterpretation = "MONOCHROME2"
        # A root's own geometry is no frame's.
        dataset.ImagePositionPatient, dataset.PixelSpacing, dataset.RescaleIntercept = [0, 0, 0], [9, 9], 0
        return dataset

    def _shared(self) -> Dataset:
        shared = Dataset()
        shared.PixelMeasuresSequence = items(PixelSpacing=[1, 0.5], SliceThickness=3)
        shared.PlaneOrientationSequence = items(ImageOrientationPatient=AXIAL)
        shared.CTImageFrameTypeSequence = items(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
        shared.CTReconstructionSequence = items(ConvolutionKernel="B30f")
        shared.CTXRayDetailsSequence = items(KVP=120)
        if not self.per_frame_rescale:
            shared.PixelValueTransformationSequence = self._rescale(0)
        return shared

    def _frame(self, number: int) -> Dataset:
        frame = Dataset()
        frame.PlanePositionSequence = items(ImagePositionPatient=self._position(number).tolist())
        frame.FrameContentSequence = items(StackID="1", InStackPositionNumber=number + 1)
        frame.CTExposureSequence = items(XRayTubeCurrentInmA=100.5 + number)
        if self.per_frame_rescale:
            frame.PixelValueTransformationSequence = self._rescale(number)
        return frame

    def _rescale(self, number: int) -> list[Dataset]:
        return items(RescaleSlope=1, RescaleIntercept=self._intercept(number), RescaleType="HU")

    def _intercept(self, number: int) -> int:
        return -1024 - 10 * number * self.per_frame_rescale

    def _position(self, number: int) -> np.ndarray:
        return np.array([-12.0, 7.0, -30.0 + 2.5 * number])

    def _stored(self, number: int) -> np.ndarray:
        rows, columns = np.indices((4, 5))
        offsets_mm = np.stack([0.5 * columns, 1.0 * rows, np.zeros((4, 5))], axis=-1)
        return self.hu_at(self._position(number) + offsets_mm) - self._intercept(number)


def _undefine(dataset: Dataset, element: object) -> None:
    if getattr(element, "VR", "") == "SQ":
        element.is_undefined_length = True  # type: ignore[attr-defined]
        for item in element.value:  # type: ignore[attr-defined]
            item.is_undefined_length_sequence_item = True


@pytest.fixture
def enhanced(tmp_path: Path, hu_at: Hu) -> Callable[..., Path]:
    """``enhanced(edit=...)`` writes a file and gives its path."""

    def write(**settings: object) -> Path:
        return EnhancedWriter(tmp_path / "enhanced.dcm", hu_at, **settings).write()  # type: ignore[arg-type]

    return write


def _assert_right(path: Path, hu_at: Hu) -> None:
    (series,), left_out = find_series(path.parent)
    volume = read_series(series)
    index_N3 = np.indices((5, 4, 5)).reshape(3, -1).T
    np.testing.assert_array_equal(volume.voxels_DHW.ravel(), hu_at(volume.index_to_world(index_N3)))
    assert volume.spacing_mm == (2.5, 1.0, 0.5)
    assert (series.num_files, series.num_slices, left_out) == (1, 5, [])


def _refusal(path: Path) -> str:
    series, left_out = find_series(path.parent)
    assert series == []
    (row,) = left_out
    assert row.is_series
    return row.code


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
@pytest.mark.parametrize("undefined_lengths", [False, True])
def test_shuffled_frames_are_read_at_their_places(
    enhanced: Callable[..., Path], hu_at: Hu, syntax: UID, undefined_lengths: bool
) -> None:
    _assert_right(enhanced(syntax=syntax, undefined_lengths=undefined_lengths), hu_at)


@pytest.mark.parametrize("file_class", [EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage, CTImageStorage])
def test_each_frame_has_its_own_rescale(enhanced: Callable[..., Path], hu_at: Hu, file_class: UID) -> None:
    _assert_right(enhanced(per_frame_rescale=True, file_class=file_class), hu_at)


def test_a_header_a_frame_has_the_facts_of_its_groups(enhanced: Callable[..., Path]) -> None:
    headers = read_headers(enhanced())
    assert [header.position_mm for header in headers] == [(-12.0, 7.0, -30.0 + 2.5 * number) for number in ORDER]
    assert [header.instance_number for header in headers] == [number + 1 for number in ORDER]
    assert [header.tube_current_ma for header in headers] == [100.5 + number for number in ORDER]
    assert [header.frame for header in headers] == [0, 1, 2, 3, 4]
    assert {(header.num_frames, header.is_enhanced, header.stack) for header in headers} == {(5, True, "1")}
    first = headers[0]
    assert (first.slope, first.intercept, first.rescale_type) == (1.0, -1024.0, "HU")
    assert (first.pixel_spacing_mm, first.slice_thickness_mm) == ((1.0, 0.5), 3.0)
    assert (first.kernel, first.kvp, first.image_type[0]) == ("B30f", 120.0, "ORIGINAL")


def test_plain_frames_of_odd_size_lie_end_to_end(enhanced: Callable[..., Path]) -> None:
    def three_by_three_bytes(dataset: Dataset) -> None:
        dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 3, 3, 8, 8, 7
        dataset.PixelData = bytes(range(45)) + b"\0"

    path = enhanced(edit=three_by_three_bytes)
    content = path.read_bytes()
    spans = [header.pixels for header in read_headers(path)]
    pixels = [content[span.offset : span.offset + (span.length or 0)] for span in spans if span is not None]
    assert pixels == [bytes(range(9 * frame, 9 * frame + 9)) for frame in range(5)]
    assert [span.available for span in spans if span is not None] == [46, 37, 28, 19, 10]


def test_what_an_archive_found_no_group_for_is_still_known(enhanced: Callable[..., Path]) -> None:
    def unassigned(dataset: Dataset) -> None:
        del dataset.SharedFunctionalGroupsSequence[0].CTReconstructionSequence
        del dataset.SharedFunctionalGroupsSequence[0].CTXRayDetailsSequence
        shared = dataset.SharedFunctionalGroupsSequence[0]
        shared.UnassignedSharedConvertedAttributesSequence = items(ConvolutionKernel="LUNG", KVP=80)

    header = read_headers(enhanced(edit=unassigned))[0]
    assert (header.kernel, header.kvp) == ("LUNG", 80.0)


def _without(keyword: str) -> Callable[[Dataset], None]:
    def edit(dataset: Dataset) -> None:
        for groups in (*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence):
            if keyword in groups:
                delattr(groups, keyword)

    return edit


def _without_groups(dataset: Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence


def _shared_and_own(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence[2].PixelValueTransformationSequence = items(
        RescaleSlope=1, RescaleIntercept=0, RescaleType="HU"
    )


def _of_frames(group: str, keyword: str, values: tuple[object, ...]) -> Callable[[Dataset], None]:
    def edit(dataset: Dataset) -> None:
        for frame, value in zip(dataset.PerFrameFunctionalGroupsSequence, values, strict=True):
            setattr(getattr(frame, group)[0], keyword, value)

    return edit


@pytest.mark.parametrize(
    ("code", "edit"),
    [
        ("NO_POSITION", _without("PlanePositionSequence")),
        ("BAD_ORIENTATION", _without("PlaneOrientationSequence")),
        ("BAD_PIXEL_SPACING", _without("PixelMeasuresSequence")),
        ("NO_RESCALE", _without("PixelValueTransformationSequence")),
        ("NO_RESCALE", _shared_and_own),
        ("MIXED_STACKS", _of_frames("FrameContentSequence", "StackID", ("1", "1", "2", "2", "2"))),
        ("MIXED_ACQUISITIONS", _of_frames("FrameContentSequence", "TemporalPositionIndex", (1, 1, 2, 2, 2))),
        ("DAMAGED_HEADER", lambda dataset: dataset.PerFrameFunctionalGroupsSequence.pop()),
        ("DAMAGED_HEADER", lambda dataset: setattr(dataset, "NumberOfFrames", 4)),
        ("DAMAGED_HEADER", lambda dataset: setattr(dataset, "NumberOfFrames", 2_000_000_000)),
        ("DAMAGED_HEADER", _without_groups),
        ("DAMAGED_HEADER", lambda dataset: setattr(dataset, "PixelData", dataset.PixelData + bytes(40))),
        ("PIXELDATA_SHORT", lambda dataset: setattr(dataset, "PixelData", dataset.PixelData[:-2])),
    ],
)
def test_a_file_that_cannot_be_sorted_out_is_refused_by_name(
    enhanced: Callable[..., Path], code: str, edit: Callable[[Dataset], None]
) -> None:
    assert _refusal(enhanced(edit=edit)) == code


def test_classic_frames_without_groups_and_frames_of_mr_are_left_out_by_file(enhanced: Callable[..., Path]) -> None:
    path = enhanced(file_class=CTImageStorage, edit=_without_groups)
    _, left_out = find_series(path.parent)
    assert [(row.code, row.is_series) for row in left_out] == [("ENHANCED_MULTIFRAME_UNSUPPORTED", False)]
    path = enhanced(file_class=EnhancedMRImageStorage, edit=lambda dataset: setattr(dataset, "Modality", "MR"))
    _, left_out = find_series(path.parent)
    assert [row.code for row in left_out] == ["NOT_CT"]


def test_a_localizer_among_the_frames_leaves_the_file_out(enhanced: Callable[..., Path]) -> None:
    localizer = ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]

    def scout(dataset: Dataset) -> None:
        _without("CTImageFrameTypeSequence")(dataset)
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            frame.CTImageFrameTypeSequence = items(FrameType=localizer)

    series, left_out = find_series(enhanced(edit=scout).parent)
    assert series == []
    assert [row.code for row in left_out] == ["LOCALIZER"]


def _nested(depth: int) -> list[Dataset]:
    inner = items(KVP=80)
    for _ in range(depth):
        inner = items(CTXRayDetailsSequence=inner)
    return inner


@pytest.mark.parametrize("undefined_lengths", [False, True])
def test_sequences_that_lie_too_deep_are_refused(enhanced: Callable[..., Path], undefined_lengths: bool) -> None:
    def deepen(dataset: Dataset) -> None:
        dataset.SharedFunctionalGroupsSequence[0].CTXRayDetailsSequence = _nested(60)

    with pytest.raises(DamagedHeaderError, match="deep"):
        read_headers(enhanced(edit=deepen, undefined_lengths=undefined_lengths))


def test_frames_beyond_any_scanners_number_are_refused_before_they_take_memory(
    enhanced: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nested, "MAX_ITEMS", 1000)
    path = enhanced(syntax=ImplicitVRLittleEndian)
    content = path.read_bytes()
    start = content.index(bytes.fromhex("00523092"))
    empty_items = bytes.fromhex("feff00e000000000") * 1001
    length = len(empty_items).to_bytes(4, "little")
    path.write_bytes(content[:start] + bytes.fromhex("00523092") + length + empty_items)
    with pytest.raises(DamagedHeaderError, match="items"):
        read_headers(path)


def test_any_torn_file_is_refused_or_short(enhanced: Callable[..., Path], hu_at: Hu) -> None:
    path = enhanced()
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for end in rng.integers(132, len(content), 60).tolist():
        path.write_bytes(content[:end])
        series, left_out = find_series(path.parent)
        assert series == []
        assert sum(row.num_files for row in left_out) == 1


def test_any_flipped_byte_of_the_header_gives_a_row_or_a_series(enhanced: Callable[..., Path]) -> None:
    path = enhanced(undefined_lengths=True)
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    for place in rng.integers(132, len(content) - 200, 100).tolist():
        flipped = content[:place] + bytes([content[place] ^ int(rng.integers(1, 256))]) + content[place + 1 :]
        path.write_bytes(flipped)
        series, left_out = find_series(path.parent)
        assert len(series) + sum(row.num_files for row in left_out) == 1
        assert all(isinstance(one, Series) for one in series)


def test_headers_of_frames_differ_only_where_frames_do(enhanced: Callable[..., Path]) -> None:
    headers: tuple[Header, ...] = read_headers(enhanced())
    assert len({(header.series_uid, header.patient_id, header.sop_uid, header.shape_HW) for header in headers}) == 1
