"""Our voxels and geometry of real series against SimpleITK's own reading of the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from fedlung.ct import LeftOut, Series, find_series, read_series

pytestmark = pytest.mark.lidc

FLOOR_HU = -1024


@pytest.fixture(scope="module")
def found(lidc_folder: Path) -> tuple[list[Series], list[LeftOut]]:
    return find_series(lidc_folder)


def test_five_whole_series_are_found_and_nothing_is_left_out(found: tuple[list[Series], list[LeftOut]]) -> None:
    series, left_out = found
    assert left_out == []
    assert {one.patient_id[-4:]: one.num_files for one in series} == {
        "0001": 133,
        "0003": 140,
        "0012": 128,
        "0013": 125,
        "0063": 133,
    }


@pytest.mark.parametrize("number", range(5))
def test_voxels_equal_simpleitks(found: tuple[list[Series], list[LeftOut]], number: int) -> None:
    # SimpleITK is right here: these series have neither gaps nor tilt, and GDCM is given the order. Its padding is
    # not ours (it goes down to -3024 HU), so its low end is cut where ours is.
    series = found[0][number]
    volume, image = read_series(series), SimpleITK.ReadImage([str(path) for path in series.files])
    theirs_DHW = np.maximum(SimpleITK.GetArrayFromImage(image), FLOOR_HU)
    assert volume.voxels_DHW.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels_DHW, theirs_DHW)
    np.testing.assert_allclose(volume.spacing_mm, image.GetSpacing()[::-1], atol=1e-6)
    np.testing.assert_allclose(volume.origin_mm, image.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(np.ravel(volume.direction), image.GetDirection(), atol=1e-6)
    corner_xyz = [size - 1 for size in image.GetSize()]
    theirs_mm = image.TransformIndexToPhysicalPoint(corner_xyz)
    np.testing.assert_allclose(volume.index_to_world([corner_xyz[::-1]])[0], theirs_mm, atol=1e-3)
