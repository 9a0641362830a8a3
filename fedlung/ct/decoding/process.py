"""One decoder process as its parent sees it: started, handed slices, heard, killed."""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy.typing as npt

from fedlung.ct.decoding.limits import SLOT_BYTES, Limits
from fedlung.ct.decoding.task import DecodingError, Reply, Task

# The packages above the worker are entered without running their __init__, which would load a good part of the library.
_BOOTSTRAP = """
import sys, types
channel, life, area, memory = map(int, sys.argv[1:5])
folder, sys.path[:] = sys.argv[5], sys.argv[6:]
for name, below in (("fedlung", ""), ("fedlung.ct", "/ct"), ("fedlung.ct.decoding", "/ct/decoding")):
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = [folder + below]
from fedlung.ct.decoding.worker import serve
serve(channel, life, area, memory)
"""
_LIBRARY = Path(__file__).resolve().parents[2]
# Each arena and each idle thread takes address space, which is what the limit counts.
_SPARING = {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_ANSWER_BYTES = 1 << 16


class Decoder:
    """A child that decodes slices into memory that both share.

    ``in_flight`` are the slices handed over and not yet answered; it answers in their order.
    """

    def __init__(self, limits: Limits) -> None:
        """Raises OSError where the system starts no process."""
        self._limits = limits
        self._answers = b""
        self._has_answered = False
        self._since = 0.0
        self._num_handed = 0
        self.in_flight: deque[Task] = deque()
        with ExitStack() as undo:
            self.channel, theirs = socket.socketpair()
            undo.callback(self.channel.close)
            life_end, self._life = os.pipe()
            undo.callback(os.close, self._life)
            num_bytes = limits.queue * SLOT_BYTES
            area_fd = _shared_area(num_bytes)
            try:
                self._process = _start((theirs.fileno(), life_end, area_fd), limits.memory_bytes)
                self._area = mmap.mmap(area_fd, num_bytes)
            finally:
                theirs.close()
                os.close(life_end)
                os.close(area_fd)
            undo.pop_all()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    @property
    def deadline(self) -> float:
        """By when the oldest slice in flight must be answered, on the clock of ``time.monotonic``."""
        allowed = self._limits.slice_seconds + (0.0 if self._has_answered else self._limits.start_seconds)
        return self._since + allowed

    @property
    def is_full(self) -> bool:
        """Whether no further slice may be handed over before an answer."""
        return len(self.in_flight) >= self._limits.queue

    def hand(self, task: Task) -> None:
        """Queue a slice. A child that is gone is noticed by ``answers``."""
        if not self.in_flight:
            self._since = time.monotonic()
        # Answers come in order, so the slots are a ring.
        placed = replace(task, place=self._num_handed % self._limits.queue * SLOT_BYTES)
        self._num_handed += 1
        self.in_flight.append(placed)
        try:
            self.channel.sendall(placed.to_line())
        except OSError:
            return

    def answers(self) -> list[tuple[int, npt.NDArray | DecodingError]]:
        """Slices by number, in the order of ``in_flight``; blocks where nothing has come.

        The arrays lie in the shared memory: they hold until the next slice is handed over.

        Raises EOFError where the child is gone.
        """
        try:
            received = self.channel.recv(_ANSWER_BYTES)
        except OSError:
            received = b""
        if not received:
            raise EOFError
        self._since = time.monotonic()
        self._has_answered = True
        *lines, self._answers = (self._answers + received).split(b"\n")
        return [self._result(Reply.from_line(line)) for line in lines]

    def _result(self, reply: Reply) -> tuple[int, npt.NDArray | DecodingError]:
        task = self.in_flight.popleft()
        if reply.code:
            return task.number, DecodingError(reply.code, reply.reason)
        return task.number, task.pixels_in(self._area)

    def settle(self, seconds: float) -> bool:
        """Whether what is in flight is answered, each slice within ``seconds``; the answers are dropped."""
        self.channel.settimeout(seconds)
        try:
            while self.in_flight:
                self.answers()
        except EOFError:
            return False
        self.channel.settimeout(None)
        return True

    def kill(self) -> int:
        """End the process and forget its memory; how it ended, as ``subprocess`` says it."""
        self.close_ends()
        self._process.kill()
        return self._process.wait()

    def close_ends(self) -> None:
        """Close this process's side alone."""
        if self.channel.fileno() >= 0:
            self.channel.close()
            os.close(self._life)
            self._area.close()


def _start(descriptors: tuple[int, int, int], memory_bytes: int) -> subprocess.Popen:
    """This interpreter anew, with this process's import path and no descriptors but these."""
    handed = [*descriptors, memory_bytes, _LIBRARY]
    return subprocess.Popen(
        # -I -S: neither the environment nor site-packages' start-up files have a say; the path is handed over whole.
        [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, *map(str, handed), *sys.path],
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | _SPARING,
        # Ctrl-C is for the parent, which then ends its decoders.
        start_new_session=True,
    )


def _shared_area(num_bytes: int) -> int:
    """A descriptor of memory without a name, which nobody can shrink below the other's feet."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            os.ftruncate(file.fileno(), num_bytes)
            return os.dup(file.fileno())
    descriptor = os.memfd_create("fedlung-decoder", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, num_bytes)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return descriptor
