"""Enhanced CT: a file of many frames -> what each of them says, as if it were a classic file of one slice.

PS3.3 A.38, A.70 and C.7.6.16. What a slice needs stands in functional groups, each either shared by all frames or told
by every frame for itself. A frame's values are those of the file's root with those of its groups in their place; a
root's own position, spacing or rescale is no frame's and is taken away. A group that is shared and a frame's own at
once is ambiguous and says nothing. What is missing then is missed by the same audit as in a classic file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from pydicom.datadict import tag_for_keyword

from fedlung.ct.dicom.elements import DamagedError, Elements
from fedlung.ct.dicom.nested import Item, read_items

ENHANCED_CT_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None, f"{keyword} is not in DICOM's dictionary"
    return tag


SHARED_GROUPS = _tag("SharedFunctionalGroupsSequence")
FRAME_GROUPS = _tag("PerFrameFunctionalGroupsSequence")


class _Meaning(NamedTuple):
    """An attribute of a group, the root's attribute of a classic slice that says the same, and its binary form."""

    group: int
    attribute: int
    classic: int
    form: str


def _meanings(group: str, *keywords: str, form: str = "") -> Iterator[_Meaning]:
    """``keywords`` are names in the group, where it is another followed by = and the classic one."""
    for keyword in keywords:
        attribute, _, classic = keyword.partition("=")
        yield _Meaning(_tag(group), _tag(attribute), _tag(classic or attribute), form)


_ACQUISITION = ("KVP", "XRayTubeCurrent", "ConvolutionKernel", "GantryDetectorTilt", "ReconstructionDiameter")
# ORDER: where a classic attribute comes twice, the first that is there counts; archives that join classic slices put
# what they find no group for among the unassigned.
MEANINGS = (
    *_meanings("PlanePositionSequence", "ImagePositionPatient"),
    *_meanings("PlaneOrientationSequence", "ImageOrientationPatient"),
    *_meanings("PixelMeasuresSequence", "PixelSpacing", "SliceThickness"),
    *_meanings("PixelValueTransformationSequence", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    *_meanings("CTImageFrameTypeSequence", "FrameType=ImageType"),
    *_meanings("FrameContentSequence", "StackID"),
    *_meanings("FrameContentSequence", "FrameAcquisitionNumber=AcquisitionNumber", form="H"),
    *_meanings("FrameContentSequence", "InStackPositionNumber=InstanceNumber", form="I"),
    *_meanings("FrameContentSequence", "TemporalPositionIndex=TemporalPositionIdentifier", form="I"),
    *_meanings("CTReconstructionSequence", "ConvolutionKernel", "ReconstructionDiameter"),
    *_meanings("CTXRayDetailsSequence", "KVP"),
    *_meanings("CTExposureSequence", "XRayTubeCurrentInmA=XRayTubeCurrent", form="d"),
    *_meanings("CTAcquisitionDetailsSequence", "GantryDetectorTilt"),
    *_meanings("UnassignedPerFrameConvertedAttributesSequence", *_ACQUISITION),
    *_meanings("UnassignedSharedConvertedAttributesSequence", *_ACQUISITION),
)
_GROUPS = frozenset(meaning.group for meaning in MEANINGS)
_ATTRIBUTES = frozenset(meaning.attribute for meaning in MEANINGS)
# A root may say these of all frames. Whatever else a group can say is no root's to say.
_MAY_BE_ROOT = frozenset(map(_tag, ("ImageType", *_ACQUISITION)))
_NOT_OF_ROOT = frozenset(meaning.classic for meaning in MEANINGS) - _MAY_BE_ROOT | {_tag("SliceLocation")}


def has_frames(elements: Elements, file_class: str, num_frames: int) -> bool:
    """Whether functional groups must describe the slices; in a class that is not enhanced, where there are some."""
    return file_class in ENHANCED_CT_CLASSES or (num_frames != 1 and FRAME_GROUPS in elements.sequences)


def frames_of(elements: Elements, num_frames: int) -> list[dict[int, bytes]]:
    """The values of each frame in the order of their pixels, raw by classic tag.

    Raises DamagedError where the groups do not follow the standard, or describe another number of frames.
    """
    shared, frames = _items(elements, SHARED_GROUPS), _items(elements, FRAME_GROUPS)
    if len(frames) != num_frames or len(shared) > 1:
        raise DamagedError(f"{len(frames)} frames are described, {num_frames} declared.")
    common = shared[0] if shared else Item()
    root = {tag: raw for tag, raw in elements.values.items() if tag not in _NOT_OF_ROOT}
    return [root | _values(common, frame, elements.little_endian) for frame in frames]


def _items(elements: Elements, tag: int) -> list[Item]:
    if tag not in elements.sequences:
        return []
    data, encoding = elements.sequences[tag]
    return read_items(data, encoding, sequences=_GROUPS, values=_ATTRIBUTES)


def _values(common: Item, frame: Item, little_endian: bool) -> dict[int, bytes]:
    """A frame's own and shared values by classic tag."""
    found: dict[int, bytes] = {}
    for group, attribute, classic, form in MEANINGS:
        items = frame.items.get(group, []) + common.items.get(group, [])
        raw = items[0].values.get(attribute) if len(items) == 1 else None
        if raw is not None:
            found.setdefault(classic, _as_text(raw, form, little_endian) if form else raw)
    return found


def _as_text(raw: bytes, form: str, little_endian: bool) -> bytes:
    """A binary number as DICOM writes numbers in text; nothing where it is not one number."""
    form = ("<" if little_endian else ">") + form
    return str(struct.unpack(form, raw)[0]).encode() if len(raw) == struct.calcsize(form) else b""
