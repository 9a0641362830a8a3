"""Whether the image has as many columns as the header says.

With another number of columns as many pixels make an image too, a sheared or a doubled one. Pixels that belong above
one another are then as far apart in the file as the true number of columns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fedlung.ct.audit.findings import Finding
from fedlung.ct.dicom.headers import Header

PIXELS = 2048
# Another number of columns must make pixels above one another this much more alike.
CLEARLY, CLEARLY_BENT = 0.6, 0.75
JUMP = 4.0
# Rows joined in pairs: half a row on is the row between this one and the next, so nearer than the next; half of that is
# the other side of the image. On 659 real slices half a row was 9.9 times as far as the next row or more; of the same
# slices with their rows joined .67 at most, and a quarter of a row 9.8 times as far as half or more.
# Two like images beside one another are as near, but bend as much as they step, where a row between two is on the way.
JOINED, JOINED_BENT, JOINED_FAR = 0.8, 0.9, 3.0
# Columns by which rows and columns must differ: with fewer, what runs aslant looks the same as what was sheared.
MIN_SHEAR = 3


def wrong_matrix(stored_HW: npt.NDArray, header: Header) -> Finding | None:
    """Whether rows and columns are clearly exchanged, or the rows cut in halves or joined in pairs."""
    return misfit(stored_HW, lambda stored: _values(stored, header))


def misfit(
    stored_HW: npt.NDArray, values_of: Callable[[npt.NDArray], npt.NDArray[np.int64]], others: Collection[int] = ()
) -> Finding | None:
    """As ``wrong_matrix``, of any pixels; ``others`` are numbers of columns that may be meant besides."""
    height, width = stored_HW.shape
    size = stored_HW.size
    start = np.arange(0, size - 4 * max(height, width, *others), max(1, size // PIXELS))
    if not len(start):
        return None
    flat, possible = stored_HW.ravel(), _possible_columns(height, width) | set(others)
    steps = {
        columns: _apart([values_of(flat[start + number * columns]) for number in range(3)])
        for columns in {width, width // 2, width // 4, *possible}
    }
    is_other = any(_is_clearly_less(steps[columns], steps[width]) for columns in possible)
    is_other = is_other and not _rows_end_where_said(values_of(stored_HW))
    if not is_other and not _is_joined(steps, width):
        return None
    sentence = f"pixels above one another do not fit together in a matrix of {height} rows and {width} columns."
    return Finding("WRONG_MATRIX", sentence, "Export again: the sizes are wrong, or the order of the pixels.")


def _possible_columns(height: int, width: int) -> set[int]:
    """What may be meant: rows and columns exchanged, or rows cut in halves."""
    return {2 * width, *([height] if abs(height - width) >= MIN_SHEAR else [])}


def _values(stored: npt.NDArray, header: Header) -> npt.NDArray[np.int64]:
    """Without what lies above BitsStored, which may be an overlay."""
    top = 1 << (header.bits_stored - 1) if header.signed else 0
    value = stored.astype(np.int64) & ((1 << header.bits_stored) - 1)
    return (value ^ top) - top


def _apart(values_3P: Sequence[npt.NDArray[np.int64]]) -> tuple[float, float]:
    """Mean absolute first and second differences of pixels above one another."""
    first_P, second_P, third_P = values_3P
    return float(np.abs(second_P - first_P).mean()), float(np.abs(third_P - 2 * second_P + first_P).mean())


def _is_clearly_less(other: tuple[float, float], declared: tuple[float, float]) -> bool:
    """By steps and by bends: along a slope that runs aslant there are steps down the columns, but no bends."""
    return other[0] < CLEARLY * declared[0] and other[1] < CLEARLY_BENT * declared[1]


def _is_joined(steps: Mapping[int, tuple[float, float]], width: int) -> bool:
    """Whether each row is two: the pixels half a row on lie between those above one another."""
    quarter, half, declared = (steps[width // part][0] for part in (4, 2, 1))
    between = half < JOINED * declared and steps[width // 2][1] < JOINED_BENT * declared
    return width % 2 == 0 and between and quarter > JOINED_FAR * half


def _rows_end_where_said(value_HW: npt.NDArray[np.int64]) -> bool:
    """Whether the image jumps from the end of a row to the next one's begin, as no other pixels beside one another do.

    Then the rows are right, though a smooth image may run aslant and be more alike along a diagonal than a column.
    Nearly all rows must jump: of rows that were cut in halves, every second one does.
    """
    beside = np.abs(np.diff(value_HW, axis=1)).mean()
    over_R = np.abs(value_HW[1:, 0] - value_HW[:-1, -1])
    return float(np.quantile(over_R, 0.25)) > JUMP * float(beside)
