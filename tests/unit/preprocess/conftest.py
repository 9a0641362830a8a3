"""A chest whose lungs are known, as an array and as DICOM on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Chest:
    """A cylinder of tissue with two ellipsoids of lung, a windpipe, a hollow table and a ball on the pleura.

    ball_mm   middle (x, y, z) of the ball, 5 mm below the outer surface of the lung at positive x
    """

    volume: Volume
    lung_DHW: npt.NDArray[np.bool_]
    ball_DHW: npt.NDArray[np.bool_]
    ball_mm: tuple[float, float, float]


@cache
def make_chest(
    spacing_mm: tuple[float, float, float] = (4.0, 4.0, 4.0), *, height_mm: float = 240.0, ball_radius_mm: float = 8.0
) -> Chest:
    shape = tuple(round(extent / step) for extent, step in zip((height_mm, 320.0, 400.0), spacing_mm, strict=True))
    origin = tuple(-(num - 1) / 2 * step for num, step in zip(shape, spacing_mm, strict=True))[::-1]
    geometry = Geometry(shape, spacing_mm, origin)
    z, y, x = (
        start + step * np.arange(num).reshape([-1 if axis == other else 1 for other in range(3)])
        for axis, (start, step, num) in enumerate(zip(origin[::-1], spacing_mm, shape, strict=True))
    )
    hu = np.full(shape, -1000.0)
    hu[np.broadcast_to((x / 180) ** 2 + (y / 120) ** 2 < 1, shape)] = 40
    table = (np.abs(x) < 180) & (y > 124) & (y < 150)
    hu[np.broadcast_to(table, shape)] = -100
    hu[np.broadcast_to((np.abs(x) < 172) & (y > 132) & (y < 142), shape)] = -950
    lung = ((np.abs(x) - 85) / 65) ** 2 + (y / 85) ** 2 + (z / 110) ** 2 < 1
    hu[lung] = -860
    hu[np.broadcast_to((x**2 + (y - 40) ** 2 < 9**2) & (z > 20), shape)] = -1000
    ball_mm = (85.0 + 65.0 - 5.0, 0.0, 0.0)
    ball = (x - ball_mm[0]) ** 2 + (y - ball_mm[1]) ** 2 + (z - ball_mm[2]) ** 2 < ball_radius_mm**2
    hu[ball] = 30
    noise = np.random.default_rng(0).normal(0, 15, shape)
    volume = Volume(np.round(hu + noise).astype(np.int16), geometry, "1.2.3.4", "PATIENT^PLANTED")
    return Chest(volume, lung, ball, ball_mm)


@pytest.fixture(scope="session")
def chest() -> Callable[..., Chest]:
    return make_chest


def write_series(folder: Path, volume: Volume) -> None:
    """One uncompressed CT file a slice."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, slice_HW in enumerate(volume.voxels_DHW):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = f"{volume.series_uid}.{number + 1}"
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.Modality, data.Manufacturer, data.PatientID = "CT", "ACME", volume.patient_id
        data.PatientName = "PLANTED^NAME"
        data.SeriesInstanceUID, data.StudyInstanceUID = volume.series_uid, f"{volume.series_uid}.0"
        data.FrameOfReferenceUID = f"{volume.series_uid}.9"
        data.InstanceNumber = number + 1
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = volume.index_to_world([[number, 0, 0]])[0].tolist()
        data.PixelSpacing = list(volume.spacing_mm[1:])
        data.SliceThickness = volume.spacing_mm[0]
        data.Rows, data.Columns = slice_HW.shape
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.RescaleType = "HU"
        data.PixelData = (slice_HW + np.int16(1024)).astype("<i2").tobytes()
        pydicom.dcmwrite(folder / f"{number}.dcm", data, enforce_file_format=True)


@pytest.fixture(scope="session")
def dicom_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three series, 1.2.3.1 to 1.2.3.3, of which the first two are one patient's."""
    folder = tmp_path_factory.mktemp("dicom")
    volume = make_chest((8.0, 8.0, 8.0)).volume
    for number, patient in ((1, "PLANTED-A"), (2, "PLANTED-A"), (3, "PLANTED-B")):
        write_series(folder / f"s{number}", replace(volume, series_uid=f"1.2.3.{number}", patient_id=patient))
    return folder
