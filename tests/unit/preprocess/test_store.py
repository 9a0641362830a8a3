from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedlung.config import PrepareConfig
from fedlung.ct.geometry import Geometry
from fedlung.ct.nodule import Nodule
from fedlung.ct.series import LeftOut
from fedlung.errors import DamagedFileError, StoreError
from fedlung.preprocess.case import Case, Remark
from fedlung.preprocess.prepare import store_fingerprint
from fedlung.preprocess.store import CaseStore

FINGERPRINT = store_fingerprint(PrepareConfig())
SOURCE = Geometry((3, 9, 9), (2.5, 0.7, 0.7), (-1.0, 2.0, 3.5))
REMARK = Remark("", "LUNGS_NOT_FOUND", "0.10 litres of air.", "Look at it.")


def make_case(case_id: str = "0a" * 16) -> Case:
    rng = np.random.default_rng(0)
    geometry = Geometry(
        (5, 6, 7), (1.25, 1.25, 1.25), (0.1, -0.2, 1 / 3), ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    )
    return Case(
        case_id=case_id,
        patient_key="ff" * 16,
        image_DHW=rng.integers(-1000, 400, geometry.shape_DHW, dtype=np.int16),
        lung_DHW=rng.random(geometry.shape_DHW) > 0.5,
        geometry=geometry,
        nodules=(Nodule((0.5, 1.5, 2.5), 7.25, 3, 3.5, 5.0), Nodule((0.0, 0.0, 1.0), 4.0)),
        manufacturer="ACME",
        kernel="B30f",
        image_digest="d1" * 32,
    )


def open_store(tmp_path: Path) -> CaseStore:
    return CaseStore.open(tmp_path / "store", FINGERPRINT)


def test_a_case_comes_back_bit_by_bit_and_mapped(tmp_path: Path) -> None:
    store, case = open_store(tmp_path), make_case()
    store.add(case, source=SOURCE, remarks=[REMARK])
    back = CaseStore.open(tmp_path / "store", FINGERPRINT).load(case.case_id)
    for name in ("image_DHW", "lung_DHW"):
        array = getattr(back, name)
        assert not array.flags.writeable
        assert not array.flags.owndata
        assert array.dtype == getattr(case, name).dtype
        np.testing.assert_array_equal(array, getattr(case, name))
    assert back.geometry == case.geometry
    assert repr(replace(back, image_DHW=None, lung_DHW=None)) == repr(replace(case, image_DHW=None, lung_DHW=None))
    assert store.source_geometry(case.case_id) == SOURCE
    assert store.remarks(case.case_id) == (replace(REMARK, what=case.case_id),)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system has no /proc to ask")
def test_loaded_cases_are_mapped_and_hold_no_file_open(tmp_path: Path) -> None:
    """With a descriptor each, 2,000 cases would not load where 1,024 files may be open, as is usual."""
    store, case = open_store(tmp_path), make_case()
    store.add(case)
    before = len(list(Path("/proc/self/fd").iterdir()))
    loaded = [store.load(case.case_id) for _ in range(2000)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert Path("/proc/self/maps").read_text().count(f"{case.case_id}.image.npy") == len(loaded)


def test_cases_are_listed_in_the_same_order_however_they_came(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for case_id in ("c" * 32, "a" * 32, "b" * 32):
        store.add(make_case(case_id))
    assert store.case_ids == ("a" * 32, "b" * 32, "c" * 32)
    assert len(store) == 3
    assert "a" * 32 in store
    assert "d" * 32 not in store


def test_new_folders_are_for_the_owner_only(tmp_path: Path) -> None:
    before = stat.S_IMODE(tmp_path.stat().st_mode)
    folder = CaseStore.open(tmp_path / "site" / "store", FINGERPRINT).folder
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder, folder / "cases")] == [0o700] * 3
    assert stat.S_IMODE(tmp_path.stat().st_mode) == before


def test_another_fingerprint_is_refused_with_the_setting_and_the_remedy(tmp_path: Path) -> None:
    open_store(tmp_path)
    other = store_fingerprint(PrepareConfig(spacing_mm=1.0, hu_max=300))
    with pytest.raises(StoreError) as refused:
        CaseStore.open(tmp_path / "store", other)
    text = str(refused.value)
    assert "spacing-mm is 1.25 in the store and 1.0 in this run" in text
    assert "hu-max is 400 in the store and 300 in this run" in text
    assert "antialias" not in text
    assert "Choose another folder" in text
    assert "delete" in text
    assert str(tmp_path) not in refused.value.public


def test_a_setting_that_only_one_side_has_is_named_too(tmp_path: Path) -> None:
    open_store(tmp_path)
    with pytest.raises(
        StoreError, match="cube is 0 in the store and 128 in this run; lung-crop is True in the store and not set"
    ):
        CaseStore.open(tmp_path / "store", store_fingerprint(PrepareConfig(cube=128)).replace("spacing-mm=1.25 ", ""))


