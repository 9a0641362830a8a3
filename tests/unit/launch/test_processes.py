"""Children and all their descendants end with us; nobody else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fedlung.launch.processes import Children, interruptible_once, process_table

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")

WRITE_PID = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); "
SLEEPER = WRITE_PID + "time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
# As Flower does: a child in a session of its own, whose parent waits (or is gone at once, and leaves an orphan).
DETACHER = (
    "import subprocess, sys, time; "
    "subprocess.Popen([sys.executable, '-c', sys.argv[2], sys.argv[1]], start_new_session=True); time.sleep({})"
)


def wait_for(path: Path, until: Callable[[], bool] = lambda: True) -> int:
    deadline = time.monotonic() + 20
    while not (path.is_file() and path.read_text() and until()):
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)
    return int(path.read_text())


def is_alive(pid: int) -> bool:
    return pid in process_table()


@pytest.mark.parametrize("program", [SLEEPER, STUBBORN], ids=["polite", "deaf to SIGTERM"])
def test_a_child_is_stopped(tmp_path: Path, program: str) -> None:
    with Children(dict(os.environ), grace_s=0.3) as children:
        children.start([sys.executable, "-c", program, str(tmp_path / "pid")], output=subprocess.DEVNULL)
        pid = wait_for(tmp_path / "pid")
        assert is_alive(pid)
    assert not is_alive(pid)


@pytest.mark.parametrize("parent_lives_s", [60, 0], ids=["with its parent", "orphaned"])
def test_a_grandchild_in_its_own_session_is_stopped(tmp_path: Path, parent_lives_s: int) -> None:
    with Children(dict(os.environ), grace_s=0.5) as children:
        command = [sys.executable, "-c", DETACHER.format(parent_lives_s), str(tmp_path / "pid"), SLEEPER]
        child = children.start(command, output=subprocess.DEVNULL)
        pid = wait_for(tmp_path / "pid", until=lambda: parent_lives_s > 0 or child.poll() is not None)
        assert {one.pid for one in children.family()} >= {pid}
    assert not is_alive(pid)


def test_a_process_of_another_launch_is_left_alone(tmp_path: Path) -> None:
    with Children(dict(os.environ), grace_s=0.5) as others:
        others.start([sys.executable, "-c", SLEEPER, str(tmp_path / "pid")], output=subprocess.DEVNULL)
        pid = wait_for(tmp_path / "pid")
        with Children(dict(os.environ)) as children:
            assert children.family() == set()
        assert is_alive(pid)


def test_the_children_are_stopped_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Children(dict(os.environ), grace_s=0.5) as children:
        children.start([sys.executable, "-c", SLEEPER, str(tmp_path / "pid")], output=subprocess.DEVNULL)
        pid = wait_for(tmp_path / "pid")
        raise ZeroDivisionError
    assert not is_alive(pid)


def test_sigterm_interrupts_once_and_the_cleaning_up_is_not_interrupted_again() -> None:
    before = signal.getsignal(signal.SIGTERM)
    cleaned = False
    with pytest.raises(KeyboardInterrupt), interruptible_once():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            cleaned = True
    assert cleaned and signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible_once():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
