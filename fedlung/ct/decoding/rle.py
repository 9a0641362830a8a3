"""DICOM's run length encoding: PS3.5 annex G."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from fedlung.ct.decoding.task import Task, undecodable

HEADER_BYTES = 64
PADDING = b"\0\x80"
"""Segments end on an even byte; a count of 128 stands for nothing."""


def decode_rle(frame: bytes, task: Task) -> npt.NDArray:
    """(H, W) unsigned values as they are stored. Raises DecodingError."""
    num_segments = task.bits_allocated // 8
    if len(frame) < HEADER_BYTES:
        raise undecodable("the codestream ends early")
    found, *offsets = struct.unpack("<16I", frame[:HEADER_BYTES])
    if found != num_segments:
        raise undecodable(f"{found} run length segments, {task.bits_allocated} bits take {num_segments}")
    ends = [*offsets[1:num_segments], len(frame)]
    values_HW = np.empty((*task.shape_HW, num_segments), np.uint8)
    for number, (start, end) in enumerate(zip(offsets, ends, strict=False)):
        if not HEADER_BYTES <= start <= end <= len(frame):
            raise undecodable("the run length segments overlap")
        plane = np.frombuffer(unpack_bits(frame[start:end], task.num_pixels), np.uint8)
        # The most significant byte comes first.
        values_HW[..., number] = plane.reshape(task.shape_HW)
    return values_HW.view(f">u{num_segments}")[..., 0]


def unpack_bits(segment: bytes, num_bytes: int) -> bytearray:
    """Exactly ``num_bytes``: a count up to 127 announces as many bytes and one, above 128 one to repeat."""
    unpacked, position = bytearray(), 0
    while len(unpacked) < num_bytes:
        if position >= len(segment) - 1:
            raise undecodable("the codestream ends early")
        count = segment[position]
        if count < 128:
            unpacked += segment[position + 1 : position + 2 + count]
            position += 2 + count
        elif count > 128:
            unpacked += segment[position + 1 : position + 2] * (257 - count)
            position += 2
        else:
            position += 1
    if len(unpacked) != num_bytes or segment[position:].strip(PADDING):
        raise undecodable("a run length segment holds more than its plane")
    return unpacked
