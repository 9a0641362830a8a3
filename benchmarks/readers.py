"""The peers that read a folder of DICOM, each in its usual way."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pydicom
from timing import Way

from fedlung.ct import find_series, read_series

SIMPLEITK = "SimpleITK ImageSeriesReader"


def ways(folder: Path) -> list[Way]:
    """Ours first."""
    return [
        Way("fedlung find_series + read_series, all checks", partial(by_fedlung, folder)),
        Way(SIMPLEITK, partial(by_simpleitk, folder), ("SimpleITK",)),
        Way("MONAI LoadImage, ITKReader", partial(by_monai, folder, "ITKReader"), ("monai", "itk")),
        Way("MONAI LoadImage, PydicomReader", partial(by_monai, folder, "PydicomReader"), ("monai",)),
        Way("torchio ScalarImage", partial(by_torchio, folder), ("torchio",)),
        Way("pydicom pixel_array, to int16 HU", partial(by_pydicom, folder)),
    ]


def by_fedlung(folder: Path) -> np.ndarray:
    (series,), _ = find_series(folder)
    return read_series(series).voxels_DHW


def by_simpleitk(folder: Path) -> np.ndarray:
    import SimpleITK

    (uid,) = SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid))
    return SimpleITK.GetArrayFromImage(reader.Execute())


def by_monai(folder: Path, reader: str) -> object:
    from monai.transforms import LoadImage

    return LoadImage(reader=reader, image_only=True)(str(folder))


def by_torchio(folder: Path) -> object:
    import torchio

    return torchio.ScalarImage(folder).data


def by_pydicom(folder: Path) -> np.ndarray:
    """Sorted by position, rescaled in int16; nothing is checked."""
    slices = sorted(map(pydicom.dcmread, folder.iterdir()), key=lambda data: float(data.ImagePositionPatient[2]))
    return np.stack([data.pixel_array + np.int16(data.RescaleIntercept) for data in slices])
