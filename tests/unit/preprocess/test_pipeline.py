from __future__ import annotations

import shutil
import threading
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedlung.config import PrepareConfig
from fedlung.ct.annotations import AnnotationSource
from fedlung.ct.nodule import Nodule
from fedlung.errors import AnnotationError, DataError, SeriesError, StoreError
from fedlung.preprocess import pipeline
from fedlung.preprocess.prepare import keyed_name, store_fingerprint
from fedlung.preprocess.store import CaseStore

CFG = PrepareConfig(spacing_mm=8.0)
KEY = b"a site's own key"
NODULE = Nodule((85.0, 0.0, 0.0), 9.0, 4, 4.5, 5.0)
SERIES = ("1.2.3.1", "1.2.3.2", "1.2.3.3")


@pytest.fixture
def dicom(dicom_template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dicom_template, tmp_path / "PLANTED^PATH"))


@pytest.fixture
def store(tmp_path: Path) -> CaseStore:
    return CaseStore.open(tmp_path / "store", store_fingerprint(CFG))


def run(folder: Path, store: CaseStore, nodules=None, **options) -> pipeline.PrepareLedger:
    source = AnnotationSource({"1.2.3.1": (NODULE,)} if nodules is None else nodules)
    return pipeline.prepare_series(folder, source, CFG, store, site_key=KEY, device=torch.device("cpu"), **options)


def codes(ledger: pipeline.PrepareLedger) -> list[tuple[str, str]]:
    """Of what was left out."""
    return [(row.code, row.what) for row in ledger.left_out]


def remarks(ledger: pipeline.PrepareLedger) -> list[tuple[str, str]]:
    """Of what was kept."""
    return [(remark.code, remark.what) for remark in ledger.remarks]


def refuse(monkeypatch: pytest.MonkeyPatch, series_uid: str, error: Exception) -> None:
    """Reading one series fails."""
    real = pipeline.read_series

    def read(series):
        if series.series_uid == series_uid:
            raise error
        return real(series)

    monkeypatch.setattr(pipeline, "read_series", read)


def test_every_series_of_a_folder_becomes_a_case(dicom: Path, store: CaseStore) -> None:
    told: list[tuple[int, int]] = []
    ledger = run(dicom, store, progress=lambda done, total: told.append((done, total)))
    assert codes(ledger) == []
    assert (ledger.num_declared, ledger.num_readable, ledger.num_prepared) == (3, 3, 3)
    assert ledger.case_ids == store.case_ids == tuple(sorted(keyed_name(KEY, uid) for uid in SERIES))
    assert told == [(1, 3), (2, 3), (3, 3)]
    cases = [store.load(keyed_name(KEY, uid)) for uid in SERIES]
    assert cases[0].nodules == (NODULE,)
    assert cases[0].patient_key == cases[1].patient_key != cases[2].patient_key
    assert (cases[0].manufacturer, cases[0].kernel) == ("other", "")
    assert cases[0].lung_DHW[tuple(np.rint(cases[0].nodule_centers_N3[0]).astype(int))]


def test_a_second_run_reads_nothing_and_reports_the_same(dicom: Path, store: CaseStore, monkeypatch) -> None:
    nodules = {"1.2.3.1": (NODULE, replace(NODULE, center_mm=(0.0, 0.0, 0.0))), "9.9": (NODULE,)}
    first = run(dicom, store, nodules)
    monkeypatch.setattr(pipeline, "read_series", lambda series: pytest.fail("read again"))
    second = run(dicom, store, nodules)
    assert replace(second, seconds=0.0) == replace(first, seconds=0.0)
    assert codes(second) == [("ANNOTATED_BUT_NOT_FOUND", "9.9")]
    assert remarks(second) == [("NODULE_OUTSIDE_LUNG", "1.2.3.1")]


