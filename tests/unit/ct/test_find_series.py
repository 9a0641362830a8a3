"""What a folder holds: by headers, never by names; whatever is not used is a row."""

from __future__ import annotations

import gzip
import os
import socket
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian, MediaStorageDirectoryStorage

from fedlung.ct import LeftOut, Series, find, find_series, read_series
from fedlung.errors import DataError

Write = Callable[..., Path]


def written_long_ago(folder: Path) -> None:
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))


def codes(left_out: list) -> dict[str, int]:
    counts = Counter[str]()
    for row in left_out:
        counts[row.code] += row.num_files
    return dict(counts)


def test_slices_ascend_along_the_normal_whatever_the_files_are_called(ct: Write) -> None:
    (series,), left_out = find_series(ct(num_slices=5))
    assert left_out == []
    assert series.positions_mm == pytest.approx([-30.0, -27.5, -25.0, -22.5, -20.0])
    assert [path.name for path in series.files] == ["1-005", "1-004", "1-003", "1-002", "1-001"]
    assert (series.patient_id, series.manufacturer, series.scanner_model) == ("P1", "Maker", "Model")
    assert series.num_files == 5


def test_two_series_in_one_folder_are_told_apart_by_their_uid(ct: Write) -> None:
    ct(series="2", num_slices=4)
    found, left_out = find_series(ct(series="1", num_slices=6))
    assert [series.num_files for series in found] == [6, 4]
    assert [series.series_uid for series in found] == sorted(series.series_uid for series in found)
    assert left_out == []


def test_a_series_is_found_across_sub_folders(ct: Write, tmp_path: Path) -> None:
    ct("a/b", skip={0, 2, 4, 6})
    ct("c", skip={1, 3, 5})
    (series,), _ = find_series(tmp_path)
    assert series.num_files == 7


def test_a_localizer_under_the_same_uid_is_left_out_alone(ct: Write) -> None:
    def scout_last(dataset: Dataset, number: int) -> None:
        if number == 6:
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    (series,), left_out = find_series(ct(edit=scout_last))
    assert series.num_files == 6
    assert codes(left_out) == {"LOCALIZER": 1}


def test_what_is_no_ct_image_is_counted_by_folder_and_reason(ct: Write) -> None:
    folder = ct()
    ct(series="3", edit=lambda dataset, number: setattr(dataset, "Modality", "MR"))
    (folder / "notes.txt").write_text("not DICOM")
    (folder / ".DS_Store").write_bytes(b"Bud1")
    (series,), left_out = find_series(folder)
    assert series.num_files == 7
    assert codes(left_out) == {"NOT_CT": 7, "NOT_DICOM": 2}
    assert all(row.what == str(folder) and row.remedy for row in left_out)


def test_a_dicomdir_is_an_index_and_no_slice(ct: Write) -> None:
    def index_first(dataset: Dataset, number: int) -> None:
        if number == 0:
            dataset.SOPClassUID = MediaStorageDirectoryStorage

    (series,), left_out = find_series(ct(edit=index_first))
    assert series.num_files == 6
    assert codes(left_out) == {"DICOMDIR": 1}


def test_broken_links_pipes_and_sockets_do_not_stop_the_walk(ct: Write, tmp_path: Path, monkeypatch) -> None:
    folder = ct("scan")
    (folder / "0-broken").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "0-pipe")
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("0-socket")
        (series,), left_out = find_series(tmp_path)
    assert series.num_files == 7
    assert codes(left_out) == {"NOT_A_FILE": 3}


def test_a_circle_of_links_is_walked_once(ct: Write) -> None:
    folder = ct()
    (folder / "again").symlink_to(folder, target_is_directory=True)
    (folder / "self").symlink_to(folder / "self")
    (series,), left_out = find_series(folder)
    assert series.num_files == 7
    assert codes(left_out) == {"NOT_A_FILE": 1}


