"""What parent and decoder say to each other: a line of JSON a slice. The pixels go through shared memory."""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


class DecodingError(Exception):
    """A slice that cannot be had: a stable code and what was found."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def undecodable(reason: str) -> DecodingError:
    """The bytes are not what the transfer syntax says."""
    return DecodingError("UNDECODABLE", reason)


@dataclass(frozen=True)
class Task:
    """One slice to decode.

    number       of the slice in its series, from 0
    place        where in the shared memory its pixels go, in bytes
    path         of the file; bytes that are not UTF-8 are surrogates
    file_stamp   of the file when its header was read
    offset       of the first item of the encapsulated pixels in the file; None: the file is deflated as a whole
    frame        from 0 up to ``num_frames`` of the file
    """

    number: int
    place: int
    path: str
    file_stamp: tuple[int, int, int]
    offset: int | None
    frame: int
    num_frames: int
    transfer_syntax: str
    shape_HW: tuple[int, int]
    bits_allocated: int
    bits_stored: int
    signed: bool

    @property
    def num_pixels(self) -> int:
        """Pixels of the slice."""
        return self.shape_HW[0] * self.shape_HW[1]

    @property
    def dtype(self) -> np.dtype:
        """Of the stored values in memory."""
        return np.dtype(f"{'i' if self.signed else 'u'}{self.bits_allocated // 8}")

    @property
    def num_bytes(self) -> int:
        """Bytes of the slice's stored values."""
        return self.num_pixels * self.dtype.itemsize

    def pixels_in(self, area: mmap.mmap) -> npt.NDArray:
        """(H, W) the slice's place in the shared memory, to be filled or read."""
        return np.ndarray(self.shape_HW, self.dtype, area, self.place)

    def to_line(self) -> bytes:
        """One line of ASCII."""
        return json.dumps(vars(self)).encode("ascii") + b"\n"

    @staticmethod
    def from_line(line: bytes) -> Task:
        """What ``to_line`` wrote."""
        fields = json.loads(line)
        fields["file_stamp"], fields["shape_HW"] = tuple(fields["file_stamp"]), tuple(fields["shape_HW"])
        return Task(**fields)


@dataclass(frozen=True)
class Reply:
    """That a slice is in its place, or why it is not: ``code`` is empty where it is."""

    number: int
    code: str = ""
    reason: str = ""

    def to_line(self) -> bytes:
        """One line of ASCII."""
        return json.dumps(vars(self)).encode("ascii") + b"\n"

    @staticmethod
    def from_line(line: bytes) -> Reply:
        """What ``to_line`` wrote."""
        return Reply(**json.loads(line))