def test_what_is_odd_about_a_case_that_is_kept_leaves_nothing_out(dicom: Path, store: CaseStore) -> None:
    """The middle of the chest is no lung, and 900 mm beside it is no chest."""
    odd = tuple(replace(NODULE, center_mm=(x, 0.0, 0.0)) for x in (0.0, 900.0))
    ledger = run(dicom, store, {"1.2.3.1": (NODULE, *odd)})
    assert (ledger.num_declared, ledger.num_prepared, ledger.left_out) == (3, 3, ())
    assert remarks(ledger) == [("NODULE_OFF_GRID", "1.2.3.1"), ("NODULE_OUTSIDE_LUNG", "1.2.3.1")]
    assert store.left_out == ()


def test_every_declared_series_is_a_case_or_one_row_whatever_else_lies_there(dicom: Path, store: CaseStore) -> None:
    (dicom / "s2" / "20.dcm").unlink()
    (dicom / "notes.txt").write_text("no DICOM")
    ledger = run(dicom, store, {"1.2.3.1": (NODULE,), "no-uid": (NODULE,)})
    series = [row.what for row in ledger.left_out if row.is_series]
    assert series == ["1.2.3.2", "no-uid"]
    assert (ledger.num_declared, ledger.num_prepared) == (4, 2)
    assert [(row.code, row.num_files) for row in ledger.left_out if not row.is_series] == [("NOT_DICOM", 1)]


def test_a_stopped_run_goes_on_where_it_was(dicom: Path, store: CaseStore, monkeypatch) -> None:
    run(dicom, store, select=frozenset({"1.2.3.2"}))
    read: list[str] = []
    real = pipeline.read_series
    monkeypatch.setattr(pipeline, "read_series", lambda series: (read.append(series.series_uid), real(series))[1])
    assert run(dicom, store).num_prepared == 3
    assert read == ["1.2.3.1", "1.2.3.3"]


def test_a_corrected_annotation_reaches_a_stored_case_without_its_pixels(dicom, store, monkeypatch) -> None:
    run(dicom, store)
    monkeypatch.setattr(pipeline, "read_series", lambda series: pytest.fail("read again"))
    moved = replace(NODULE, center_mm=(-85.0, 4.0, 8.0))
    run(dicom, store, {"1.2.3.2": (moved,)})
    assert store.load(keyed_name(KEY, "1.2.3.1")).nodules == ()
    assert store.load(keyed_name(KEY, "1.2.3.2")).nodules == (moved,)


def test_series_of_other_sites_are_neither_cases_nor_rows(dicom: Path, store: CaseStore) -> None:
    ledger = run(dicom, store, select=frozenset({"1.2.3.3"}))
    assert codes(ledger) == []
    assert (ledger.num_declared, ledger.num_prepared) == (1, 1)
    assert ledger.case_ids == (keyed_name(KEY, "1.2.3.3"),)


def test_a_damaged_file_that_no_uid_names_is_a_row_whatever_is_selected(dicom: Path, store: CaseStore) -> None:
    (dicom / "lesion.nii").write_bytes(b"torn")
    ledger = run(dicom, store, select=frozenset({"1.2.3.3"}))
    (row,) = ledger.left_out
    assert row.is_series
    assert "lesion" in row.what
    assert (ledger.num_declared, ledger.num_prepared) == (2, 1)


def test_a_case_of_an_earlier_table_is_not_in_the_ledgers_cases(dicom: Path, store: CaseStore) -> None:
    run(dicom, store)
    assert run(dicom, store, select=frozenset({"1.2.3.3"})).case_ids == (keyed_name(KEY, "1.2.3.3"),)


def test_what_is_declared_and_absent_is_a_row(dicom: Path, store: CaseStore) -> None:
    ledger = run(dicom, store, {"8.8": (NODULE,), "7.7": (NODULE,)}, select=frozenset({"1.2.3.3", "9.9", "8.8"}))
    assert codes(ledger) == [("SELECTED_BUT_NOT_FOUND", "8.8"), ("SELECTED_BUT_NOT_FOUND", "9.9")]
    ledger = run(dicom, store, {"8.8": (NODULE,)})
    assert codes(ledger) == [("ANNOTATED_BUT_NOT_FOUND", "8.8")]
    assert "8.8" not in ledger.left_out[0].sentence
    assert (ledger.num_declared, ledger.num_readable) == (4, 3)


