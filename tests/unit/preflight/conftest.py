"""A small hospital: chests written as DICOM, and with any fault that a test plants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from fedlung.ct.geometry import Geometry
from fedlung.ct.volume import Volume

SHAPE, SPACING_MM = (36, 64, 80), (5.0, 5.0, 5.0)
ORIGIN_MM = (-197.5, -157.5, -87.5)
NODULE_MM = (90.0, 10.0, 20.0)  # in the left lung


@cache
def chest_hu() -> npt.NDArray[np.int16]:
    """Air, a body of muscle in a coat of fat with a spine, two lungs whole, and a nodule of 12 mm."""
    geometry = Geometry(SHAPE, SPACING_MM, ORIGIN_MM)
    z, y, x = np.moveaxis(geometry.index_to_world(np.indices(SHAPE).reshape(3, -1).T).T.reshape(3, *SHAPE), 0, 0)[::-1]
    hu = np.full(SHAPE, -1000.0)
    hu[(x / 180) ** 2 + (y / 125) ** 2 < 1] = -100
    hu[(x / 168) ** 2 + (y / 113) ** 2 < 1] = 45
    hu[x**2 + (y - 85) ** 2 < 20**2] = 400
    lung = ((np.abs(x) - 80) / 60) ** 2 + (y / 75) ** 2 + (z / 70) ** 2 < 1
    hu[lung] = -860
    hu[np.hypot(np.hypot(x - NODULE_MM[0], y - NODULE_MM[1]), z - NODULE_MM[2]) < 6] = 40
    return np.rint(hu + np.random.default_rng(0).normal(0, 12, SHAPE)).clip(-1023, None).astype(np.int16)


Edit = Callable[[FileDataset, int], None]


def no_edit(header: FileDataset, number: int) -> None:
    """Leave a slice as it is."""


@dataclass
class Hospital:
    """Writes series below ``folder``; ``rows`` are its annotations."""

    folder: Path
    rows: list[str] = field(default_factory=list)

    def add(
        self,
        series: int,
        *,
        patient: str = "",
        study: str = "",
        edit: Edit = no_edit,
        skip: frozenset[int] = frozenset(),
        nodule_mm: tuple[float, float, float] | None = NODULE_MM,
    ) -> str:
        """Write a chest, each its own by a little noise; gives its series UID."""
        uid = f"1.2.826.0.1.3680043.8.498.7.{series}"
        folder = self.folder / "dicom" / f"study-{series}"
        folder.mkdir(parents=True)
        hu = chest_hu().copy()
        hu[0, 0, :] += np.int16(series)
        for number in set(range(len(hu))) - skip:
            header = _header(uid, patient or f"P{series}", study or f"{uid}.1", number, hu[number])
            edit(header, number)
            pydicom.dcmwrite(folder / f"{number}.dcm", header, enforce_file_format=True)
        if nodule_mm is not None:
            self.rows.append(f"{uid},{','.join(map(str, nodule_mm))},12")
        return uid

    @property
    def dicom(self) -> Path:
        """The folder of its series."""
        return self.folder / "dicom"

    def write_annotations(self) -> Path:
        """The table of all nodules."""
        path = self.folder / "annotations.csv"
        path.write_text("\n".join(["seriesuid,coordX,coordY,coordZ,diameter_mm", *self.rows]) + "\n")
        return path


def _header(uid: str, patient: str, study: str, number: int, hu_HW: npt.NDArray[np.int16]) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = f"{uid}.9.{number + 1}"
    header = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    header.Modality, header.Manufacturer, header.ConvolutionKernel = "CT", "Maker", "B30f"
    header.ImageType, header.PatientID, header.PatientIdentityRemoved = ["ORIGINAL", "PRIMARY"], patient, "YES"
    header.SeriesInstanceUID, header.StudyInstanceUID, header.FrameOfReferenceUID = uid, study, f"{uid}.2"
    header.InstanceNumber, header.SliceThickness = number + 1, SPACING_MM[0]
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.ImagePositionPatient = [*ORIGIN_MM[:2], ORIGIN_MM[2] + number * SPACING_MM[0]]
    header.PixelSpacing = list(SPACING_MM[1:])
    header.Rows, header.Columns = hu_HW.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 1
    header.RescaleSlope, header.RescaleIntercept, header.RescaleType = 1, -1024, "HU"
    header.PixelData = (hu_HW + np.int16(1024)).astype("<i2").tobytes()
    return header


@pytest.fixture(scope="session")
def make_hospital() -> Callable[[Path], Hospital]:
    """An empty hospital in a folder."""
    return Hospital


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    """An empty hospital of the test's own."""
    return Hospital(tmp_path / "hospital")


@pytest.fixture(scope="session")
def chest_volume() -> Callable[[], Volume]:
    """The chest as the reader gives it."""
    return lambda: Volume(chest_hu(), Geometry(SHAPE, SPACING_MM, ORIGIN_MM), "1.2.3", "P1")
