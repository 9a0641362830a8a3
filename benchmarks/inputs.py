"""What the benchmarks work on: a synthetic chest, as an array and as DICOM files, and the real series where given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLSLossless
from scipy import ndimage

from fedlung.ct import Geometry, Volume

SHAPE_DHW, SPACING_MM = (130, 512, 512), (2.5, 0.703125, 0.703125)
QUICK_SHAPE_DHW, QUICK_SPACING_MM = (40, 64, 64), (7.5, 5.625, 5.625)


def chest(*, quick: bool = False, shape_DHW: tuple[int, int, int] | None = None, seed: int = 0) -> Volume:
    """HU of a body with two lungs full of vessels, on a table, with noise; nothing in it is anybody's."""
    spacing_mm = QUICK_SPACING_MM if quick else SPACING_MM
    shape = shape_DHW or (QUICK_SHAPE_DHW if quick else SHAPE_DHW)
    rng = np.random.default_rng(seed)
    z, y, x = (
        (step * (np.arange(num) - (num - 1) / 2)).reshape([-1 if axis == other else 1 for other in range(3)])
        for axis, (num, step) in enumerate(zip(shape, spacing_mm, strict=True))
    )
    hu = np.full(shape, -1000, dtype=np.float32)
    hu[np.broadcast_to((x / 165) ** 2 + (y / 115) ** 2 < 1, shape)] = 40
    hu[np.broadcast_to((np.abs(x) < 160) & (y > 120) & (y < 124), shape)] = -100
    lung = ((np.abs(x) - 78) / 62) ** 2 + (y / 85) ** 2 + (z / 150) ** 2 < 1
    grain = ndimage.gaussian_filter(rng.standard_normal([num // 4 + 1 for num in shape], dtype=np.float32), 0.7)
    vessels = np.kron(grain > 0.9, np.ones((4, 4, 4), dtype=bool))[: shape[0], : shape[1], : shape[2]]
    hu[lung] = np.where(vessels[lung], 30, -860)
    hu += 25 * rng.standard_normal(shape, dtype=np.float32)
    origin_mm = tuple(-(num - 1) / 2 * step for num, step in zip(shape, spacing_mm, strict=True))[::-1]
    return Volume(
        np.round(hu).astype(np.int16), Geometry(shape, spacing_mm, origin_mm), f"1.2.826.0.1.{seed}", "NOBODY"
    )


def write_dicom(folder: Path, volume: Volume, *, jpegls: bool = False) -> None:
    """One CT file a slice, uncompressed or lossless JPEG-LS, named so that the order of names is not that of slices."""
    folder.mkdir(parents=True)
    for number, slice_HW in enumerate(volume.voxels_DHW):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = f"{volume.series_uid}.{number + 1}"
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.Modality, data.Manufacturer, data.PatientID = "CT", "NOBODY", volume.patient_id
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.SeriesInstanceUID, data.StudyInstanceUID = volume.series_uid, f"{volume.series_uid}.0"
        data.FrameOfReferenceUID, data.InstanceNumber = f"{volume.series_uid}.9", number + 1
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = volume.index_to_world([[number, 0, 0]])[0].round(4).tolist()
        data.PixelSpacing, data.SliceThickness = list(volume.spacing_mm[1:]), volume.spacing_mm[0]
        data.Rows, data.Columns = slice_HW.shape
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 1, -1024, "HU"
        data.PixelData = (slice_HW + np.int16(1024)).astype("<i2").tobytes()
        if jpegls:
            data.compress(JPEGLSLossless, generate_instance_uid=False)
        pydicom.dcmwrite(folder / f"{(number * 7919) % 100003:06d}.dcm", data, enforce_file_format=True)


def real_series(data: Path) -> list[Path]:
    """The folders of whole LIDC-IDRI series, or none."""
    return sorted({path.parent for path in (data / "lidc-idri").glob("*/*/*.dcm")})
