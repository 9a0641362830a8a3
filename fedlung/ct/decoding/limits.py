"""What a slice, a series and a decoder may take at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedlung.ct.decoding.task import DecodingError, Task, undecodable

MIB = 1 << 20
MAX_SLICE_PIXELS = 4096 * 4096
"""Scanners write 512 x 512 to 2048 x 2048."""

SLOT_BYTES = 2 * MAX_SLICE_PIXELS
"""Of memory shared with a decoder for one slice; only what slices have filled is taken from the machine."""

MAX_SERIES_BYTES = 8192 * MIB
"""Of stored values: 16,384 slices of 512 x 512 in 16 bits, or 1,024 of 2048 x 2048."""

MAX_INFLATED_BYTES = 256 * MIB
"""Of a deflated file, which is inflated in memory as a whole: 512 frames of 512 x 512 in 16 bits."""


@dataclass(frozen=True)
class Limits:
    """Of one decoder process.

    slice_seconds  a slice of 512 x 512 takes 5 to 40 ms, one of 4096 x 4096 in JPEG 2000 some 3 s
    start_seconds  on top of it for the first slice: Python and NumPy are loaded from a disk that may be far away
    memory_bytes   of address space: 0.5 GiB are the interpreter, NumPy, SimpleITK and the shared memory; a slice of
                   4096 x 4096 in JPEG 2000 adds 0.4 GiB
    queue          slices handed to a decoder ahead of those that it has answered
    """

    slice_seconds: float = 30.0
    start_seconds: float = 30.0
    memory_bytes: int = 1536 * MIB
    queue: int = 4


def check_slice(task: Task) -> None:
    """Raise DecodingError for a size that no CT slice has, before any memory is taken for it."""
    if task.bits_allocated not in (8, 16) or not 1 <= task.bits_stored <= task.bits_allocated:
        raise undecodable(f"{task.bits_stored} of {task.bits_allocated} bits a pixel; expected 8 or 16 allocated")
    if task.num_pixels == 0:
        raise undecodable("the header declares no pixels")
    if task.num_pixels > MAX_SLICE_PIXELS:
        found = f"{task.shape_HW[0]} x {task.shape_HW[1]} pixels declared, at most {MAX_SLICE_PIXELS} are decoded"
        raise DecodingError("DECOMPRESSION_BOMB", found)
    if not 0 <= task.frame < task.num_frames:
        raise undecodable(f"frame {task.frame + 1} of {task.num_frames}")


def check_series(tasks: Sequence[Task]) -> None:
    """Raise DecodingError for more bytes than a series may have."""
    total = sum(task.num_bytes for task in tasks)
    if total > MAX_SERIES_BYTES:
        found = f"{total / MIB:.0f} MiB declared, at most {MAX_SERIES_BYTES // MIB} are decoded"
        raise DecodingError("DECOMPRESSION_BOMB", found)
