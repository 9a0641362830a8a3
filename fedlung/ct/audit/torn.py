"""Slices that a torn copy or a bad disk left incomplete, though their files are as long as they should be.

Zeros at the end of an image are common: outside the round field of view, and below the patient where air was cut off at
-1024 HU. A tear is told by how it begins (against rows that are not 0) and by the neighbours, which are not 0 there.

Shapes: H rows, W columns, P pairs of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedlung.ct.dicom.headers import Header

MIN_TAIL_PIXELS = 4
# In the row's length before a natural edge most pixels are 0 as well: it is the round edge of a field or of a back.
MAX_ZEROS_BEFORE = 0.5
AIR_HU, FAINT_HU = -950.0, 100.0
TAIL_CHUNK_ROWS = 8
MIN_SAMPLED_ROWS, MIN_SAMPLED_COLUMNS = 16, 8
DIFFERING_SHARE = 0.5


@dataclass(frozen=True)
class TornTail:
    """Zeros at an image's end.

    num_pixels   how many
    is_abrupt    they begin against pixels that are not 0
    only_zeros   the image has no other zeros, or hardly any
    before       median of the stored values in the row's length before them
    """

    num_pixels: int
    is_abrupt: bool
    only_zeros: bool
    before: float


def torn_tail(stored_HW: npt.NDArray) -> TornTail | None:
    """The zeros at the end of a slice, if there are any and it is not all 0."""
    if stored_HW[-1, -1] != 0:
        return None
    flat, width = stored_HW.ravel(), stored_HW.shape[1]
    end = _end_of_values(flat, TAIL_CHUNK_ROWS * width)
    before = flat[max(0, end - width) : end]
    if flat.size - end < MIN_TAIL_PIXELS or not end:
        return None
    is_abrupt = bool(np.count_nonzero(before) >= (1 - MAX_ZEROS_BEFORE) * len(before))
    zeros_elsewhere = end - int(np.count_nonzero(flat[:end]))
    return TornTail(flat.size - end, is_abrupt, zeros_elsewhere <= 0.001 * flat.size, float(np.median(before)))


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
    if tail is None or not tail.is_abrupt:
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


def stuck_slices(hu_Nhw: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """(N,) whether two sampled rows, one above the other, have one value, and both neighbours an image there.

    hu_Nhw  samples of N slices. Rows of air around a body are none: no body is there above and below, and not between.
    """
    found_N = np.zeros(len(hu_Nhw), dtype=bool)
    if len(hu_Nhw) < 3 or hu_Nhw.shape[1] < MIN_SAMPLED_ROWS or hu_Nhw.shape[2] < MIN_SAMPLED_COLUMNS:
        return found_N
    is_even_Nh = (hu_Nhw[1:-1] == hu_Nhw[1:-1, :, :1]).all(axis=2)
    same_Nh = np.diff(hu_Nhw[1:-1, :, 0], axis=1) == 0
    is_pair_Nh = is_even_Nh[:, 1:] & is_even_Nh[:, :-1] & same_Nh
    # Only these, for few rows are even at all.
    before_P, row_P = np.nonzero(is_pair_Nh)
    is_stuck_P = _is_between_images(hu_Nhw, before_P, row_P) & _is_between_images(hu_Nhw, before_P, row_P + 1)
    found_N[before_P[is_stuck_P] + 1] = True
    return found_N


def _is_between_images(
    hu_Nhw: npt.NDArray[np.float32], before_P: npt.NDArray[np.intp], row_P: npt.NDArray[np.intp]
) -> npt.NDArray[np.bool_]:
    """(P,) whether both slices around the one after ``before_P`` are mostly not this one's value in its row."""
    value_P1 = hu_Nhw[before_P + 1, row_P, :1]
    share_2P = [(np.abs(hu_Nhw[before_P + i, row_P] - value_P1) > FAINT_HU / 2).mean(axis=1) for i in (0, 2)]
    is_other_P: npt.NDArray[np.bool_] = np.minimum(*share_2P) >= DIFFERING_SHARE
    return is_other_P
