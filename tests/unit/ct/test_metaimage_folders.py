"""Folders with MetaImage and NIfTI files: no file is lost, none counts twice, and no two scans share a name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from fedlung.ct import find_series, read_series
from fedlung.errors import SeriesError

UID = "1.2.826.0.1.3680043.8.498.20.1"
"""Of the series that ``ct`` writes."""


def _write(path: Path, *, last_hu: int | None = None, offset_hu: int = 0) -> None:
    """A scan by SimpleITK; ``last_hu`` fills its last slice and a half."""
    values = np.random.default_rng(0).integers(-1000, 400, (5, 64, 64)).astype(np.int16)
    if last_hu is not None:
        values.reshape(-1)[-64 * 96 :] = last_hu
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values + np.int16(offset_hu)), str(path))


def _codes(folder: Path) -> dict[str, int]:
    return {row.code: row.num_files for row in find_series(folder)[1]}


def test_a_data_file_is_its_headers_and_an_orphan_is_no_dicom(tmp_path: Path) -> None:
    _write(tmp_path / "a.mhd")
    _write(tmp_path / "sub" / "b.nii.gz")
    (tmp_path / "orphan.raw").write_bytes(bytes(1000))
    series, left_out = find_series(tmp_path)
    assert [(one.series_uid, one.form, one.num_files) for one in series] == [("a", "metaimage", 2), ("b", "nifti", 1)]
    assert [(row.code, row.num_files) for row in left_out] == [("NOT_DICOM", 1)]
    assert [read_series(one).series_uid for one in series] == ["a", "b"]


def test_a_refused_header_takes_its_data_file_along(tmp_path: Path) -> None:
    _write(tmp_path / "a.mhd")
    (tmp_path / "a.mhd").write_text((tmp_path / "a.mhd").read_text().replace("Offset", "Comment"))
    assert _codes(tmp_path) == {"NO_POSITION": 2}


def test_a_header_that_names_a_dicom_slice_does_not_take_it_from_its_series(ct: Callable[..., Path]) -> None:
    folder = ct(num_slices=5)
    _write(folder / "a.mhd")
    text = (folder / "a.mhd").read_text()
    (folder / "a.raw").unlink()
    slice_name = next(path.name for path in folder.iterdir() if path.suffix == "")
    (folder / "a.mhd").write_text(text.replace("a.raw", slice_name))
    series, left_out = find_series(folder)
    assert [one.num_slices for one in series] == [5]
    assert [row.what for row in left_out] == ["a"]


def test_two_files_of_one_name_are_both_left_out(tmp_path: Path) -> None:
    _write(tmp_path / "patient1" / "ct.nii.gz")
    _write(tmp_path / "patient2" / "ct.nii.gz")
    _write(tmp_path / "patient2" / "other.nii.gz")
    series, left_out = find_series(tmp_path)
    assert [one.series_uid for one in series] == ["other"]
    assert [row.code for row in left_out] == ["SAME_NAME", "SAME_NAME"]


def test_beside_the_dicom_series_it_was_named_after_a_metaimage_is_left_out(ct: Callable[..., Path]) -> None:
    folder = ct()
    _write(folder / f"{UID}.mhd")
    series, left_out = find_series(folder)
    assert [(one.series_uid, one.form) for one in series] == [(UID, "dicom")]
    assert [(row.what, row.code, row.num_files) for row in left_out] == [(UID, "SAME_NAME", 2)]


@pytest.mark.parametrize("name", ["a.mha", "a.nii"])
@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("TRAILING_ZERO_ROWS", {"last_hu": 0}),
        ("NOT_HOUNSFIELD", {"offset_hu": 1024}),
        ("IMPLAUSIBLE_HU", {"offset_hu": -1024}),
    ],
)
def test_values_that_are_not_what_a_ct_has_are_refused(
    tmp_path: Path, name: str, code: str, changes: dict[str, int]
) -> None:
    _write(tmp_path / name, **changes)
    (series,), _ = find_series(tmp_path)
    with pytest.raises(SeriesError, match=code):
        read_series(series)


def test_a_scan_that_ends_in_air_is_read(tmp_path: Path) -> None:
    _write(tmp_path / "a.nii", last_hu=-1000)
    (series,), _ = find_series(tmp_path)
    assert (read_series(series).voxels_DHW.reshape(-1)[-64 * 96 :] == -1000).sum() >= 64 * 64


def test_a_name_that_is_not_utf8_is_told_in_ascii(tmp_path: Path) -> None:
    _write(tmp_path / "a.mha")
    (tmp_path / "a.mha").rename(tmp_path / "a\udcff.mha")
    (series,), _ = find_series(tmp_path)
    assert series.series_uid == "a\\xff"
    assert read_series(series).voxels_DHW.shape == (5, 64, 64)
