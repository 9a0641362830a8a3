"""An encrypted store: who may open it, what stands in its files, and what is refused when somebody edits them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedlung.ct.geometry import Geometry
from fedlung.ct.nodule import Nodule
from fedlung.ct.series import LeftOut
from fedlung.errors import StoreError
from fedlung.preprocess.case import Case, Remark
from fedlung.preprocess.sealed import SealedArray
from fedlung.preprocess.store import CaseStore
from fedlung.preprocess.vault import DAMAGED

FINGERPRINT = "pipeline-version=2"
SECRET, OTHER = b"a site's own secret", b"another site's secret"
CASE_ID = "0a" * 16
SHAPE = (9, 200, 300)


def make_case(case_id: str = CASE_ID, seed: int = 0) -> Case:
    """An image of two chunks, a mask of one."""
    rng = np.random.default_rng(seed)
    return Case(
        case_id=case_id,
        patient_key="ff" * 16,
        image_DHW=rng.integers(-1000, 400, SHAPE, dtype=np.int16),
        lung_DHW=rng.random(SHAPE) > 0.5,
        geometry=Geometry(SHAPE, (1.25, 1.25, 1.25), (0.0, 0.0, 0.0)),
        nodules=(Nodule((0.5, 1.5, 2.5), 7.25, 3, 3.5, 5.0), Nodule((0.0, 0.0, 1.0), 4.0)),
        manufacturer="PLANTED-MAKER",
        kernel="B30f",
        image_digest="d1" * 32,
    )


def open_store(tmp_path: Path, secret: bytes | None = SECRET) -> CaseStore:
    return CaseStore.open(tmp_path / "store", FINGERPRINT, secret=secret)


@pytest.fixture
def store(tmp_path: Path) -> CaseStore:
    store = open_store(tmp_path)
    store.add(make_case(), made_from="f0")
    return store


def test_a_case_comes_back_bit_by_bit_and_is_read_lazily(tmp_path: Path, store: CaseStore) -> None:
    case, back = make_case(), open_store(tmp_path).load(CASE_ID)
    for name in ("image_DHW", "lung_DHW"):
        array = getattr(back, name)
        assert isinstance(array, SealedArray)
        np.testing.assert_array_equal(array[2:4, 10:20, ::7], getattr(case, name)[2:4, 10:20, ::7])
        np.testing.assert_array_equal(np.asarray(array), getattr(case, name))
    assert repr(replace(back, image_DHW=None, lung_DHW=None)) == repr(replace(case, image_DHW=None, lung_DHW=None))
    assert (store.made_from(CASE_ID), store.case_ids) == ("f0", (CASE_ID,))


def test_a_volume_is_decrypted_into_a_buffer_of_the_caller(store: CaseStore) -> None:
    image_DHW, out = store.load(CASE_ID).image_DHW, np.zeros(SHAPE, dtype=np.int16)
    image_DHW.read_into(out)
    np.testing.assert_array_equal(out, make_case().image_DHW)
    for wrong in (out[1:], out.astype(np.int32), out.transpose(0, 2, 1)):
        with pytest.raises(ValueError, match="expected a contiguous int16"):
            image_DHW.read_into(wrong)


def test_what_was_read_cannot_change_what_is_read_later(store: CaseStore) -> None:
    image_DHW = store.load(CASE_ID).image_DHW
    image_DHW[0][:] = 77
    np.testing.assert_array_equal(image_DHW[0], make_case().image_DHW[0])


def test_no_word_of_a_case_or_of_the_ledger_can_be_read_in_the_files(store: CaseStore) -> None:
    store.write_ledger([LeftOut("ab12", "NOT_DICOM", "/home/PLANTED/1.dcm", "Ask PLANTED.", 7)])
    store.annotate(CASE_ID, (), remarks=[Remark("", "LUNGS_NOT_FOUND", "PLANTED", "Look at it.")])
    store.choose([CASE_ID])
    files = [path for path in store.folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert len(files) == 6
    for path in files:
        content = path.read_bytes()
        assert not any(
            word in content for word in (b"PLANTED", b"NOT_DICOM", b"LUNGS", b"ff" * 16, b"nodules", b"B30f")
        )


@pytest.mark.parametrize(
    ("made", "opened", "words"),
    [
        (SECRET, None, "is encrypted, and encryption is not asked for. Set encrypt = true"),
        (None, SECRET, "is not encrypted, and encryption is asked for. Delete the folder"),
        (SECRET, OTHER, "encrypted with another key, or its store.json was changed"),
    ],
)
def test_a_store_opens_only_as_it_was_made(tmp_path: Path, made, opened, words: str) -> None:
    open_store(tmp_path, made)
    with pytest.raises(StoreError, match=words) as refusal:
        open_store(tmp_path, opened)
    assert str(tmp_path) in str(refusal.value) and str(tmp_path) not in refusal.value.public


def test_an_edited_header_is_refused(tmp_path: Path, store: CaseStore) -> None:
    """Somebody passes cases of other settings off as these."""
    header = store.folder / "store.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "fingerprint": "pipeline-version=3"}))
    with pytest.raises(StoreError, match=r"its store\.json was changed"):
        CaseStore.open(store.folder, "pipeline-version=3", secret=SECRET)


@pytest.mark.parametrize("kind", ["image", "lung", "fields"])
@pytest.mark.parametrize("place", [9, 60, -3000, -1])
def test_a_flipped_bit_in_any_file_of_a_case_is_refused(store: CaseStore, kind: str, place: int) -> None:
    path = store.folder / "cases" / f"{CASE_ID}.{kind}.sealed"
    data = bytearray(path.read_bytes())
    data[max(place, -len(data))] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match=kind) as refusal:
        case = store.load(CASE_ID)
        np.asarray(case.image_DHW), np.asarray(case.lung_DHW)
    assert refusal.value.public == DAMAGED


def test_a_slice_that_does_not_touch_a_damaged_chunk_is_still_read(store: CaseStore) -> None:
    path = store.folder / "cases" / f"{CASE_ID}.image.sealed"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    image_DHW = store.load(CASE_ID).image_DHW
    np.testing.assert_array_equal(image_DHW[:8], make_case().image_DHW[:8])
    with pytest.raises(StoreError, match=r"chunk 1 .of 2. that does not open"):
        image_DHW[8]


@pytest.mark.parametrize("kind", ["image", "lung"])
def test_an_array_of_the_cases_own_past_is_refused(store: CaseStore, kind: str) -> None:
    path = store.folder / "cases" / f"{CASE_ID}.{kind}.sealed"
    old = path.read_bytes()
    store.add(make_case(seed=1))
    path.write_bytes(old)
    with pytest.raises(StoreError, match="an old copy was put back"):
        store.load(CASE_ID)


def test_a_whole_case_of_its_own_past_is_refused_among_those_that_were_chosen(store: CaseStore, tmp_path: Path) -> None:
    """Each of its files is genuine; the list of the last preparation says that they are not the newest."""
    shutil.copytree(store.folder / "cases", tmp_path / "yesterday")
    store.add(make_case(seed=1))
    store.choose([CASE_ID])
    assert store.load_chosen() is not None
    shutil.copytree(tmp_path / "yesterday", store.folder / "cases", dirs_exist_ok=True)
    with pytest.raises(StoreError, match="an old copy was put back"):
        store.load_chosen()


def test_files_of_another_case_or_another_sites_store_are_refused(store: CaseStore, tmp_path: Path) -> None:
    store.add(make_case("0b" * 16))
    cases = store.folder / "cases"
    shutil.copy(cases / f"{'0b' * 16}.image.sealed", cases / f"{CASE_ID}.image.sealed")
    with pytest.raises(StoreError, match=f"is image {'0b' * 16}, expected image {CASE_ID}"):
        store.load(CASE_ID)
    other = CaseStore.open(tmp_path / "other", FINGERPRINT, secret=OTHER)
    other.add(make_case())
    shutil.copytree(other.folder / "cases", cases, dirs_exist_ok=True)
    with pytest.raises(StoreError, match="encrypted with another key"):
        store.load(CASE_ID)


def test_new_annotations_write_no_voxel_and_keep_the_case_whole(store: CaseStore) -> None:
    image = store.folder / "cases" / f"{CASE_ID}.image.sealed"
    before = image.read_bytes()
    moved = Nodule((9.0, 9.0, 9.0), 3.0)
    store.annotate(CASE_ID, [moved], remarks=[])
    assert repr(store.load(CASE_ID).nodules) == repr((moved,))
    assert image.read_bytes() == before
