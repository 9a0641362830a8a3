"""Stored values of every kind -> HU, against arithmetic in whole numbers of any size."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from fedlung.ct import Volume, find_series, read_series
from fedlung.ct.hounsfield import HU_FLOOR
from fedlung.errors import SeriesError

Write = Callable[..., Path]
Hu = Callable[[np.ndarray], np.ndarray]
SHAPE = (6, 8)


def read(folder: Path) -> Volume:
    (series,), left_out = find_series(folder)
    assert left_out == []
    return read_series(series)


def stored_as(values: Callable[[int], np.ndarray], **tags: object) -> Callable[[Dataset, int], None]:
    """An edit that gives slice ``number`` the pixels ``values(number)``, an array of the stored type, and tags."""

    def edit(dataset: Dataset, number: int) -> None:
        pixels_HW = values(number)
        dataset.PixelData = pixels_HW.tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.Rows, dataset.Columns = pixels_HW.shape
        dataset.BitsAllocated = 8 * pixels_HW.itemsize
        dataset.BitsStored, dataset.HighBit = dataset.BitsAllocated, dataset.BitsAllocated - 1
        dataset.PixelRepresentation = int(pixels_HW.dtype.kind == "i")
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)

    return edit


def scene(number: int) -> np.ndarray:
    """(6, 8) int64 HU of a slice, as much noise as a scanner's."""
    noise = np.random.default_rng(number).integers(-40, 40, SHAPE)
    return np.add.outer(np.linspace(-950, 100, SHAPE[0]), np.zeros(SHAPE[1])).astype(np.int64) + noise


def expected(volume: Volume, stored: Callable[[int], np.ndarray], slope: float, intercept: float) -> np.ndarray:
    hu_DHW = np.stack(
        [slope * stored(number).astype(np.float64) + intercept for number in range(len(volume.voxels_DHW))]
    )
    return np.maximum(hu_DHW, HU_FLOOR)


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept"),
    [
        ("<i2", 1, 0), ("<i2", 1, -1024), ("<u2", 1, -1024), ("<u2", 1, -32768), ("<u2", 2, -2000), ("<i2", 1, 500),
        ("<u2", 0.5, -1000.5), ("<i2", 1.5, 0), ("u1", 8, -1024), ("i1", 10, -20), ("u1", 7.5, -1024),
    ],
)  # fmt: skip
def test_hu_is_slope_times_stored_plus_intercept(ct: Write, dtype: str, slope: float, intercept: float) -> None:
    def stored(number: int) -> np.ndarray:
        limits = np.iinfo(dtype)
        return np.clip(np.rint((scene(number) - intercept) / slope), limits.min, limits.max).astype(dtype)

    volume = read(ct(edit=stored_as(stored), slope=slope, intercept=intercept))
    assert volume.voxels_DHW.dtype == (
        np.int16 if float(slope).is_integer() and float(intercept).is_integer() else np.float32
    )
    np.testing.assert_allclose(volume.voxels_DHW, expected(volume, stored, slope, intercept), rtol=1e-6)


@pytest.mark.parametrize("signed", [False, True])
def test_big_endian_pixels_are_turned_round(ct: Write, hu_at: Hu, signed: bool) -> None:
    little = read(ct("little", signed=signed, syntax=ExplicitVRLittleEndian))
    big = read(ct("big", signed=signed, syntax=ExplicitVRBigEndian))
    np.testing.assert_array_equal(big.voxels_DHW, little.voxels_DHW)


def test_monochrome1_says_how_values_are_shown_and_changes_none(ct: Write) -> None:
    plain = read(ct("plain"))
    inverted = read(
        ct("other", edit=lambda dataset, number: setattr(dataset, "PhotometricInterpretation", "MONOCHROME1"))
    )
    np.testing.assert_array_equal(inverted.voxels_DHW, plain.voxels_DHW)


def with_rim(value: int, dtype: str) -> Callable[[int], np.ndarray]:
    """Stored values whose first row is padding."""

    def stored(number: int) -> np.ndarray:
        pixels_HW = (scene(number) + 1024).astype(dtype)
        pixels_HW[0] = value
        return pixels_HW

    return stored


