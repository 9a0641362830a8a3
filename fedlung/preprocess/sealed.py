"""Encrypted volumes that are read like arrays: a slice decrypts the chunks that it needs and no others.

What was decrypted is kept in buffers that are used again, the least recently read volume's first. All volumes of a
process share ``BUFFERS``, which has ``BUFFER_BYTES`` of room: that is some 30 cases of 1.25 mm. A larger store is
decrypted again as it is read.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt

from fedlung.preprocess.vault import CHUNK_BYTES, SealedFile

BUFFER_BYTES = 1 << 30


class SealedArray:
    """A read-only array of a sealed file. Whatever it gives is the caller's own and stays as it is.

    It has ``shape``, ``dtype``, ``ndim``, NumPy's own indexing and ``np.asarray``; arithmetic is for what these give.
    Reading raises StoreError where a chunk is not what was written.
    """

    def __init__(self, file: SealedFile, buffers: Buffers | None = None) -> None:
        self.shape, self.dtype, self.ndim = file.shape, file.dtype, len(file.shape)
        self.size, self.nbytes = math.prod(file.shape), file.num_bytes
        self._file, self._buffers = file, BUFFERS if buffers is None else buffers

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """As NumPy's, but always a copy: the buffer below may hold another volume a moment later."""
        return self._buffers.read(self._file, key, *self._rows(key))

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """The whole array, decrypted past the shared buffers, so that one look at each volume does not empty them."""
        if copy is False:
            raise ValueError("an encrypted array cannot be had without a copy")
        whole = self._file.read()
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def read_into(self, out: npt.NDArray[Any]) -> None:
        """Decrypt the whole array into ``out``, a contiguous array of its shape and dtype."""
        if out.shape != self.shape or out.dtype != self.dtype or not out.flags.c_contiguous:
            raise ValueError(f"expected a contiguous {self.dtype} {self.shape}, found {out.dtype} {out.shape}")
        self._file.read_into(out)

    def check_end(self) -> None:
        """Raises StoreError where the header or the last chunk is not what was written."""
        self._file.check_end()

    def _rows(self, key: Any) -> tuple[int, int]:
        """[first, last) along the first axis of what an index touches: all, where that is not plain to see."""
        num_rows = self.shape[0] if self.shape else 1
        row_key = key[0] if isinstance(key, tuple) and key else key
        is_of_one_axis = isinstance(row_key, slice | int | np.integer) or (
            isinstance(row_key, np.ndarray) and row_key.dtype.kind in "iu"
        )
        if not is_of_one_axis or isinstance(row_key, bool):
            return 0, num_rows
        rows = np.arange(num_rows)[row_key]
        return (int(np.min(rows)), int(np.max(rows)) + 1) if np.size(rows) else (0, 0)


class Buffers:
    """Decrypted volumes, ``limit_bytes`` of them at most, and always the one that is being read."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._lock = RLock()

    @property
    def num_bytes(self) -> int:
        """Room that is taken; pages that nothing was decrypted to are no memory yet."""
        return sum(len(slot.buffer) for slot in self._slots.values())

    def read(self, file: SealedFile, key: Any, first: int, last: int) -> Any:
        """``array[key]``, after decrypting what rows [first, last) need and was not decrypted yet."""
        with self._lock:
            slot = self._slot_of(file)
            slot.fill(file, first, last)
            found = slot.array(file)[key]
            return found.copy() if isinstance(found, np.ndarray) else found

    def _slot_of(self, file: SealedFile) -> _Slot:
        slot = self._slots.pop(file.version, None) or _Slot(self._freed(file.num_bytes), file.num_chunks)
        self._slots[file.version] = slot  # the last one is the most recently read
        return slot

    def _freed(self, num_bytes: int) -> npt.NDArray[np.uint8]:
        """Room for a volume: a buffer of one that was not read for long, or new."""
        fitting = None
        while self._slots and self.num_bytes + num_bytes > self._limit_bytes:
            _, oldest = self._slots.popitem(last=False)
            if len(oldest.buffer) >= num_bytes:
                fitting = oldest.buffer
                break
        # Memory that was written to before is filled ten times as fast as memory fresh from the system.
        return np.empty(num_bytes, dtype=np.uint8) if fitting is None else fitting


class _Slot:
    """The buffer of one volume, and which of its chunks are decrypted."""

    def __init__(self, buffer: npt.NDArray[np.uint8], num_chunks: int) -> None:
        self.buffer = buffer
        self.filled = np.zeros(num_chunks, dtype=np.bool_)

    def array(self, file: SealedFile) -> npt.NDArray[Any]:
        return self.buffer[: file.num_bytes].view(file.dtype).reshape(file.shape)

    def fill(self, file: SealedFile, first: int, last: int) -> None:
        row_bytes = file.num_bytes // max((1, *file.shape[:1]))
        start, stop = first * row_bytes // CHUNK_BYTES, -(-last * row_bytes // CHUNK_BYTES)
        out = self.buffer.data
        for number in (np.flatnonzero(~self.filled[start:stop]) + start).tolist():
            file.decrypt_into(out, number)
            self.filled[number] = True


BUFFERS = Buffers(BUFFER_BYTES)
