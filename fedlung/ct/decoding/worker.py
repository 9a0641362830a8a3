"""The child's side: limits on itself first, then one slice after another until the parent is gone."""

from __future__ import annotations

import fcntl
import mmap
import os
import resource
import select
import signal
import socket

import numpy as np

from fedlung.ct.decoding.codecs import decode_slice
from fedlung.ct.decoding.task import DecodingError, Reply, Task


def serve(channel_fd: int, life_fd: int, area_fd: int, memory_bytes: int) -> None:
    """Answer tasks from the channel until its other end closes."""
    if not _die_with_parent(life_fd):
        return
    area = mmap.mmap(area_fd, 0)
    os.close(area_fd)
    _limit(memory_bytes)
    with socket.socket(fileno=channel_fd) as channel, channel.makefile("rb") as tasks:
        for line in tasks:
            channel.sendall(_answer(Task.from_line(line), area).to_line())


def _answer(task: Task, area: mmap.mmap) -> Reply:
    try:
        stored_HW = decode_slice(task)
    except DecodingError as error:
        return Reply(task.number, error.code, error.reason)
    np.copyto(task.pixels_in(area), stored_HW)
    return Reply(task.number)


def _limit(memory_bytes: int) -> None:
    """No core dumps, which would hold pixels, and no more address space than that."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    except (OSError, ValueError):
        # macOS knows the limit and does not take it: there only time and declared sizes are limited.
        return


def _die_with_parent(life_fd: int) -> bool:
    """Have the kernel kill this process once nobody holds the other end. False: the parent is gone already.

    A signal, for a codec that hangs never comes back to look. Not PR_SET_PDEATHSIG, which is sent when the thread ends
    that started the child, and a series may be read in a thread of its own.
    """
    fcntl.fcntl(life_fd, fcntl.F_SETOWN, os.getpid())
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(life_fd, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(life_fd, fcntl.F_SETFL, fcntl.fcntl(life_fd, fcntl.F_GETFL) | os.O_ASYNC)
    ended, _, _ = select.select([life_fd], [], [], 0)
    return not ended