@pytest.mark.parametrize(
    ("bits_stored", "dtype", "value", "tag"),
    [
        (16, "<i2", -2000, ("US", 63536)),
        (16, "<i2", -32768, ("SS", -32768)),
        (16, "<u2", 63536, ("US", 63536)),
        (16, "<u2", 65535, ("US", 65535)),
        (12, "<u2", 63536, ("US", 63536)),
        (12, "<i2", -3000, ("SS", -3000)),
        (12, "<u2", 0, ("US", 0)),
    ],
)
def test_padding_is_air_also_where_it_has_more_bits_than_pixels(
    ct: Write, bits_stored: int, dtype: str, value: int, tag: tuple[str, int]
) -> None:
    edit = stored_as(with_rim(value, dtype), BitsStored=bits_stored, HighBit=bits_stored - 1)

    def pad(dataset: Dataset, number: int) -> None:
        edit(dataset, number)
        dataset.add_new("PixelPaddingValue", *tag)

    volume = read(ct(edit=pad))
    assert (volume.voxels_DHW[:, 0] == HU_FLOOR).all()
    assert volume.voxels_DHW[:, 1:].tolist() == [scene(number)[1:].tolist() for number in range(7)]


def test_a_range_of_padding_is_padding_as_a_whole(ct: Write) -> None:
    edit = stored_as(
        lambda number: np.where(np.arange(8) < 2, 60000 + np.arange(8), with_rim(0, "<u2")(number)).astype("<u2")
    )

    def pad(dataset: Dataset, number: int) -> None:
        edit(dataset, number)
        dataset.add_new("PixelPaddingValue", "US", 60001)
        dataset.add_new("PixelPaddingRangeLimit", "US", 60000)

    volume = read(ct(edit=pad))
    assert (volume.voxels_DHW[:, :, :2] == HU_FLOOR).all()
    assert volume.voxels_DHW[3, 1:, 2:].tolist() == scene(3)[1:, 2:].tolist()


@pytest.mark.parametrize(("slope", "intercept"), [(100, 0), (1, 33000), (1, -40000), (1e300, 0)])
def test_hu_beyond_16_bits_are_refused_and_never_wrapped(ct: Write, slope: float, intercept: float) -> None:
    (series,), _ = find_series(
        ct(edit=stored_as(lambda number: (scene(number) + 1024).astype("<i2")), slope=slope, intercept=intercept)
    )
    with pytest.raises(SeriesError, match="IMPLAUSIBLE_HU"):
        read_series(series)


def test_plain_and_compressed_slices_of_one_series_are_read_alike(ct: Write) -> None:
    def every_second(dataset: Dataset, number: int) -> None:
        if number % 2:
            dataset.compress(RLELossless)

    mixed, plain = read(ct("mixed", edit=every_second)), read(ct("plain"))
    np.testing.assert_array_equal(mixed.voxels_DHW, plain.voxels_DHW)


def test_an_odd_number_of_bytes_is_padded_to_an_even_one(ct: Write) -> None:
    def stored(number: int) -> np.ndarray:
        return ((scene(number)[:5, :7] + 1024) // 8).clip(0, 255).astype("u1")

    def odd(dataset: Dataset, number: int) -> None:
        stored_as(stored)(dataset, number)
        dataset.PixelData += b"\0"

    volume = read(ct(edit=odd, slope=8, intercept=-1024))
    np.testing.assert_array_equal(volume.voxels_DHW, expected(volume, stored, 8, -1024))


def test_a_file_that_was_written_again_between_header_and_pixels_is_refused(ct: Write, monkeypatch) -> None:
    from fedlung.ct import voxels

    folder = ct()
    (series,), _ = find_series(folder)
    audit = voxels.ContentAudit

    def touch(headers: object) -> object:
        os.utime(folder / "1-004", ns=(1, 1))
        return audit(headers)

    monkeypatch.setattr(voxels, "ContentAudit", touch)
    with pytest.raises(SeriesError, match="FILES_CHANGED"):
        read_series(series)
