"""Whether fewer patients than a floor can be had by subtracting what a site tells from what it tells.

A site tells of the sum over the examples of several subsets, e.g. all, thin, smooth, and "thin and smooth". Whoever has
the sums can form every weighted sum of them, e.g. thin minus "thin and smooth", and has the sum over whatever that
leaves. The subsets divide the examples into cells, the cells within which all examples are in the same subsets, and a
weighted sum counts the examples of one cell alike.

``S`` subsets, ``N`` examples, ``K`` cells, ``L`` lists of cells to leave out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Strings = npt.NDArray[np.str_]


def tells_of_few(is_in_SN: Bools, patients_N: Strings, *, fewest: int) -> bool:
    """Whether a weighted sum of the subsets, with any weights, is one over 1 to ``fewest`` - 1 patients alone.

    That is so where leaving out the cells of so few patients makes the subsets dependent that were not: the weights
    that then give nothing give, of all examples, something of those cells. A few variables with a few levels have few
    cells; with many small ones the search is long, for their lists grow as 2^K.
    """
    cells_SK, cell_of_N = np.unique(is_in_SN, axis=1, return_inverse=True)
    cell_of_N = cell_of_N.reshape(-1)
    patients_K = [frozenset(patients_N[cell_of_N == cell].tolist()) for cell in range(cells_SK.shape[1])]
    small = [cell for cell, patients in enumerate(patients_K) if len(patients) < fewest]
    whole, rank = cells_SK.astype(np.float64), np.linalg.matrix_rank(cells_SK)
    if not small or np.linalg.matrix_rank(np.where(_among(small, len(patients_K)), 0.0, whole)) == rank:
        return False
    left_out_LK = np.array([_among(cells, len(patients_K)) for cells in _lists_of_few(small, patients_K, fewest)])
    return bool((np.linalg.matrix_rank(np.where(left_out_LK[:, None], 0.0, whole)) < rank).any())


def _lists_of_few(small: Sequence[int], patients_K: Sequence[frozenset[str]], fewest: int) -> Iterator[list[int]]:
    """The lists of cells that have fewer patients together, and to which no further cell can be added."""

    def longer(cells: list[int], patients: frozenset[str], start: int) -> Iterator[list[int]]:
        is_whole = True
        for position, cell in enumerate(small):
            together = patients | patients_K[cell]
            if cell not in cells and len(together) < fewest:
                is_whole = False
                if position >= start:
                    yield from longer([*cells, cell], together, position + 1)
        if is_whole:
            yield cells

    return longer([], frozenset(), 0)


def _among(cells: Sequence[int], num_cells: int) -> Bools:
    return np.isin(np.arange(num_cells), cells)
