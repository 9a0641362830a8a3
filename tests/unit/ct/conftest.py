"""Tiny CT series as real DICOM files, whose HU is a known function of the patient's millimetres."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
UID_ROOT = "1.2.826.0.1.3680043.8.498."


def linear_hu(xyz_mm: np.ndarray) -> np.ndarray:
    """HU of points (..., 3): whole for whole half-millimetres, different for every voxel of the tiny series."""
    return xyz_mm @ np.array([2.0, 4.0, 16.0]) + 100.0


@dataclass
class CtWriter:
    """Writes one series; ``edit(dataset, number)`` may change a slice before it is saved."""

    folder: Path
    shape_HW: tuple[int, int] = (6, 8)
    num_slices: int = 7
    step_mm: float = 2.5
    pixel_spacing_mm: tuple[float, float] = (1.0, 1.0)
    orientation: tuple[float, ...] = AXIAL
    origin_mm: tuple[float, float, float] = (-12.0, 7.0, -30.0)
    series: str = "1"
    intercept: float = -1024.0
    slope: float = 1.0
    signed: bool = False
    syntax: UID = ExplicitVRLittleEndian
    skip: Collection[int] = field(default_factory=frozenset)
    edit: Callable[[Dataset, int], None] = lambda dataset, number: None

    def write(self) -> Path:
        """The folder; names run against the slices' order."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for number in range(self.num_slices):
            if number not in self.skip:
                dataset = self._slice(number)
                self.edit(dataset, number)
                path = self.folder / f"{self.series}-{self.num_slices - number:03}"
                dataset.save_as(path, enforce_file_format=True)
        return self.folder

    def _slice(self, number: int) -> Dataset:
        row, column = np.array(self.orientation).reshape(2, 3)
        position = np.array(self.origin_mm) + number * self.step_mm * np.cross(row, column)
        dataset = Dataset()
        dataset.file_meta = _meta(self.syntax, self.series, number)
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, dataset.file_meta.MediaStorageSOPInstanceUID
        dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.PatientID, dataset.Manufacturer, dataset.ManufacturerModelName = "P1", "Maker", "Model"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = UID_ROOT + "10", f"{UID_ROOT}20.{self.series}"
        dataset.FrameOfReferenceUID, dataset.KVP, dataset.SliceThickness = UID_ROOT + "30", 120, 3.0
        dataset.ConvolutionKernel, dataset.XRayTubeCurrent = "B30f", 200
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = position.tolist(), list(self.orientation)
        dataset.PixelSpacing = list(self.pixel_spacing_mm)
        dataset.RescaleIntercept, dataset.RescaleSlope = self.intercept, self.slope
        self._set_pixels(dataset, position, row, column)
        return dataset

    def _set_pixels(self, dataset: Dataset, position: np.ndarray, row: np.ndarray, column: np.ndarray) -> None:
        rows, columns = np.indices(self.shape_HW)
        spacing_y_mm, spacing_x_mm = self.pixel_spacing_mm
        xyz_mm = position + columns[..., None] * spacing_x_mm * row + rows[..., None] * spacing_y_mm * column
        stored_HW = np.rint((linear_hu(xyz_mm) - self.intercept) / self.slope)
        order = "<" if self.syntax.is_little_endian else ">"
        dataset.Rows, dataset.Columns = self.shape_HW
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.PixelRepresentation = int(self.signed)
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.PixelData = stored_HW.astype(f"{order}{'i2' if self.signed else 'u2'}").tobytes()
        dataset["PixelData"].VR = "OW"


def _meta(syntax: UID, series: str, number: int) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = f"{UID_ROOT}40.{series}.{number + 1}"
    meta.TransferSyntaxUID = syntax
    return meta


@pytest.fixture
def ct(tmp_path: Path) -> Callable[..., Path]:
    """``ct(num_slices=5, edit=...)`` writes a series below the test's folder and gives its folder."""

    def write(name: str = "scan", **settings: object) -> Path:
        return CtWriter(tmp_path / name, **settings).write()

    return write


@pytest.fixture
def hu_at() -> Callable[[np.ndarray], np.ndarray]:
    """The HU that the series were written from, at points (..., 3) in mm."""
    return linear_hu
