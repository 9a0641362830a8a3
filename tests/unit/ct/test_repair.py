"""What a site may ask to be mended, within which limits, and that the mended voxels are right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from fedlung.ct import LeftOut, Series, Volume, find_series, read_series
from fedlung.ct.series import Repair

Write = Callable[..., Path]
Hu = Callable[[np.ndarray], np.ndarray]
Edit = Callable[[Dataset, int], None]

STEP_MM = 2.5
CORNER_MM = np.array([-12.0, 7.0, -30.0])


def at(offset_mm: Callable[[int], tuple[float, float, float]], hu_at: Hu) -> Edit:
    """Slices truly elsewhere than on the grid: position and pixels move together."""

    def edit(dataset: Dataset, number: int) -> None:
        position = np.array(dataset.ImagePositionPatient, dtype=float) + offset_mm(number)
        dataset.ImagePositionPatient = [round(x, 6) for x in position]
        rows, columns = np.indices((dataset.Rows, dataset.Columns))
        xyz_mm = position + np.stack([columns, rows, 0 * rows], axis=-1)
        dataset.PixelData = np.rint(hu_at(xyz_mm) + 1024).astype("<u2").tobytes()

    return edit


def found(folder: Path, *repair: Repair) -> Series | LeftOut:
    series, left_out = find_series(folder, repair=frozenset(repair))
    return series[0] if series else left_out[0]


def mended(folder: Path, *repair: Repair) -> Volume:
    series = found(folder, *repair)
    assert isinstance(series, Series)
    return read_series(series)


def error_hu(volume: Volume, hu_at: Hu) -> np.ndarray:
    """(D, H, W) how far the voxels are from the truth; NaN where the grid has air that no slice covers."""
    index_N3 = np.indices(volume.voxels_DHW.shape).reshape(3, -1).T
    truth = hu_at(volume.index_to_world(index_N3)).reshape(volume.voxels_DHW.shape)
    return np.where(volume.voxels_DHW == -1024, np.nan, np.abs(volume.voxels_DHW - truth))


def test_missing_slices_lie_between_their_neighbours(ct: Write, hu_at: Hu) -> None:
    folder = ct(num_slices=35, skip={7, 15, 16})
    volume = mended(folder, "missing-slices")
    assert volume.voxels_DHW.shape == (35, 6, 8)
    assert volume.spacing_mm == pytest.approx((STEP_MM, 1.0, 1.0))
    assert np.nanmax(error_hu(volume, hu_at)) <= 0.5
    assert not np.isnan(error_hu(volume, hu_at)).any()
    assert volume.repairs == ("missing-slices",)
    assert volume.warnings == ("REPAIRED: missing slices were interpolated between their neighbours.",)


def test_uneven_steps_become_even(ct: Write, hu_at: Hu) -> None:
    uneven = at(lambda number: (0.0, 0.0, 0.3 * (number % 3)), hu_at)
    volume = mended(ct(num_slices=12, edit=uneven), "uneven-steps")
    assert volume.repairs == ("uneven-steps",)
    # Half a step of rounding on either side of what is interpolated, and of the result.
    assert np.nanmax(error_hu(volume, hu_at)) <= 1.0 + 1e-3


def test_a_tilt_of_15_degrees_is_taken_out_and_nothing_is_cut_off(ct: Write, hu_at: Hu) -> None:
    shear = float(np.tan(np.deg2rad(15.0)))
    tilted = at(lambda number: (0.0, shear * STEP_MM * number, 0.0), hu_at)
    folder = ct(num_slices=9, shape_HW=(20, 8), edit=tilted)
    row = found(folder)
    assert isinstance(row, LeftOut)
    assert (row.code, "15.0 degrees" in row.sentence) == ("TILT_OR_INPLANE_SHIFT", True)
    volume = mended(folder, "tilt")
    assert volume.voxels_DHW.shape == (9, 20 + int(np.ceil(8 * shear * STEP_MM)), 8)
    error = error_hu(volume, hu_at)
    assert np.nanmax(error) <= 1.0 + 1e-3
    # Between two pixels each slice has one row fewer than it came with.
    assert np.isnan(error).sum() == volume.voxels_DHW.size - (20 + 8 * 19) * 8
    assert volume.repairs == ("tilt",)


def test_slices_aside_are_shifted_back(ct: Write, hu_at: Hu) -> None:
    aside = at(lambda number: (1.25, -0.75, 0.0) if number == 4 else (0.0, 0.0, 0.0), hu_at)
    volume = mended(ct(num_slices=9, edit=aside), "in-plane-jitter")
    assert volume.repairs == ("in-plane-jitter",)
    assert np.nanmax(error_hu(volume, hu_at)) <= 1.0 + 1e-3
    np.testing.assert_allclose(volume.origin_mm, CORNER_MM - (0.0, 0.75, 0.0), atol=1e-6)


def test_several_repairs_go_together_and_each_must_be_asked_for(ct: Write, hu_at: Hu) -> None:
    tilted = at(lambda number: (0.0, 0.6 * number, 0.0), hu_at)
    folder = ct(num_slices=14, shape_HW=(16, 8), edit=tilted, skip={6})
    for asked in ((), ("tilt",), ("missing-slices",), ("uneven-steps", "in-plane-jitter")):
        assert isinstance(found(folder, *asked), LeftOut)
    volume = mended(folder, "tilt", "missing-slices")
    assert volume.repairs == ("tilt", "missing-slices")
    assert np.nanmax(error_hu(volume, hu_at)) <= 1.0 + 1e-3


LIMITS: dict[str, dict[str, object]] = {
    "four in a row": {"num_slices": 60, "skip": {20, 21, 22, 23}},
    "a gap of more than 10 mm": {"num_slices": 60, "step_mm": 4.0, "skip": {20, 21}},
    "more than a tenth": {"num_slices": 20, "skip": {5, 9, 13}},
}
ALL_REPAIRS: tuple[Repair, ...] = ("missing-slices", "uneven-steps", "tilt", "in-plane-jitter")


@pytest.mark.parametrize("name", LIMITS)
def test_beyond_the_limits_missing_slices_stay_a_refusal(ct: Write, name: str) -> None:
    row = found(ct(**LIMITS[name]), *ALL_REPAIRS)
    assert isinstance(row, LeftOut)
    assert row.code == "NONUNIFORM_OR_MISSING_SLICES"


@pytest.mark.parametrize(
    ("code", "offset_mm"),
    [
        ("TILT_OR_INPLANE_SHIFT", lambda number: (0.0, 2.5 * number, 0.0)),
        ("TILT_OR_INPLANE_SHIFT", lambda number: (11.0 * (number == 3), 0.0, 0.0)),
        ("NONUNIFORM_OR_MISSING_SLICES", lambda number: (0.0, 0.0, 2.1 * (number == 3))),
        ("DUPLICATE_POSITION", lambda number: (0.0, 0.0, -2.5 * (number == 3))),
    ],
    ids=["45 degrees", "11 mm aside", "steps of 0.4 mm", "a duplicate"],
)
def test_what_no_resampling_mends_is_refused_though_all_repairs_are_asked_for(
    ct: Write, hu_at: Hu, code: str, offset_mm: Callable[[int], tuple[float, float, float]]
) -> None:
    row = found(ct(edit=at(offset_mm, hu_at)), *ALL_REPAIRS)
    assert isinstance(row, LeftOut)
    assert row.code == code


def test_a_sound_series_is_not_resampled_though_all_repairs_are_asked_for(ct: Write) -> None:
    folder = ct(num_slices=9)
    assert mended(folder, *ALL_REPAIRS).repairs == ()
    np.testing.assert_array_equal(mended(folder, *ALL_REPAIRS).voxels_DHW, mended(folder).voxels_DHW)
