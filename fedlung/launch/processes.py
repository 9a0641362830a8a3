"""Child processes that do not outlive us, with all that they start.

Flower and Ray start processes in sessions of their own, so a process group does not reach them. Two things together
do: the tree of parents, read before anything is stopped, and a mark in the environment that every descendant inherits
(it finds those whose parent has gone; it needs Linux' /proc).
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO

MARK = "FEDLUNG_LAUNCH"
PROC = Path("/proc")
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Process:
    """A running process; ``birth`` tells it from a later one with the same number."""

    pid: int
    parent: int
    birth: str


@dataclass
class Children:
    """The processes of one launch. A context manager: on leaving, all of them are stopped."""

    environment: Mapping[str, str]
    grace_s: float = 6.0
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, command: Sequence[str], *, output: IO[bytes] | int, cwd: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a child; ``output`` takes all that it says. A Ctrl-C at the terminal reaches us alone."""
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**self.environment, MARK: self.mark},
            cwd=cwd,
            start_new_session=True,
        )
        self.started.append(child)
        return child

    def run(self, command: Sequence[str], *, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Run a short command to its end; gives its exit code and text. Raises TimeoutExpired."""
        return subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**self.environment, MARK: self.mark},
            check=False,
        )

    def family(self) -> set[Process]:
        """All living processes of this launch: our children, the marked ones, and their descendants."""
        table = process_table()
        own = {child.pid for child in self.started if child.poll() is None}
        members = own | {pid for pid in table if pid != os.getpid() and is_marked(pid, self.mark)}
        while grown := {pid for pid, one in table.items() if one.parent in members} - members:
            members |= grown
        return {table[pid] for pid in members if pid in table}

    def stop(self) -> None:
        """End everything: our children politely and latest first, then whoever is left."""
        seen = self.family()
        for child in reversed(self.started):
            if child.poll() is None:
                child.terminate()
                with suppress(subprocess.TimeoutExpired):
                    child.wait(self.grace_s)
        for signal_number, patience_s in ((signal.SIGTERM, 1.0), (signal.SIGKILL, self.grace_s)):
            seen |= self.family()
            self._signal_and_wait(seen, signal_number, patience_s)
        for child in self.started:  # take their exit codes, else they stay as zombies
            with suppress(subprocess.TimeoutExpired):
                child.wait(1.0)

    def _signal_and_wait(self, seen: set[Process], signal_number: int, patience_s: float) -> None:
        for one in self._alive(seen):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(one.pid, signal_number)
        deadline = time.monotonic() + patience_s
        while self._alive(seen) and time.monotonic() < deadline:
            time.sleep(0.05)

    def _alive(self, seen: set[Process]) -> set[Process]:
        table = process_table()
        return {one for one in seen if one.pid in table and table[one.pid].birth == one.birth}

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def process_table() -> dict[int, Process]:
    """All living processes by number; a zombie is not alive."""
    return _table_of_proc() if PROC.is_dir() else _table_of_ps()


def is_marked(pid: int, mark: str) -> bool:
    """Whether a process was started with this mark; False where that cannot be read."""
    try:
        return f"{MARK}={mark}".encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


@contextmanager
def interruptible_once() -> Iterator[None]:
    """While inside, SIGTERM and SIGHUP raise KeyboardInterrupt as Ctrl-C does, so that ``finally`` blocks run.

    A second signal is ignored: it would interrupt the cleaning up. A signal that was ignored before (by nohup, say)
    stays so. In another thread than the main one, where no handler can be set, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [number for number in INTERRUPTS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, _interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _table_of_proc() -> dict[int, Process]:
    table = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                # The name in parentheses may hold blanks and parentheses itself.
                state, parent, *rest = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if state not in "ZX":
                    table[int(folder.name)] = Process(int(folder.name), int(parent), birth=rest[17])
    return table


def _table_of_ps() -> dict[int, Process]:
    listing = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,stat=,lstart="], capture_output=True, text=True, check=True
    ).stdout
    rows = (line.split(maxsplit=3) for line in listing.splitlines())
    return {int(pid): Process(int(pid), int(parent), birth) for pid, parent, state, birth in rows if state[0] != "Z"}
