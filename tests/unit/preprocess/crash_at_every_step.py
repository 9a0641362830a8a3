"""Run by ``test_store_crashes.py`` in a process of its own: kills a child at every step of filling a store.

A step is whatever the kernel is asked to do to a file of the store: open, write out, rename, remove, make a folder. The
child is killed right before its n-th step, for every n until one child gets through. After each the store is opened as
a new process would, must hold whole cases only, is filled again, and must then hold exactly what was to be in it.
Prints how many steps there were.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np

from fedlung.ct.geometry import Geometry
from fedlung.preprocess.case import Case
from fedlung.preprocess.store import CaseStore

FINGERPRINT = "pipeline-version=2"
NAME = "a" * 32


def case_named(name: str, value: int) -> Case:
    shape = (3, 4, 5)
    image = np.full(shape, value, dtype=np.int16)
    return Case(name, "p" * 32, image, image > 0, Geometry(shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)), ())


def fill(folder: Path, secret: bytes | None, value: int) -> CaseStore:
    store = CaseStore.open(folder, FINGERPRINT, secret=secret)
    store.add(case_named(NAME, value), made_from=str(value))
    store.annotate(NAME, (), remarks=())
    store.choose([NAME])
    return store


def values_in(store: CaseStore) -> dict[str, int]:
    """The value of each case; fails where a case is half of one and half of another."""
    values = {}
    for name in store.case_ids:
        case, made_from = store.load(name), int(store.made_from(name))
        whole = case_named(name, made_from)
        np.testing.assert_array_equal(np.asarray(case.image_DHW), whole.image_DHW)
        np.testing.assert_array_equal(np.asarray(case.lung_DHW), whole.lung_DHW)
        values[name] = made_from
    return values


def kill_before_step(number: int) -> None:
    """From here on this process counts its steps, and kills itself before the given one."""
    left = [number]

    def step() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(function):
        def call(*arguments, **options):
            step()
            return function(*arguments, **options)

        return call

    os.fsync = counted(os.fsync)
    events = {"open", "os.rename", "os.remove", "os.mkdir"}
    sys.addaudithook(lambda event, _: step() if event in events else None)


def survived(folder: Path, secret: bytes | None, value: int, number: int) -> bool:
    """Whether a child that fills the store gets through with fewer than ``number`` steps."""
    child = os.fork()
    if child == 0:
        kill_before_step(number)
        fill(folder, secret, value)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"the child failed at step {number}"
    return not os.WIFSIGNALED(status)


def count_steps(folder: Path, secret: bytes | None, earlier: int | None) -> int:
    """Kills a child before each of its steps. ``earlier``: the value of the case that the store has already, if any."""
    number, done = 0, False
    while not done:
        number += 1
        shutil.rmtree(folder, ignore_errors=True)
        if earlier is not None:
            fill(folder, secret, earlier)
        done = survived(folder, secret, 7, number)
        store = CaseStore.open(folder, FINGERPRINT, secret=secret)
        assert set(values_in(store).values()) <= {7, earlier}, f"step {number}"
        fill(folder, secret, 7)
        assert values_in(store) == {NAME: 7}, f"step {number}"
        assert len(store.load_chosen() or ()) == 1
        leftovers = [path.name for path in folder.rglob("*unfinished*")]
        assert not leftovers, f"step {number} left {leftovers}"
        assert len(list((folder / "cases").iterdir())) == 3, f"step {number}"
    return number


if __name__ == "__main__":
    os.fsync = lambda descriptor: None  # what was written outlives the process; only a power cut would need the disk
    key = b"a site's own key" if sys.argv[2] == "encrypted" else None
    counts = [count_steps(Path(sys.argv[1]), key, 5 if state == "replaced" else None) for state in sys.argv[3:]]
    sys.stdout.write(" ".join(map(str, counts)))
