"""Killed anywhere, refused by a full disk anywhere, or shared by two processes: a store holds whole cases only."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fedlung.ct.geometry import Geometry
from fedlung.errors import StoreError
from fedlung.preprocess.case import Case
from fedlung.preprocess.store import CaseStore

FINGERPRINT = "pipeline-version=2"
SECRETS = pytest.mark.parametrize("secret", [None, b"a site's own key"], ids=["plain", "encrypted"])
SHAPE = (4, 40, 50)


def case_named(name: str, value: int = 1) -> Case:
    image = np.full(SHAPE, value, dtype=np.int16)
    return Case(name, "p" * 32, image, image > 0, Geometry(SHAPE, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)), ())


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("plain", "replaced"),
        ("encrypted", "new"),
        pytest.param("plain", "new", marks=pytest.mark.slow),
        pytest.param("encrypted", "replaced", marks=pytest.mark.slow),
    ],
)
def test_a_store_survives_being_killed_before_any_step(tmp_path: Path, kind: str, state: str) -> None:
    """Some seconds: a process that imports torch and forks before each of some 55 steps."""
    script = Path(__file__).with_name("crash_at_every_step.py")
    alone = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    words = [sys.executable, str(script), str(tmp_path / "store"), kind, state]
    done = subprocess.run(words, capture_output=True, text=True, env=alone, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40, "fewer steps than a store has files and names"


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file grows beyond a part of what an image needs: the kernel refuses in the middle of it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(num_bytes: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@SECRETS
@pytest.mark.parametrize("room", [0, 40, 300, 1000, 8500, 15_000])
def test_a_disk_that_is_full_leaves_no_part_of_a_case_and_a_store_that_goes_on(
    tmp_path: Path, full_disk, secret: bytes | None, room: int
) -> None:
    """An image needs 16,000 bytes, a mask 8,000, the fields some 600."""
    store = CaseStore.open(tmp_path / "store", FINGERPRINT, secret=secret)
    store.add(case_named("a" * 32))
    full_disk(room)
    with pytest.raises(StoreError, match="make room") as refusal:
        store.add(case_named("b" * 32))
    assert refusal.value.public == "the site's case store cannot be written"
    full_disk(resource.RLIM_INFINITY)
    again = CaseStore.open(tmp_path / "store", FINGERPRINT, secret=secret)
    assert again.case_ids == ("a" * 32,)
    assert len(list((tmp_path / "store" / "cases").iterdir())) == 3
    again.add(case_named("b" * 32))
    np.testing.assert_array_equal(np.asarray(again.load("b" * 32).image_DHW), case_named("").image_DHW)


@SECRETS
def test_a_store_that_a_full_disk_did_not_let_begin_begins_later(tmp_path: Path, full_disk, secret) -> None:
    full_disk(10)
    with pytest.raises(StoreError, match="make room"):
        CaseStore.open(tmp_path / "store", FINGERPRINT, secret=secret)
    full_disk(resource.RLIM_INFINITY)
    assert CaseStore.open(tmp_path / "store", FINGERPRINT, secret=secret).case_ids == ()


def _adds(folders: dict[Path, bytes | None], value: int) -> None:
    for folder, secret in folders.items():
        store = CaseStore.open(folder, FINGERPRINT, secret=secret)
        for _ in range(8):
            store.add(case_named("a" * 32, value), made_from=str(value))
            CaseStore.open(folder, FINGERPRINT, secret=secret)  # clears away, and must not clear the other's work


def test_two_processes_may_fill_one_store_and_read_it_meanwhile(tmp_path: Path) -> None:
    """Some seconds, most of them two imports of torch."""
    folders = {tmp_path / "plain": None, tmp_path / "encrypted": b"a site's own key"}
    stores = [CaseStore.open(folder, FINGERPRINT, secret=secret) for folder, secret in folders.items()]
    spawned = multiprocessing.get_context("spawn")
    others = [spawned.Process(target=_adds, args=(folders, value)) for value in (1, 2)]
    for other in others:
        other.start()
    while any(other.is_alive() for other in others):
        for other in others:
            other.join(timeout=0.02)
        for store in stores:
            if "a" * 32 in store:
                _reads_one_or_the_other(store)
    assert [other.exitcode for other in others] == [0, 0]
    assert all("a" * 32 in store for store in stores)


def _reads_one_or_the_other(store: CaseStore) -> None:
    try:
        image_DHW = np.asarray(store.load("a" * 32).image_DHW)
    except StoreError as error:
        assert "is not in the store" in str(error)  # it was just being replaced
        return
    assert image_DHW.min() == image_DHW.max() and image_DHW.max() in (1, 2)


@SECRETS
def test_arrays_that_no_case_owns_are_cleared_away(tmp_path: Path, secret: bytes | None) -> None:
    store = CaseStore.open(tmp_path / "store", FINGERPRINT, secret=secret)
    for name in "ab":
        store.add(case_named(name * 32))
    (fields,) = (tmp_path / "store" / "cases").glob(f"{'a' * 32}*json" if secret is None else f"{'a' * 32}.fields*")
    fields.unlink()
    (tmp_path / "store" / "cases" / f".{'c' * 32}.image.npy.77.unfinished").write_bytes(b"half")
    again = CaseStore.open(tmp_path / "store", FINGERPRINT, secret=secret)
    assert again.case_ids == ("b" * 32,)
    assert len(list((tmp_path / "store" / "cases").iterdir())) == 3


@SECRETS
def test_a_case_that_lost_an_array_is_made_anew(tmp_path: Path, secret: bytes | None) -> None:
    store = CaseStore.open(tmp_path / "store", FINGERPRINT, secret=secret)
    store.add(case_named("a" * 32))
    next((tmp_path / "store" / "cases").glob("*.lung.*")).unlink()
    assert CaseStore.open(tmp_path / "store", FINGERPRINT, secret=secret).case_ids == ()
