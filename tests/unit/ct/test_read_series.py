"""Voxels against the function of millimetres that they were written from, through the volume's own geometry."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from fedlung.ct import Series, Volume, find_series, read_series
from fedlung.ct import read as read_module
from fedlung.errors import SeriesError

Write = Callable[..., Path]
Hu = Callable[[np.ndarray], np.ndarray]

COS, SIN = float(np.cos(0.3)), float(np.sin(0.3))
ORIENTATIONS = {
    "axial": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "prone": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    "head last": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "sagittal": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
    "coronal": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
    "oblique": (COS, SIN, 0.0, -SIN, COS, 0.0),
    "tilted": (1.0, 0.0, 0.0, 0.0, COS, SIN),
}


def read(folder: Path) -> Volume:
    (series,), _ = find_series(folder)
    return read_series(series)


def expected_hu(volume: Volume, hu_at: Hu) -> np.ndarray:
    index_N3 = np.indices(volume.voxels_DHW.shape).reshape(3, -1).T
    return hu_at(volume.index_to_world(index_N3)).reshape(volume.voxels_DHW.shape)


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("step_mm", [2.5, -2.5])
def test_every_voxel_lies_where_the_geometry_says(ct: Write, hu_at: Hu, name: str, step_mm: float) -> None:
    folder = ct(orientation=ORIENTATIONS[name], step_mm=step_mm, pixel_spacing_mm=(0.5, 0.75))
    volume = read(folder)
    assert volume.voxels_DHW.dtype == np.int16
    assert volume.spacing_mm == pytest.approx((2.5, 0.5, 0.75))
    # Stored values are rounded to whole HU.
    np.testing.assert_allclose(volume.voxels_DHW, expected_hu(volume, hu_at), atol=0.5 + 1e-6)


def test_axial_geometry_is_the_header_to_the_digit(ct: Write) -> None:
    volume = read(ct())
    assert volume.origin_mm == (-12.0, 7.0, -30.0)
    assert volume.direction == ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    assert volume.geometry.shape_DHW == volume.voxels_DHW.shape == (7, 6, 8)
    assert (volume.patient_id, volume.series_uid[-4:]) == ("P1", "20.1")


def test_spacing_comes_from_the_positions_and_not_from_the_thickness(ct: Write) -> None:
    assert read(ct(step_mm=1.25)).spacing_mm[0] == pytest.approx(1.25)


def test_rounded_positions_do_not_add_up_to_a_shorter_scan(ct: Write) -> None:
    def printed_with_two_decimals(dataset: Dataset, number: int) -> None:
        dataset.ImagePositionPatient[2] = f"{-30 + 0.625 * number:.2f}"

    volume = read(ct(step_mm=0.625, num_slices=41, edit=printed_with_two_decimals))
    assert volume.index_to_world([[40, 0, 0]])[0, 2] == pytest.approx(-5.0, abs=1e-9)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless],
    ids=lambda u: u.name,
)
def test_the_transfer_syntax_changes_no_voxel(ct: Write, syntax: str) -> None:
    plain = read(ct("plain"))
    if syntax == RLELossless:
        folder = ct("other", edit=lambda dataset, number: dataset.compress(RLELossless))
    else:
        folder = ct("other", syntax=syntax)
    other = read(folder)
    np.testing.assert_array_equal(other.voxels_DHW, plain.voxels_DHW)
    assert other.geometry == plain.geometry


def test_each_slice_has_its_own_rescale(ct: Write, hu_at: Hu) -> None:
    def shifted(dataset: Dataset, number: int) -> None:
        stored = np.frombuffer(dataset.PixelData, np.uint16)
        dataset.PixelData = (stored // 2 + number).astype(np.uint16).tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = 2, -1024 - 2 * number

    volume = read(ct(edit=shifted))
    assert volume.voxels_DHW.dtype == np.int16
    np.testing.assert_allclose(volume.voxels_DHW, expected_hu(volume, hu_at), atol=1.0)


def test_a_slope_that_is_not_whole_gives_float32(ct: Write, hu_at: Hu) -> None:
    volume = read(ct(slope=0.5, intercept=-1000.5))
    assert volume.voxels_DHW.dtype == np.float32
    np.testing.assert_allclose(volume.voxels_DHW, expected_hu(volume, hu_at), atol=0.25)


@pytest.mark.parametrize(
    ("signed", "stored", "declared"), [(True, -2000, 63536), (False, 63536, 63536), (True, -2000, None)]
)
def test_padding_becomes_air_however_it_is_declared(ct: Write, signed: bool, stored: int, declared: int | None) -> None:
    def pad(dataset: Dataset, number: int) -> None:
        pixels = np.frombuffer(dataset.PixelData, np.int16 if signed else np.uint16).copy()
        pixels[0] = stored
        dataset.PixelData = pixels.tobytes()
        if declared is not None:
            dataset.add_new("PixelPaddingValue", "US", declared)

    volume = read(ct(signed=signed, edit=pad))
    assert set(volume.voxels_DHW[:, 0, 0].tolist()) == {-1024}
    assert volume.warnings == ()


def test_a_padding_value_that_tissue_has_is_not_believed_but_told(ct: Write, hu_at: Hu) -> None:
    def water_is_padding(dataset: Dataset, number: int) -> None:
        dataset.add_new("PixelPaddingValue", "US", 1024)

    volume = read(ct(edit=water_is_padding))
    np.testing.assert_allclose(volume.voxels_DHW, expected_hu(volume, hu_at), atol=0.5)
    assert volume.warnings == ("7 slices call a value padding that tissue has as well; it was kept as tissue.",)


@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_the_stored_ones_are_no_pixels(ct: Write, hu_at: Hu, signed: bool) -> None:
    def dirty(dataset: Dataset, number: int) -> None:
        pixels = np.frombuffer(dataset.PixelData, np.uint16)
        dataset.PixelData = ((pixels & 0x0FFF) | 0x5000).tobytes()
        dataset.BitsStored, dataset.HighBit = 12, 11

    volume = read(ct(signed=signed, edit=dirty))
    np.testing.assert_allclose(volume.voxels_DHW, expected_hu(volume, hu_at), atol=0.5)


def test_values_beyond_any_scanner_are_refused(ct: Write) -> None:
    (series,), _ = find_series(ct(edit=lambda dataset, number: setattr(dataset, "RescaleSlope", 100)))
    with pytest.raises(SeriesError, match="IMPLAUSIBLE_HU") as caught:
        read_series(series)
    assert caught.value.public == "IMPLAUSIBLE_HU"


def test_what_the_scanner_says_is_kept_and_a_phantom_is_known_as_one(ct: Write) -> None:
    acquisition = read(ct("real")).acquisition
    assert (acquisition.manufacturer, acquisition.scanner_model, acquisition.kernel) == ("Maker", "Model", "B30f")
    assert (acquisition.slice_thickness_mm, acquisition.kvp, acquisition.tube_current_ma) == (3.0, 120.0, 200.0)
    assert not acquisition.synthetic
    phantom = ct("phantom", edit=lambda dataset, number: setattr(dataset, "ImageComments", "SYNTHETIC phantom"))
    assert read(phantom).acquisition.synthetic


def test_a_file_that_vanished_since_it_was_found_is_refused(ct: Write) -> None:
    folder = ct()
    (series,), _ = find_series(folder)
    (folder / "1-002").unlink()
    with pytest.raises(SeriesError, match="FILES_CHANGED"):
        read_series(series)


def test_a_file_that_changed_since_it_was_found_is_judged_again(ct: Write) -> None:
    folder = ct()
    (series,), _ = find_series(folder)
    (folder / "1-002").write_bytes((folder / "1-003").read_bytes())
    with pytest.raises(SeriesError, match="DUPLICATE_POSITION"):
        read_series(series)


def test_headers_that_were_kept_are_not_parsed_again_and_give_the_same_volume(ct: Write, monkeypatch) -> None:
    folder = ct()
    expected = read(folder)
    series = found_long_after_writing(folder)
    monkeypatch.setattr(read_module, "read_headers", None)
    volume = read_series(series)
    np.testing.assert_array_equal(volume.voxels_DHW, expected.voxels_DHW)
    assert (volume.geometry, volume.warnings) == (expected.geometry, expected.warnings)


def test_a_file_that_changed_is_parsed_again_though_its_header_was_kept(ct: Write) -> None:
    folder = ct()
    series = found_long_after_writing(folder)
    (folder / "1-002").write_bytes((folder / "1-003").read_bytes())
    with pytest.raises(SeriesError, match="DUPLICATE_POSITION"):
        read_series(series)


def found_long_after_writing(folder: Path) -> Series:
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    (series,), _ = find_series(folder)
    assert len(series.headers) == 7
    return series


def test_a_compressed_slice_that_is_cut_off_is_refused(ct: Write) -> None:
    folder = ct(edit=lambda dataset, number: dataset.compress(RLELossless))
    path = folder / "1-003"
    path.write_bytes(path.read_bytes()[:-60])
    (series,), _ = find_series(folder)
    with pytest.raises(SeriesError) as caught:
        read_series(series)
    assert caught.value.code == "UNDECODABLE"


def test_a_compressed_file_with_a_name_that_is_not_utf8_is_read(ct: Write) -> None:
    folder = ct(edit=lambda dataset, number: dataset.compress(RLELossless))
    (folder / "1-003").rename(folder / os.fsdecode(b"\xff"))
    np.testing.assert_array_equal(read(folder).voxels_DHW, read(ct("plain", syntax=ExplicitVRLittleEndian)).voxels_DHW)
