"""Enhanced CT: all slices as frames of one file (PS3.3 A.38), in any order, right and wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpus import dicom
from corpus.dicom import PIXEL_DATA, Elements, Encapsulated, Items
from corpus.kinds import kind, nothing, read, refused
from corpus.phantom import chest_hu, contrast_hu
from corpus.scan import UID_ROOT, Scan, Slice, later, scan
from corpus.syntaxes import rle

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_CONVERTED_CT = "1.2.840.10008.5.1.4.1.1.2.2"
SHARED, PER_FRAME = 0x52009229, 0x52009230


@dataclass
class Enhanced:
    """One Enhanced CT file: what all frames share, what each has, and the rest."""

    one: Slice
    shared: Elements
    frames: list[Elements]

    def write(self, folder: Path) -> Path:
        """One file."""
        self.one.elements.put(SHARED, "SQ", Items([self.shared]))
        self.one.elements.put(PER_FRAME, "SQ", Items(self.frames))
        return Scan([self.one]).write(folder)


def enhanced(whole: Scan, order: Sequence[int] | None = None) -> Enhanced:
    """A scan's slices as frames of one file, in this order."""
    slices = [whole.slices[number] for number in (order or range(len(whole.slices)))]
    one = Slice(0, slices[0].position_mm, slices[0].elements, slices[0].meta, slices[0].points_mm, slices[0].stored_HW)
    one.name, one.syntax = "enhanced.dcm", slices[0].syntax
    one.elements = Elements(dict(slices[0].elements.by_tag)).set(SOPClassUID=ENHANCED_CT)
    one.meta.set(MediaStorageSOPClassUID=ENHANCED_CT)
    one.set(NumberOfFrames=str(len(slices)), ImageType="ORIGINAL\\PRIMARY\\VOLUME\\NONE")
    one.elements.put(PIXEL_DATA, "OW", b"".join(part.pixels for part in slices))
    made = Enhanced(one, _shared(slices[0]), [_frame(part) for part in slices])
    one.unset("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept")
    one.unset("RescaleType", "SliceLocation", "SliceThickness", "AcquisitionNumber", "ConvolutionKernel")
    return made


def _copied(one: Slice, *keywords: str) -> Items:
    return Items([Elements().set(**{keyword: one.elements.get(keyword) for keyword in keywords})])


def _shared(one: Slice) -> Elements:
    return Elements().set(
        PixelMeasuresSequence=_copied(one, "PixelSpacing", "SliceThickness"),
        PlaneOrientationSequence=_copied(one, "ImageOrientationPatient"),
        PixelValueTransformationSequence=_copied(one, "RescaleSlope", "RescaleIntercept", "RescaleType"),
        CTImageFrameTypeSequence=_frame_type("ORIGINAL\\PRIMARY\\VOLUME\\NONE"),
    )


def _frame_type(frame_type: str) -> Items:
    return Items([Elements().set(FrameType=frame_type)])


def _frame(one: Slice) -> Elements:
    content = Elements().set(
        StackID="1", InStackPositionNumber=one.number + 1, DimensionIndexValues=[1, one.number + 1]
    )
    return Elements().set(
        PlanePositionSequence=_copied(one, "ImagePositionPatient"), FrameContentSequence=Items([content])
    )


def _moved(made: Enhanced, keyword: str) -> Enhanced:
    """A functional group of all frames told by each of them."""
    for frame in made.frames:
        frame.set(**{keyword: made.shared.get(keyword)})
    made.shared.unset(keyword)
    return made


def _shuffled(count: int) -> list[int]:
    return [7 * n % count for n in range(count)]


# --- sound ----------------------------------------------------------------------------------------


@kind(read())
def enhanced_ct(folder: Path) -> None:
    """A sound Enhanced CT."""
    enhanced(scan()).write(folder)


@kind(read())
def enhanced_reversed(folder: Path) -> None:
    """Frames run from head to feet."""
    enhanced(scan(), range(15, -1, -1)).write(folder)


@kind(read())
def enhanced_shuffled(folder: Path) -> None:
    """Frames in no order at all; each says where it lies."""
    enhanced(scan(), _shuffled(16)).write(folder)


@kind(read())
def enhanced_told_by_each_frame(folder: Path) -> None:
    """Spacing, orientation and rescale stand in every frame and nothing is shared."""
    made = enhanced(scan())
    for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence", "PixelValueTransformationSequence"):
        _moved(made, keyword)
    made.write(folder)


