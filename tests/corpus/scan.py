"""One CT series in memory, as a list of slices that can be edited into anything before it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.dicom import EXPLICIT, PIXEL_DATA, Elements, file_bytes
from corpus.phantom import CENTRE_MM, Hu, Points, chest_hu

UID_ROOT = "1.2.826.0.1.3680043.10.1511."
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
ROWS, COLUMNS = 32, 24
PIXEL_SPACING_MM = (0.75, 1.0)
STEP_MM = 2.5


@dataclass
class Slice:
    """One image. ``damage`` maps its file's bytes to what is written."""

    number: int
    position_mm: Points
    elements: Elements
    meta: Elements
    points_mm: Points
    stored_HW: npt.NDArray[np.int64]
    syntax: str = EXPLICIT
    name: str = ""
    preamble: bytes = b"\0" * 128 + b"DICM"
    damage: Callable[[bytes], bytes] = field(default=lambda data: data)

    def set(self, **values: Any) -> Slice:
        """Values by keyword."""
        self.elements.set(**values)
        return self

    def unset(self, *keywords: str) -> Slice:
        """Without these."""
        self.elements.unset(*keywords)
        return self

    def store(self, stored_HW: npt.NDArray, *, dtype: str | None = None) -> Slice:
        """Other stored values, of the pixels' own type unless told."""
        bits, signed = self.elements.get("BitsAllocated"), self.elements.get("PixelRepresentation")
        dtype = dtype or f"{'i' if signed else 'u'}{bits // 8}"
        self.stored_HW = np.asarray(stored_HW, dtype=np.int64)
        self.elements.put(PIXEL_DATA, "OW", self.stored_HW.astype(dtype))
        return self

    def damaged(self, damage: Callable[[bytes], bytes]) -> Slice:
        """With its file's bytes changed on the way to the disk."""
        self.damage = damage
        return self

    def named(self, name: str) -> Slice:
        """In a file of this name."""
        self.name = name
        return self

    @property
    def pixels(self) -> bytes:
        """The pixel data as little endian bytes."""
        value = self.elements.by_tag[PIXEL_DATA].value
        return value if isinstance(value, bytes) else value.tobytes()

    def file(self) -> bytes:
        """What is written."""
        return self.damage(file_bytes(self.meta, self.elements, self.syntax, preamble=self.preamble))


@dataclass
class Scan:
    """Slices of one series."""

    slices: list[Slice]

    def set(self, **values: Any) -> Scan:
        """Values by keyword, on every slice."""
        return self.each(lambda one: one.set(**values))

    def unset(self, *keywords: str) -> Scan:
        """Every slice without these."""
        return self.each(lambda one: one.unset(*keywords))

    def each(self, edit: Callable[[Slice], object]) -> Scan:
        """Every slice edited."""
        for one in self.slices:
            edit(one)
        return self

    def on(self, *numbers: int) -> Scan:
        """These slices alone, to be edited; write the whole scan."""
        return Scan([one for one in self.slices if one.number in numbers])

    def edit(self, numbers: int | Iterable[int], edit: Callable[[Slice], object]) -> Scan:
        """These slices edited."""
        self.on(*([numbers] if isinstance(numbers, int) else numbers)).each(edit)
        return self

    def drop(self, *numbers: int) -> Scan:
        """Without these slices."""
        self.slices = [one for one in self.slices if one.number not in numbers]
        return self

    def write(self, folder: Path) -> Path:
        """A file a slice; names run against the slices' order, for order is nothing to rely on."""
        folder.mkdir(parents=True, exist_ok=True)
        for one in self.slices:
            (folder / one.name).write_bytes(one.file())
        return folder


def scan(
    num_slices: int = 16,
    *,
    hu: Hu = chest_hu,
    series: str = "1",
    orientation: Sequence[float] = AXIAL,
    pixel_spacing_mm: tuple[float, float] = PIXEL_SPACING_MM,
    step_mm: float = STEP_MM,
    steps: Sequence[float] | None = None,
    shift_mm: Callable[[int], Sequence[float]] = lambda number: (0.0, 0.0, 0.0),
    shape_HW: tuple[int, int] = (ROWS, COLUMNS),
    slope: float = 1.0,
    intercept: float = -1024.0,
    signed: bool = False,
    bits: int = 16,
    syntax: str = EXPLICIT,
) -> Scan:
    """A sound scan around the phantom's centre, before anything is done to it.

    Slice n lies ``steps[n] * step_mm`` (n where not told) along the normal, moved by ``shift_mm(n)``; its pixels are
    the phantom at its true place.
    """
    places = steps or list(range(num_slices))
    slices = []
    for number, place in enumerate(places):
        first_mm = _first_mm(orientation, pixel_spacing_mm, step_mm, shape_HW, num_slices)
        position_mm = first_mm + place * step_mm * _normal(orientation) + np.asarray(shift_mm(number))
        points_mm = plane_mm(position_mm, orientation, pixel_spacing_mm, shape_HW)
        one = _slice(number, series, position_mm, points_mm, syntax)
        one.name = f"{series}-{len(places) - number:03}.dcm"
        one.set(ImageOrientationPatient=list(map(float, orientation)), PixelSpacing=list(pixel_spacing_mm))
        one.set(Rows=shape_HW[0], Columns=shape_HW[1], RescaleSlope=slope, RescaleIntercept=intercept)
        one.set(BitsAllocated=bits, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=int(signed))
        one.store(np.rint((hu(points_mm) - intercept) / slope))
        slices.append(one)
    return Scan(slices)