@pytest.mark.parametrize("target", ["/", "..", "../elsewhere"])
def test_a_link_to_a_folder_outside_is_a_row_and_never_walked(ct: Write, target: str) -> None:
    folder = ct("scan")
    ct("elsewhere", series="2")
    (folder / "sub").mkdir()
    (folder / "sub" / "away").symlink_to(Path("..", target) if target != "/" else target, target_is_directory=True)
    (series,), (row,) = find_series(folder)
    assert (series.num_files, series.warnings) == (7, ())
    assert (row.code, row.num_files, row.is_series) == ("LINK_OUTSIDE", 1, False)
    assert row.sentence.startswith("away: a link to a folder outside")


def test_a_link_to_a_folder_inside_is_no_row_for_that_folder_is_met_by_itself(ct: Write, tmp_path: Path) -> None:
    (tmp_path / "0-first").symlink_to("scan", target_is_directory=True)
    folder = ct("scan")
    (series,), left_out = find_series(tmp_path)
    assert (series.num_files, left_out) == (7, [])
    assert {path.parent for path in series.files} == {folder}


def test_the_folder_itself_may_be_a_link_and_so_may_its_files(ct: Write, tmp_path: Path) -> None:
    objects = ct("objects")
    (tmp_path / "scan").mkdir()
    for path in objects.iterdir():
        (tmp_path / "scan" / path.name).symlink_to(path)
    (tmp_path / "mounted").symlink_to("scan", target_is_directory=True)
    (series,), left_out = find_series(tmp_path / "mounted")
    assert (series.num_files, left_out) == (7, [])


@pytest.mark.parametrize("name", [".DS_Store", ".gitkeep", "Thumbs.db", "desktop.ini"])
def test_an_empty_file_of_the_system_is_a_row_and_no_slice_that_was_lost(ct: Write, name: str) -> None:
    folder = ct()
    (folder / name).touch()
    (series,), (row,) = find_series(folder)
    assert (row.code, series.warnings) == ("EMPTY_FILE", ())


def test_names_that_are_not_utf8_are_read_and_printable(ct: Write) -> None:
    folder = ct()
    (folder / "1-001").rename(folder / os.fsdecode(b"\xff\xfe"))
    (folder / os.fsdecode(b"\xe9.txt")).write_text("no DICOM")
    (series,), (row,) = find_series(folder)
    assert series.num_files == 7
    assert row.sentence.encode("utf-8") == b"\\xe9.txt: not a DICOM file."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_row(ct: Write) -> None:
    folder = ct()
    (folder / "1-001").chmod(0)
    (series,), left_out = find_series(folder)
    assert series.num_files == 6
    assert codes(left_out) == {"UNREADABLE": 1}


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone")