@kind(read(tolerance_hu=1.0))
def enhanced_rescale_per_frame(folder: Path) -> None:
    """Each frame has a rescale of its own."""
    whole = scan()
    for one in whole.slices:
        slope, intercept = 1.0 + one.number / 16, -1024.0 - 2 * one.number
        one.set(RescaleSlope=slope, RescaleIntercept=intercept)
        one.store(np.rint((chest_hu(one.points_mm) - intercept) / slope))
    made = enhanced(whole)
    for frame, one in zip(made.frames, whole.slices, strict=True):
        frame.set(PixelValueTransformationSequence=_copied(one, "RescaleSlope", "RescaleIntercept"))
    made.shared.unset("PixelValueTransformationSequence")
    made.write(folder)


@kind(read())
def enhanced_oblique(folder: Path) -> None:
    """An oblique, signed Enhanced CT of thin slices."""
    cos, sin = float(np.cos(0.3)), float(np.sin(0.3))
    orientation = (cos, sin, 0.0, -sin, cos, 0.0)
    enhanced(scan(orientation=orientation, signed=True, intercept=0.0, step_mm=1.25)).write(folder)


@kind(read())
def enhanced_legacy_converted(folder: Path) -> None:
    """A Legacy Converted Enhanced CT: an archive joined classic slices."""
    made = enhanced(scan())
    made.one.set(SOPClassUID=LEGACY_CONVERTED_CT).meta.set(MediaStorageSOPClassUID=LEGACY_CONVERTED_CT)
    made.write(folder)


@kind(read())
def enhanced_implicit(folder: Path) -> None:
    """Enhanced CT in implicit VR."""
    made = enhanced(scan(syntax=dicom.IMPLICIT))
    made.write(folder)


@kind(read())
def enhanced_compressed(folder: Path) -> None:
    """Enhanced CT under RLE, a fragment a frame."""
    whole = scan()
    made = enhanced(whole)
    made.one.meta.set(TransferSyntaxUID=dicom.RLE)
    made.one.elements.put(PIXEL_DATA, "OB", Encapsulated([rle(one.stored_HW) for one in whole.slices]))
    made.write(folder)


@kind(read())
def enhanced_in_two_files(folder: Path) -> None:
    """A concatenation: the scan's frames lie in two files of one series."""
    whole = scan()
    for part in range(2):
        made = enhanced(Scan(whole.slices[8 * part : 8 * part + 8]))
        made.one.name = f"part{part}.dcm"
        made.one.set(InConcatenationNumber=part + 1, ConcatenationFrameOffsetNumber=8 * part)
        made.write(folder)


@kind(read())
def enhanced_with_root_tags_that_lie(folder: Path) -> None:
    """Root tags of a classic image that contradict the frames: the functional groups hold."""
    made = enhanced(scan())
    made.one.set(ImagePositionPatient="0\\0\\0", PixelSpacing="5\\5", RescaleIntercept="0", SliceThickness="99")
    made.write(folder)


# --- unsound --------------------------------------------------------------------------------------


@kind(refused("NONUNIFORM_OR_MISSING_SLICES"))
def enhanced_frame_missing(folder: Path) -> None:
    """A frame in the middle is not there."""
    enhanced(scan().drop(8)).write(folder)


@kind(refused("DUPLICATE_POSITION"))
def enhanced_frame_twice(folder: Path) -> None:
    """Two frames lie at one place."""
    enhanced(scan(), [*range(16), 8]).write(folder)


@kind(refused("DUPLICATE_POSITION", "MIXED_ACQUISITIONS"))
def enhanced_two_phases(folder: Path) -> None:
    """Two phases of contrast in one file."""
    enhanced(Scan(scan().slices + later(scan(hu=contrast_hu)).slices)).write(folder)


