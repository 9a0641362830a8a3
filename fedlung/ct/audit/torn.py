"""Slices that a torn copy or a bad disk left incomplete, though their files are as long as they should be.

Zeros at the end of an image are common: outside the round field of view, and below the patient where air was cut off at
-1024 HU. A tear is told by how it begins (against rows that are not 0) and by the neighbours, which are not 0 there.

Shapes: H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedlung.ct.headers import Header

MIN_TAIL_PIXELS = 4
# In the row's length before a natural edge most pixels are 0 as well: it is the round edge of a field or of a back.
MAX_ZEROS_BEFORE = 0.5
AIR_HU, FAINT_HU = -950.0, 100.0
TAIL_CHUNK_ROWS = 8
MIN_SAMPLED_ROWS, MIN_SAMPLED_COLUMNS = 16, 8


@dataclass(frozen=True)
class TornTail:
    """Zeros at an image's end, where they begin abruptly.

    num_pixels   how many
    only_zeros   the image has no other zeros, or hardly any
    before       median of the stored values in the row's length before them
    """

    num_pixels: int
    only_zeros: bool
    before: float


def torn_tail(stored_HW: npt.NDArray) -> TornTail | None:
    """The zeros at the end of a slice, if it is not all 0 and the zeros begin against pixels that are not."""
    if stored_HW[-1, -1] != 0:
        return None
    flat, width = stored_HW.ravel(), stored_HW.shape[1]
    end = _end_of_values(flat, TAIL_CHUNK_ROWS * width)
    before = flat[max(0, end - width) : end]
    if np.count_nonzero(before) < (1 - MAX_ZEROS_BEFORE) * len(before) or flat.size - end < MIN_TAIL_PIXELS or not end:
        return None
    zeros_elsewhere = end - int(np.count_nonzero(flat[:end]))
    return TornTail(flat.size - end, zeros_elsewhere <= 0.001 * flat.size, float(np.median(before)))


def _end_of_values(flat: npt.NDArray, chunk: int) -> int:
    """Index behind the last value that is not 0, looked for from the end."""
    for end in range(flat.size, 0, -chunk):
        start = max(0, end - chunk)
        found = np.flatnonzero(flat[start:end])
        if len(found):
            return start + int(found[-1]) + 1
    return 0


def is_torn(tails: Sequence[TornTail | None], index: int, width: int, header: Header) -> bool:
    """Whether a slice's tail is no edge of the body or the field: its neighbours end otherwise."""
    tail = tails[index]
    if tail is None:
        return False
    lengths = [other.num_pixels if other else 0 for other in tails]
    before, after = (index - 1 if index else 1), (index + 1 if index + 1 < len(tails) else index - 1)
    # At an end there is one neighbour only: an edge that moves may move on by as much as it did there.
    inner = 2 * before - index if before == after else before
    moving = 2 * abs(lengths[before] - lengths[inner]) if 0 <= inner < len(tails) else 0
    tolerance = _tolerance(tail, max(lengths[before], lengths[after]), width, header)
    return tail.num_pixels > max(lengths[before], lengths[after]) + moving + tolerance or _is_erratic(
        lengths, index, tolerance
    )


def _tolerance(tail: TornTail, neighbour: int, width: int, header: Header) -> int:
    """Pixels by which natural edges differ between slices: up to two rows where 0 is air, or nearly so before it."""
    is_edge_of_air = header.intercept <= AIR_HU and (not tail.only_zeros or abs(tail.before * header.slope) < FAINT_HU)
    if is_edge_of_air:
        return 2 * width
    return width if neighbour else max(MIN_TAIL_PIXELS, width // 8)


def _is_erratic(lengths: Sequence[int], index: int, tolerance: int) -> bool:
    """Several torn slices in a row: their tails are as unlike as chance made them, where an edge moves steadily."""
    near = lengths[max(0, index - 2) : index + 3]
    return len(near) == 5 and near[2] > tolerance and bool(np.abs(np.diff(near, 2)).min() > tolerance)


def has_block(stored_Nhw: npt.NDArray) -> npt.NDArray[np.bool_]:
    """(N,) whether two sampled rows of a slice, one above the other, have one and the same value throughout.

    stored_Nhw  samples of N slices. Rows of the slice's lowest value or of 0 are none: they lie around a body.
    """
    if stored_Nhw.shape[1] < MIN_SAMPLED_ROWS or stored_Nhw.shape[2] < MIN_SAMPLED_COLUMNS:
        return np.zeros(len(stored_Nhw), dtype=bool)
    first_Nh = stored_Nhw[:, :, 0]
    around_Nh = (first_Nh == 0) | (first_Nh == stored_Nhw.min(axis=(1, 2))[:, None])
    same_Nh = (stored_Nhw == stored_Nhw[:, :, :1]).all(axis=2) & ~around_Nh
    found: npt.NDArray[np.bool_] = (same_Nh[:, 1:] & same_Nh[:, :-1] & (np.diff(first_Nh, axis=1) == 0)).any(axis=1)
    return found