def test_a_series_with_a_missing_slice_is_one_row_and_stops_nothing(dicom: Path, store: CaseStore) -> None:
    (dicom / "s2" / "20.dcm").unlink()
    ledger = run(dicom, store)
    (row,) = ledger.left_out
    assert row.what == "1.2.3.2"
    assert (ledger.num_declared, ledger.num_readable, ledger.num_prepared) == (3, 2, 2)
    assert [kept.code for kept in store.left_out] == [row.code]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SeriesError("PIXELDATA_SHORT", "torn", remedy="Copy it again."), "PIXELDATA_SHORT"),
        (AnnotationError("no such series in LIDC"), "ANNOTATION_ERROR"),
        (ZeroDivisionError("surprise"), "UNEXPECTED_ZeroDivisionError"),
    ],
)
def test_an_error_on_one_study_is_a_row_and_stops_nothing(dicom, store, monkeypatch, caplog, error, code) -> None:
    refuse(monkeypatch, "1.2.3.1", error)
    ledger = run(dicom, store)
    assert codes(ledger) == [(code, "1.2.3.1")]
    assert (ledger.num_declared, ledger.num_readable, ledger.num_prepared) == (3, 2, 2)
    (row,) = ledger.left_out
    assert row.sentence in str(error)
    assert f"{keyed_name(KEY, '1.2.3.1')}: {code}" in caplog.text
    assert [str(error) in text for text in ledger.tracebacks] == [True] * code.startswith("UNEXPECTED")


def test_the_log_has_codes_and_keyed_names_and_no_name(dicom: Path, store: CaseStore, monkeypatch, caplog) -> None:
    (dicom / "PLANTED.txt").write_text("no DICOM")
    refuse(monkeypatch, "1.2.3.2", ZeroDivisionError("PLANTED"))
    run(dicom, store, {"1.2.3.1": (replace(NODULE, center_mm=(900.0, 0.0, 0.0)),), "1.2.3.99": (NODULE,)})
    for code in ("NOT_DICOM, 1 files", "NODULE_OFF_GRID", "ANNOTATED_BUT_NOT_FOUND", "ZeroDivisionError"):
        assert code in caplog.text
    for planted in ("PLANTED", "1.2.3.", str(dicom)):
        assert planted not in caplog.text


def test_a_series_that_changed_on_disk_is_prepared_again(dicom: Path, store: CaseStore) -> None:
    """A new export under the same UID: the same files by name and size, and another pixel."""
    before = {case_id: store.load(case_id).image_digest for case_id in run(dicom, store).case_ids}
    changed = dicom / "s2" / "10.dcm"
    content = bytearray(changed.read_bytes())
    for low_byte in range(len(content) - 2000, len(content), 2):
        content[low_byte] ^= 0x40  # 64 HU
    changed.write_bytes(content)
    after = {case_id: store.load(case_id).image_digest for case_id in run(dicom, store).case_ids}
    assert {case_id for case_id in before if before[case_id] != after[case_id]} == {keyed_name(KEY, "1.2.3.2")}


def test_a_full_disk_stops_the_run(dicom: Path, store: CaseStore, monkeypatch) -> None:
    def full(*_, **__):
        raise StoreError("cannot be written")

    monkeypatch.setattr(CaseStore, "add", full)
    with pytest.raises(StoreError, match="cannot be written"):
        run(dicom, store)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def _bytes_of(store: CaseStore, uid: str) -> tuple[bytes, bytes]:
    case = store.load(keyed_name(KEY, uid))
    return np.asarray(case.image_DHW).tobytes(), np.asarray(case.lung_DHW).tobytes()