def _cut_before_its_series(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def _zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _packed(path: Path) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


LOST = [
    (_empty, "EMPTY_FILE"),
    (_broken_link, "NOT_A_FILE"),
    (_cut_before_its_series, "DAMAGED_HEADER"),
    (_zeroed, "NOT_DICOM"),
    (_packed, "NOT_DICOM"),
]


@pytest.mark.parametrize(("lose", "code"), LOST)
def test_an_end_slice_that_is_lost_beside_the_others_is_a_warning_of_the_volume(ct: Write, lose, code: str) -> None:
    folder = ct("scan")
    ct("elsewhere", series="2")
    lose(folder / "1-001")
    (whole_elsewhere, shorter), (row,) = _by_size(find_series(folder.parent))
    assert (whole_elsewhere.num_slices, shorter.num_slices, row.code) == (7, 6, code)
    assert read_series(whole_elsewhere).warnings == ()
    (warning,) = read_series(shorter).warnings
    assert warning.startswith("MAYBE_TRUNCATED: 1 files beside the slices")
    assert row.remedy.startswith(("Restore the file", "Copy or export", "Nothing to do unless it should be"))


@pytest.mark.parametrize("name", ["2020 notes.txt", "._1-001", "scan.json"])
def test_a_file_that_is_not_named_as_a_slice_is_no_lost_slice(ct: Write, name: str) -> None:
    folder = ct()
    (folder / name).write_bytes(bytes(1000))
    (series,), (row,) = find_series(folder)
    assert (row.code, series.warnings) == ("NOT_DICOM", ())


def _by_size(found: tuple[list[Series], list[LeftOut]]) -> tuple[list[Series], list[LeftOut]]:
    return sorted(found[0], key=lambda one: -one.num_slices), found[1]


def test_an_end_slice_that_may_not_be_read_is_a_warning_of_the_series(ct: Write, monkeypatch) -> None:
    folder = ct()
    real = find.read_headers

    def refused(path: Path) -> object:
        if path.name == "1-001":
            raise PermissionError(path)
        return real(path)

    monkeypatch.setattr(find, "read_headers", refused)
    (series,), (row,) = find_series(folder)
    assert (row.code, series.num_slices) == ("UNREADABLE", 6)
    assert series.warnings[0].startswith("MAYBE_TRUNCATED")


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_series_uid_that_may_be_a_name_is_read_and_warned_of_without_it(ct: Write) -> None:
    folder = ct(edit=lambda dataset, number: setattr(dataset, "SeriesInstanceUID", "DOE^JANE"))
    (series,), _ = find_series(folder)
    (warning,) = read_series(series).warnings
    assert warning.startswith("INVALID_UID: ")
    assert "DOE" not in warning


@pytest.mark.parametrize("keep_bytes", [140, 200, 400])
def test_a_file_cut_off_in_its_header_is_a_row_and_its_slice_is_missed(ct: Write, keep_bytes: int) -> None:
    folder = ct()
    path = folder / "1-004"
    path.write_bytes(path.read_bytes()[:keep_bytes])
    found, left_out = find_series(folder)
    assert found == []
    assert "NONUNIFORM_OR_MISSING_SLICES" in codes(left_out)
    assert sum(row.num_files for row in left_out) == 7


def test_a_file_cut_off_in_its_pixels_condemns_the_series(ct: Write) -> None:
    folder = ct()
    path = folder / "1-004"
    path.write_bytes(path.read_bytes()[:-2])
    found, (row,) = find_series(folder)
    assert found == []
    assert (row.code, row.num_files) == ("PIXELDATA_SHORT", 7)
    assert row.sentence == "1 of 7 files end before their image does."


def test_missing_slices_are_told_with_the_gap_and_what_was_expected(ct: Write) -> None:
    _, (row,) = find_series(ct(num_slices=20, skip={8, 9}))
    assert row.code == "NONUNIFORM_OR_MISSING_SLICES"
    assert row.sentence == "2 missing slices (a gap of 7.5 mm, expected 2.5 mm)."
    assert row.what.endswith("20.1")
    assert row.num_files == 18


def test_headers_are_kept_of_files_that_were_not_written_just_now(ct: Write, monkeypatch) -> None:
    folder = ct()
    assert find_series(folder)[0][0].headers == ()
    written_long_ago(folder)
    (series,), _ = find_series(folder)
    assert [header.path for header in series.headers] == list(series.files)
    monkeypatch.setattr(find, "MAX_KEPT_HEADERS", 6)
    assert find_series(folder)[0][0].headers == ()


@pytest.mark.slow
def test_a_tree_of_a_hundred_thousand_files_is_walked_in_bounded_memory(ct: Write, tmp_path: Path) -> None:
    """500 folders of notes and of headers that are no CT, and one series in the first."""
    (mr,) = ct("mr", num_slices=1, edit=lambda dataset, number: setattr(dataset, "Modality", "MR")).iterdir()
    header = mr.read_bytes()
    for number in range(500):
        folder = tmp_path / "tree" / f"{number:04}"
        folder.mkdir(parents=True)
        for i in range(200):
            (folder / f"{i}").write_bytes(header if i % 4 == 0 else b"no DICOM")
    ct("tree/0000")
    tracemalloc.start()
    (series,), rows = find_series(tmp_path / "tree")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (series.num_files, codes(rows)) == (7, {"NOT_CT": 25_000, "NOT_DICOM": 75_000})
    assert len(rows) == 1000
    assert peak_bytes < 128 << 20


def test_progress_counts_every_file(ct: Write) -> None:
    told: list[tuple[int, int]] = []
    find_series(ct(num_slices=4), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_folder_that_does_not_exist_is_an_error_and_not_an_empty_result(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: the DICOM folder does not exist") as caught:
        find_series(tmp_path / "nowhere")
    assert str(tmp_path) not in caught.value.public


def test_headers_of_another_character_set_keep_the_patient(ct: Write) -> None:
    def german(dataset: Dataset, number: int) -> None:
        dataset.SpecificCharacterSet, dataset.PatientID = "ISO_IR 192", "Müller-1"

    (series,), _ = find_series(ct(edit=german))
    assert series.patient_id == "Müller-1"


def test_positions_are_measured_along_an_oblique_normal(ct: Write) -> None:
    tilt = np.deg2rad(20.0)
    folder = ct(orientation=(1.0, 0.0, 0.0, 0.0, float(np.cos(tilt)), float(np.sin(tilt))), num_slices=5)
    (series,), _ = find_series(folder)
    assert np.diff(series.positions_mm) == pytest.approx(np.full(4, 2.5))


def test_a_file_reached_by_several_names_is_read_once(ct: Write) -> None:
    folder = ct()
    (folder / "hard").hardlink_to(folder / "1-003")
    (folder / "soft").symlink_to(folder / "1-004")
    (series,), rows = find_series(folder)
    assert series.num_files == 7
    assert [(row.code, row.num_files, row.is_series) for row in rows] == [("DUPLICATE_COPY", 2, False)]


def test_a_slice_with_a_damaged_header_condemns_its_series_even_at_an_end(ct: Write) -> None:
    folder = ct()
    last = folder / "1-001"
    content = last.read_bytes()
    last.write_bytes(content[: content.index(b"\x28\0\x30\0") + 10])
    found, rows = find_series(folder)
    assert found == []
    assert [(row.code, row.num_files, row.is_series) for row in rows] == [
        ("DAMAGED_HEADER", 6, True),
        ("DAMAGED_HEADER", 1, False),
    ]
    assert "1 more files of the series have a damaged header" in rows[0].sentence


def test_zeros_in_the_middle_of_a_header_are_damage_and_no_defaults(ct: Write) -> None:
    folder = ct()
    path = folder / "1-001"
    content = path.read_bytes()
    start = content.index(b"\x28\0\x52\x10")
    path.write_bytes(content[:start] + bytes(24) + content[start + 24 :])
    found, left_out = find_series(folder)
    assert found == []
    assert set(codes(left_out)) == {"DAMAGED_HEADER"}


def test_slices_without_preamble_and_group_2_are_slices(ct: Write) -> None:
    folder = ct(syntax=ImplicitVRLittleEndian)
    for path in folder.iterdir():
        content = path.read_bytes()
        path.write_bytes(content[content.index(b"\x08\0\x08\0") :])
    (series,), left_out = find_series(folder)
    assert series.num_files == 7
    assert left_out == []


def test_floating_point_pixels_are_refused_by_name(ct: Write) -> None:
    def floats(dataset: Dataset, number: int) -> None:
        del dataset.PixelData
        dataset.FloatPixelData = np.zeros((6, 8), np.float32).tobytes()

    found, left_out = find_series(ct(edit=floats))
    assert found == []
    assert codes(left_out) == {"FLOAT_PIXELS": 7}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_a_row(ct: Write, tmp_path: Path) -> None:
    folder = ct("scan")
    (tmp_path / "closed").mkdir(mode=0)
    (series,), left_out = find_series(tmp_path)
    assert series.num_files == len(list(folder.iterdir()))
    assert codes(left_out) == {"UNREADABLE": 1}
