"""MetaImage and NIfTI files that SimpleITK wrote: every voxel of ours lies where it lies for SimpleITK."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from fedlung.ct import Series, Volume
from fedlung.ct.formats.metaimage import find_metaimage, is_metaimage, read_metaimage
from fedlung.ct.formats.nifti import find_nifti, read_nifti

SHAPE_ZYX = (5, 6, 7)
# A turn between the axes, a slight one as of a tilted couch, one far from every axis, and axes that are swapped.
TURNS = {
    "axial": Rotation.identity(),
    "slight": Rotation.from_euler("xyz", (3, -2, 5), degrees=True),
    "far": Rotation.from_euler("xyz", (40, 35, -50), degrees=True),
    "coronal": Rotation.from_matrix([[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "sagittal": Rotation.from_matrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
}
NAMES = ("a.mhd", "a.mha", "a.nii", "a.nii.gz")


def _write(path: Path, turn: str, mirror: tuple[int, ...], dtype: str, packed: bool) -> SimpleITK.Image:
    """The file as SimpleITK reads it back."""
    values = np.random.default_rng(0).integers(-1000, 3000, SHAPE_ZYX).astype(dtype)
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-12.25, 7.5, -30.125))
    image.SetDirection((TURNS[turn].as_matrix() * mirror).ravel().tolist())
    SimpleITK.WriteImage(image, str(path), useCompression=packed)
    return SimpleITK.ReadImage(str(path))


def _read(path: Path) -> Volume:
    find, read = (find_metaimage, read_metaimage) if is_metaimage(path) else (find_nifti, read_nifti)
    series = find(path)
    assert isinstance(series, Series), series
    return read(series)


def _assert_same_places(volume: Volume, image: SimpleITK.Image) -> None:
    index_N3 = np.indices(volume.geometry.shape_DHW).reshape(3, -1).T
    places_mm = volume.index_to_world(index_N3)
    their_index_N3 = np.array([image.TransformPhysicalPointToContinuousIndex(place) for place in places_mm.tolist()])
    assert np.abs(their_index_N3 - np.rint(their_index_N3)).max() < 1e-3
    x, y, z = np.rint(their_index_N3).astype(int).T
    np.testing.assert_array_equal(volume.voxels_DHW.ravel(), SimpleITK.GetArrayFromImage(image)[z, y, x])
    assert np.linalg.det(volume.direction) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("turn", TURNS)
def test_every_voxel_lies_where_simpleitk_has_it_under_any_turn_and_mirroring(
    tmp_path: Path, name: str, turn: str
) -> None:
    for mirror in product((1, -1), repeat=3):
        image = _write(tmp_path / name, turn, mirror, "int16", packed=False)
        _assert_same_places(_read(tmp_path / name), image)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64"])
def test_packed_files_of_every_number_type_agree_with_simpleitk(tmp_path: Path, name: str, dtype: str) -> None:
    image = _write(tmp_path / name, "slight", (1, 1, 1), dtype, packed=True)
    _assert_same_places(_read(tmp_path / name), image)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_with_a_right_handed_axial_grid_gives_simpleitks_very_array(tmp_path: Path, name: str) -> None:
    image = _write(tmp_path / name, "slight", (1, 1, 1), "int16", packed=False)
    volume = _read(tmp_path / name)
    np.testing.assert_array_equal(volume.voxels_DHW, SimpleITK.GetArrayFromImage(image))
    np.testing.assert_allclose(volume.spacing_mm, image.GetSpacing()[::-1], rtol=1e-6)
    np.testing.assert_allclose(volume.origin_mm, image.GetOrigin(), atol=1e-5)
    np.testing.assert_allclose(np.ravel(volume.direction), image.GetDirection(), atol=1e-6)