def test_a_store_of_another_format_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    (store.folder / "store.json").write_text(json.dumps({"format": 0, "fingerprint": FINGERPRINT}))
    with pytest.raises(StoreError, match="a store of format 0"):
        open_store(tmp_path)


def test_a_folder_of_other_things_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "slice.dcm").touch()
    with pytest.raises(StoreError, match="expected a case store or an empty folder"):
        CaseStore.open(tmp_path, FINGERPRINT)


def test_a_case_without_its_last_file_is_not_there_and_can_be_written_again(tmp_path: Path) -> None:
    store, case = open_store(tmp_path), make_case()
    store.add(case)
    (store.folder / "cases" / f"{case.case_id}.json").unlink()
    assert store.case_ids == ()
    with pytest.raises(StoreError, match="is not in the store"):
        store.load(case.case_id)
    store.add(case)
    assert store.case_ids == (case.case_id,)


def test_an_array_is_kept_as_numpy_keeps_it(tmp_path: Path) -> None:
    store, case = open_store(tmp_path), make_case()
    store.add(case)
    path = store.folder / "cases" / f"{case.case_id}.image.npy"
    np.save(tmp_path / "numpys.npy", case.image_DHW)
    assert path.read_bytes() == (tmp_path / "numpys.npy").read_bytes()


@pytest.mark.parametrize("damage", ["truncated", "reshaped", "absent"])
def test_a_damaged_case_is_refused_with_words(tmp_path: Path, damage: str) -> None:
    store, case = open_store(tmp_path), make_case()
    store.add(case)
    path = store.folder / "cases" / f"{case.case_id}.image.npy"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-10])
    elif damage == "reshaped":
        np.save(path, case.image_DHW[1:])
    else:
        path.unlink()
    with pytest.raises(StoreError, match="Delete it: the next preparation makes its case anew") as refused:
        store.load(case.case_id)
    assert refused.value.public == "a file of the site's case store is damaged"


def test_new_annotations_write_no_voxel(tmp_path: Path) -> None:
    store, case = open_store(tmp_path), make_case()
    store.add(case, source=SOURCE, made_from="f0", remarks=[REMARK])
    image = store.folder / "cases" / f"{case.case_id}.image.npy"
    before = image.stat().st_mtime_ns
    moved = Nodule((9.0, 9.0, 9.0), 3.0)
    store.annotate(case.case_id, [moved], remarks=[])
    assert repr(store.load(case.case_id).nodules) == repr((moved,))
    assert store.remarks(case.case_id) == ()
    assert (store.source_geometry(case.case_id), store.made_from(case.case_id)) == (SOURCE, "f0")
    assert image.stat().st_mtime_ns == before


def test_the_ledger_keeps_codes_and_counts_and_no_sentence(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert store.left_out == ()
    store.write_ledger([LeftOut("ab12", "NOT_DICOM", "/home/MUELLER/1.dcm", "Ask MUELLER.", 7, is_series=False)])
    (row,) = CaseStore.open(store.folder, FINGERPRINT).left_out
    assert (row.what, row.code, row.num_files, row.is_series) == ("ab12", "NOT_DICOM", 7, False)
    assert b"MUELLER" not in (store.folder / "ledger.json").read_bytes()


@pytest.mark.parametrize("content", ["[]", "{}", '{"geometry": 3}', "null", "{", '{"versions": {}}'])
def test_fields_that_are_not_a_cases_are_refused_with_words(tmp_path: Path, content: str) -> None:
    store, case = open_store(tmp_path), make_case()
    store.add(case)
    (store.folder / "cases" / f"{case.case_id}.json").write_text(content)
    for read in (store.load, store.made_from, store.source_geometry, store.remarks):
        with pytest.raises(StoreError, match="Delete it"):
            read(case.case_id)


def test_a_damaged_grid_of_the_series_is_refused_with_words(tmp_path: Path) -> None:
    store, case = open_store(tmp_path), make_case()
    store.add(case, source=SOURCE)
    path = store.folder / "cases" / f"{case.case_id}.json"
    fields = json.loads(path.read_text())
    del fields["source_geometry"]["direction"]
    path.write_text(json.dumps(fields))
    with pytest.raises(DamagedFileError, match="does not hold the grid of a series"):
        store.source_geometry(case.case_id)


def test_the_chosen_cases_are_those_of_the_last_preparation(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert store.load_chosen() is None
    for name in "abc":
        store.add(make_case(name * 32))
    store.choose(["c" * 32, "a" * 32])
    assert [case.case_id for case in open_store(tmp_path).load_chosen() or ()] == ["c" * 32, "a" * 32]