@kind(refused("DUPLICATE_POSITION", "MIXED_ACQUISITIONS"))
def enhanced_two_phases_interleaved(folder: Path) -> None:
    """Two phases half a step apart; only TemporalPositionIndex tells."""
    phases = [scan(), scan(hu=contrast_hu, shift_mm=lambda number: (0.0, 0.0, 1.25))]
    made = enhanced(Scan(phases[0].slices + phases[1].slices))
    for number, frame in enumerate(made.frames):
        frame.get("FrameContentSequence").datasets[0].set(TemporalPositionIndex=1 + number // 16)
    made.write(folder)


@kind(refused("PIXELDATA_SHORT"))
def enhanced_pixels_short(folder: Path) -> None:
    """The file holds the pixels of 15 frames and says 16."""
    made = enhanced(scan())
    made.one.elements.put(PIXEL_DATA, "OW", made.one.pixels[: -32 * 24 * 2])
    made.write(folder)


@kind(refused("PIXELDATA_SHORT"))
def enhanced_torn(folder: Path) -> None:
    """The file ends in its last frame."""
    made = enhanced(scan())
    made.one.damage = lambda data: data[:-100]
    made.write(folder)


@kind(refused("DAMAGED_HEADER"))
def enhanced_more_frames_than_groups(folder: Path) -> None:
    """16 frames of pixels, and functional groups of 15."""
    made = enhanced(scan())
    made.frames.pop()
    made.write(folder)


@kind(refused("DAMAGED_HEADER"))
def enhanced_fewer_frames_than_groups(folder: Path) -> None:
    """NumberOfFrames says 12, groups and pixels are of 16."""
    made = enhanced(scan())
    made.one.set(NumberOfFrames="12")
    made.write(folder)


@kind(refused("DAMAGED_HEADER"))
def enhanced_without_groups(folder: Path) -> None:
    """The functional groups are gone; an anonymiser took all sequences out."""
    made = enhanced(scan())
    Scan([made.one]).write(folder)


def _without(keyword: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        made = enhanced(scan())
        made.shared.unset(keyword)
        for frame in made.frames:
            frame.unset(keyword)
        made.write(folder)

    return write


@kind(refused("NO_RESCALE"))
def enhanced_without_rescale(folder: Path) -> None:
    """No frame has a rescale."""
    _without("PixelValueTransformationSequence")(folder)


@kind(refused("BAD_PIXEL_SPACING"))
def enhanced_without_spacing(folder: Path) -> None:
    """No frame has a pixel spacing."""
    _without("PixelMeasuresSequence")(folder)


@kind(refused("BAD_ORIENTATION"))
def enhanced_without_orientation(folder: Path) -> None:
    """No frame has an orientation."""
    _without("PlaneOrientationSequence")(folder)


@kind(refused("NO_POSITION"))
def enhanced_without_positions(folder: Path) -> None:
    """No frame has a position."""
    _without("PlanePositionSequence")(folder)


@kind(refused("MIXED_ORIENTATION"))
def enhanced_one_frame_turned(folder: Path) -> None:
    """One frame has another orientation."""
    made = _moved(enhanced(scan()), "PlaneOrientationSequence")
    made.frames[5].set(PlaneOrientationSequence=Items([Elements().set(ImageOrientationPatient="-1\\0\\0\\0\\-1\\0")]))
    made.write(folder)


@kind(refused("DAMAGED_HEADER"))
def enhanced_a_billion_frames(folder: Path) -> None:
    """NumberOfFrames says 2,000,000,000."""
    made = enhanced(scan())
    made.one.set(NumberOfFrames="2000000000")
    made.write(folder)


@kind(refused("DAMAGED_HEADER"))
def enhanced_no_frames(folder: Path) -> None:
    """NumberOfFrames says 0."""
    made = enhanced(scan())
    made.one.set(NumberOfFrames="0")
    made.write(folder)


@kind(refused("NO_POSITION"))
def enhanced_one_frame_without_position(folder: Path) -> None:
    """One frame does not say where it lies."""
    made = enhanced(scan())
    made.frames[5].unset("PlanePositionSequence")
    made.write(folder)


@kind(refused("MIXED_SPACING"))
def enhanced_one_frame_of_another_spacing(folder: Path) -> None:
    """One frame has another pixel spacing."""
    made = _moved(enhanced(scan()), "PixelMeasuresSequence")
    made.frames[5].set(PixelMeasuresSequence=Items([Elements().set(PixelSpacing="0.5\\0.7", SliceThickness="2.5")]))
    made.write(folder)


@kind(refused("TILT_OR_INPLANE_SHIFT"))
def enhanced_drifting(folder: Path) -> None:
    """Frames drift sideways."""
    enhanced(scan(shift_mm=lambda number: (0.1 * number, 0.0, 0.0))).write(folder)


@kind(nothing(LOCALIZER=1))
def enhanced_scout(folder: Path) -> None:
    """An Enhanced CT whose image type says that it is a scout."""
    made = enhanced(scan())
    made.one.set(ImageType="ORIGINAL\\PRIMARY\\LOCALIZER\\NONE")
    made.shared.set(CTImageFrameTypeSequence=_frame_type("ORIGINAL\\PRIMARY\\LOCALIZER\\NONE"))
    made.write(folder)


@kind(refused("DUPLICATE_POSITION", "MIXED_IMAGE_TYPES"))
def enhanced_beside_its_classic_slices(folder: Path) -> None:
    """An archive sends the classic slices and their conversion, all under one series UID."""
    scan().write(folder)
    made = enhanced(scan())
    made.one.set(SOPInstanceUID=UID_ROOT + "4.99")
    made.write(folder)