@pytest.mark.parametrize("part", ["image", "lung", "fields"])
@pytest.mark.parametrize("secret", [None, b"s" * 32])
def test_a_damaged_case_is_made_anew_and_told_once(dicom: Path, tmp_path: Path, part: str, secret) -> None:
    store = CaseStore.open(tmp_path / "either", store_fingerprint(CFG), secret=secret)
    run(dicom, store)
    whole = _bytes_of(store, "1.2.3.2")
    (path,) = [
        path
        for path in (store.folder / "cases").glob(f"{keyed_name(KEY, '1.2.3.2')}.*")
        if (part in path.name) or (part == "fields" and path.suffix == ".json")
    ]
    _cut(path)
    ledger = run(dicom, store)
    assert remarks(ledger) == [("CASE_REMADE", "1.2.3.2")]
    assert (ledger.num_declared, ledger.num_readable, ledger.num_prepared, ledger.left_out) == (3, 3, 3, ())
    assert _bytes_of(store, "1.2.3.2") == whole
    assert remarks(run(dicom, store)) == []


def test_an_encrypted_case_whose_header_or_end_changed_is_made_anew(dicom: Path, tmp_path: Path) -> None:
    store = CaseStore.open(tmp_path / "sealed", store_fingerprint(CFG), secret=b"s" * 32)
    run(dicom, store)
    _flip(store.folder / "cases" / f"{keyed_name(KEY, '1.2.3.1')}.image.sealed", 20)
    _flip(store.folder / "cases" / f"{keyed_name(KEY, '1.2.3.2')}.lung.sealed", -20)
    assert remarks(run(dicom, store)) == [("CASE_REMADE", "1.2.3.1"), ("CASE_REMADE", "1.2.3.2")]


def test_a_voxel_that_changed_is_found_when_every_voxel_is_looked_at(dicom: Path, store: CaseStore) -> None:
    run(dicom, store)
    whole = _bytes_of(store, "1.2.3.3")
    _flip(store.folder / "cases" / f"{keyed_name(KEY, '1.2.3.3')}.image.npy", 1000)
    assert remarks(run(dicom, store)) == []
    assert remarks(run(dicom, store, verify=True)) == [("CASE_REMADE", "1.2.3.3")]
    assert _bytes_of(store, "1.2.3.3") == whole
    assert remarks(run(dicom, store, verify=True)) == []


def test_two_volumes_are_held_at_most_and_the_next_is_read_meanwhile(dicom, store, monkeypatch) -> None:
    alive: set[str] = set()
    peak, threads = [], set()
    real = pipeline.read_series

    def read(series):
        volume = real(series)
        alive.add(series.series_uid)
        weakref.finalize(volume, alive.discard, series.series_uid)
        peak.append(len(alive))
        threads.add(threading.current_thread().name)
        return volume

    monkeypatch.setattr(pipeline, "read_series", read)
    run(dicom, store)
    assert max(peak) <= 2
    assert all(name.startswith("read-ahead") for name in threads)


def test_a_store_of_another_configuration_is_refused(dicom: Path, tmp_path: Path) -> None:
    other = CaseStore.open(tmp_path / "other", store_fingerprint(PrepareConfig(spacing_mm=4.0)))
    with pytest.raises(StoreError, match="another configuration"):
        run(dicom, other)


def test_a_folder_that_does_not_exist_is_a_data_error_without_its_path(tmp_path: Path, store: CaseStore) -> None:
    with pytest.raises(DataError) as refused:
        run(tmp_path / "nowhere", store)
    assert "nowhere" in str(refused.value)
    assert "nowhere" not in refused.value.public


def test_no_name_uid_or_path_is_in_any_byte_of_the_store(dicom: Path, store: CaseStore) -> None:
    """The patients' and the folder's names are planted; UIDs are long enough here not to turn up by chance."""
    (dicom / "s2" / "20.dcm").unlink()
    (dicom / "PLANTED.txt").write_text("no DICOM")
    run(dicom, store, {"1.2.3.1": (NODULE, replace(NODULE, center_mm=(900.0, 0.0, 0.0))), "1.2.3.99": (NODULE,)})
    files = [path for path in store.folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert len(files) == 2 + 2 * 3
    for path in files:
        content = path.read_bytes() + str(path.relative_to(store.folder)).encode()
        for planted in (b"PLANTED", b"1.2.3.", b".dcm", b"PLANTED".hex().encode()):
            assert planted not in content, (path, planted)