def another(whole: Scan, name: str) -> Scan:
    """The scan's slices as other images under the same series UID, in files of their own."""

    def rename(one: Slice) -> None:
        one.name = f"{name}-{one.name}"
        one.set(SOPInstanceUID=f"{one.elements.get('SOPInstanceUID')}.{sum(name.encode())}")

    return whole.each(rename)


def later(whole: Scan) -> Scan:
    """The scan as a second acquisition under the first one's series UID."""
    return another(whole, "later").set(AcquisitionNumber="2", AcquisitionTime="101634")


def plane_mm(
    position_mm: Points, orientation: Sequence[float], pixel_spacing_mm: Sequence[float], shape_HW: tuple[int, int]
) -> Points:
    """(H, W, 3) where a plane's pixels lie (PS3.3 C.7.6.2.1.1)."""
    row, column = np.reshape(orientation, (2, 3))
    rows_HW, columns_HW = np.indices(shape_HW)
    spacing_y_mm, spacing_x_mm = pixel_spacing_mm
    return position_mm + columns_HW[..., None] * spacing_x_mm * row + rows_HW[..., None] * spacing_y_mm * column


def _normal(orientation: Sequence[float]) -> Points:
    return np.cross(orientation[:3], orientation[3:])


def _first_mm(
    orientation: Sequence[float],
    pixel_spacing_mm: tuple[float, float],
    step_mm: float,
    shape_HW: tuple[int, int],
    num_slices: int,
) -> Points:
    """Where the first voxel lies so that the scan is centred, on a lattice of quarter millimetres for axial scans."""
    row, column = np.reshape(orientation, (2, 3))
    half_x_mm, half_y_mm = pixel_spacing_mm[1] * shape_HW[1] / 2, pixel_spacing_mm[0] * shape_HW[0] / 2
    half_z_mm = step_mm * num_slices / 2
    return CENTRE_MM - half_x_mm * row - half_y_mm * column - half_z_mm * _normal(orientation)


def _slice(number: int, series: str, position_mm: Points, points_mm: Points, syntax: str) -> Slice:
    sop_uid = f"{UID_ROOT}4.{series}.{number + 1}"
    meta = Elements().put(0x00020001, "OB", b"\0\1")
    meta.set(MediaStorageSOPClassUID=CT_IMAGE, MediaStorageSOPInstanceUID=sop_uid, TransferSyntaxUID=syntax)
    meta.set(ImplementationClassUID=UID_ROOT + "0")
    one = Slice(number, position_mm, Elements(), meta, points_mm, np.zeros(0, dtype=np.int64), syntax)
    one.set(SOPClassUID=CT_IMAGE, SOPInstanceUID=sop_uid, Modality="CT", ImageType="ORIGINAL\\PRIMARY\\AXIAL")
    one.set(StudyDate="20200102", StudyTime="101500", AcquisitionTime="101502", AccessionNumber="A1")
    one.set(PatientName="Corpus^One", PatientID="C-0001", PatientPosition="HFS", StudyID="1")
    one.set(Manufacturer="Maker", ManufacturerModelName="Model", ConvolutionKernel="B30f", KVP="120")
    one.set(XRayTubeCurrent="200", SliceThickness=2.5, SeriesNumber="3", AcquisitionNumber="1")
    one.set(StudyInstanceUID=UID_ROOT + "1", SeriesInstanceUID=f"{UID_ROOT}2.{series}")
    one.set(FrameOfReferenceUID=UID_ROOT + "3", ImagePositionPatient=position_mm.tolist())
    one.set(InstanceNumber=str(number + 1), SliceLocation=float(position_mm[2]))
    return one.set(SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", RescaleType="HU")
