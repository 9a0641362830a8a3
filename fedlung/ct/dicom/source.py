"""Bytes by offset: of a file as it lies, or of one that is deflated as a whole. Never more than was asked for."""

from __future__ import annotations

import os
import stat
import zlib
from io import FileIO
from pathlib import Path
from typing import Protocol, Self

MAX_INFLATED_BYTES = 1 << 26
"""Of a deflated file's header."""

_CHUNK_BYTES = 1 << 14


class Source(Protocol):
    """``size`` is right once something was read at the end or beyond it."""

    @property
    def size(self) -> int:
        """Of all bytes."""

    def read(self, offset: int, num_bytes: int) -> bytes:
        """``num_bytes`` from ``offset``; fewer at the end only."""


class GarbledStreamError(ValueError):
    """A deflated stream that cannot be inflated, or not within its bounds."""


class OpenFile:
    """A regular file, open for reading within a ``with``. Raises OSError, also where it is anything else.

    A pipe that nobody writes to is not waited for.
    """

    def __init__(self, path: Path) -> None:
        self._file = FileIO(path, opener=_open_at_once)
        self._status = os.fstat(self._file.fileno())
        if not stat.S_ISREG(self._status.st_mode):
            self._file.close()
            raise OSError("not a regular file")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._file.close()

    @property
    def size(self) -> int:
        """Of the file when it was opened."""
        return self._status.st_size

    @property
    def stamp(self) -> tuple[int, int, int]:
        """As ``stamp_of`` says."""
        return stamp_of(self._status)

    def read(self, offset: int, num_bytes: int) -> bytes:
        """As ``Source`` says."""
        self._file.seek(offset)
        return self._file.read(num_bytes)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from ``offset``; gives the number of bytes, fewer at the end only."""
        self._file.seek(offset)
        filled = 0
        while num_bytes := self._file.readinto(buffer[filled:]):
            filled += num_bytes
        return filled


def stamp_of(status: os.stat_result) -> tuple[int, int, int]:
    """Another one for another content: which file it is, its size, when it was last written."""
    return status.st_ino, status.st_size, status.st_mtime_ns


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class Inflated:
    """The data set of a deflated file (PS3.5 section A.5), inflated only as far as it is read."""

    def __init__(self, packed: Source, start: int) -> None:
        self._packed, self._next = packed, start
        self._stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        self._bytes = bytearray()

    @property
    def size(self) -> int:
        """Of what was inflated until now."""
        return len(self._bytes)

    def read(self, offset: int, num_bytes: int) -> bytes:
        """Raises GarbledStreamError."""
        end = offset + num_bytes
        while len(self._bytes) < end and not self._stream.eof:
            packed = self._stream.unconsumed_tail or self._packed.read(self._next, _CHUNK_BYTES)
            if not packed:
                break
            if not self._stream.unconsumed_tail:
                self._next += len(packed)
            self._bytes += self._inflated(packed)
        return bytes(self._bytes[offset:end])

    def _inflated(self, packed: bytes) -> bytes:
        if len(self._bytes) > MAX_INFLATED_BYTES:
            raise GarbledStreamError(f"more than {MAX_INFLATED_BYTES >> 20} MiB inflated before the pixels.")
        try:
            return self._stream.decompress(packed, _CHUNK_BYTES)
        except zlib.error as error:
            raise GarbledStreamError("the deflated data set cannot be inflated.") from error
