"""Whether slices follow one another: an exchange of two that makes the scan clearly smoother shows a wrong order.

Distances are root mean squares between samples of slices. In a scan in its order they grow from the next slice to the
one after it; in pure noise they are all alike, and no exchange gains anything that is sure.

Shapes: N slices, S samples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedlung.ct.geometry import Float64Array

MIN_SLICES = 5
# Share of the steps around two slices that their exchange must save. In LIDC no exchange saves anything.
CLEAR_GAIN = 0.08
CLEAR_STRAIGHTENING = 0.2
# Samples that gain less those that lose: few do where only a sphere or a vessel changes. In LIDC .16 or more.
WINNING_SHARE = 0.15
# Standard errors by which the gain must differ from 0 over the samples.
SURE = 6.0
# Two scans between one another: the slice after the next is nearer than the next.
INTERLEAVED = 0.6
# Slices of noise alternate by chance where there are few of them.
MIN_ALTERNATING, ALTERNATING_SHARE, ALTERNATING_HU = 12, 0.85, 15.0
FLIPPED, FLIPPED_AROUND, STANDS_OUT = 0.5, 1.0, 1.15
TURNS = ((slice(None, None, -1), slice(None)), (slice(None), slice(None, None, -1)), (slice(None, None, -1),) * 2)
SMALLEST_STEP_HU = 1.0
NOISE_HU = 2.0
PRODUCT_BLOCK = 16
# Share of neighbouring bends of opposite signs, and how many different ones: .73 in white noise, in LIDC .48 and 318 or
# more; in smooth fields .28 at most, in images of even parts 32.
NOISE_TURNS, MIN_NOISE_VALUES = 0.33, 40


def other_order(hu_NS: npt.NDArray[np.float32]) -> str | None:
    """A sentence, if slices are clearly in another order than they should be."""
    if len(hu_NS) < MIN_SLICES:
        return None
    distance_NN = distances(hu_NS)
    next_N, second_N = np.diagonal(distance_NN, 1), np.diagonal(distance_NN, 2)
    if next_N.max() < SMALLEST_STEP_HU:
        return None
    if _is_interleaved(hu_NS, next_N, second_N) or _alternates(hu_NS):
        return "every second slice follows the one before the last and not the last: two scans lie between one another."
    first, second = _best_exchange(distance_NN)
    if first == second or not _is_sure(hu_NS, first, second):
        return None
    return "slices follow one another clearly better when two of them change places."


def distances(hu_NS: npt.NDArray[np.float32]) -> Float64Array:
    """(N, N) root mean square differences in HU."""
    centred_NS = hu_NS - hu_NS.mean(axis=0, dtype=np.float64).astype(np.float32)
    gram_NN = _products(centred_NS).astype(np.float64) / hu_NS.shape[1]
    square_N = np.diagonal(gram_NN)
    return np.sqrt(np.maximum(square_N[:, None] + square_N - 2 * gram_NN, 0))


def _products(hu_NS: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N, N) sums of products of any two slices; of each pair only once."""
    product_NN = np.empty((len(hu_NS), len(hu_NS)), np.float32)
    for start in range(0, len(hu_NS), PRODUCT_BLOCK):
        block = slice(start, start + PRODUCT_BLOCK)
        # Not by @: the threads of a BLAS wait actively for its next call, longer than all other checks take together.
        product_NN[block, start:] = np.einsum("ns,ms->nm", hu_NS[block], hu_NS[start:])
        product_NN[start:, block] = product_NN[block, start:].T
    return product_NN


def _is_interleaved(hu_NS: npt.NDArray, next_N: Float64Array, second_N: Float64Array) -> bool:
    return bool(len(hu_NS) >= 8 and np.median(second_N) < INTERLEAVED * np.median(next_N))


def _alternates(hu_NS: npt.NDArray[np.float32]) -> bool:
    """Whether every second slice is brighter than both its neighbours, and by about as much everywhere.

    One bright slice bends the means three times, up and down in turn: nearly all bends have to be clear.
    """
    if len(hu_NS) < MIN_ALTERNATING:
        return False
    bend_N = np.diff(hu_NS.mean(axis=1, dtype=np.float64), 2)
    alternating_N = bend_N * (-1.0) ** np.arange(len(bend_N))
    alternating = abs(float(alternating_N.mean()))
    clear_N = alternating_N * np.sign(alternating_N.mean()) > max(ALTERNATING_HU, alternating) / 2
    least = max(ALTERNATING_SHARE * float(np.abs(bend_N).mean()), 2 * float(alternating_N.std()), ALTERNATING_HU)
    return alternating > least and float(clear_N.mean()) >= ALTERNATING_SHARE


def first_flipped(hu_NS: npt.NDArray[np.float32], shape_hw: tuple[int, int]) -> int | None:
    """The first slice that is clearly more like those around it when it is mirrored or turned, if there is one.

    shape_hw  of the samples of a slice
    """
    step_N = np.abs(np.diff(hu_NS, axis=0)).mean(axis=1)
    limit = max(1.5 * float(np.median(step_N)), SMALLEST_STEP_HU)
    hu_Nhw = hu_NS.reshape(-1, *shape_hw)
    for index in np.flatnonzero(step_N > limit).tolist():
        # It alone is turned, or all that follow are.
        alone = [(index, index + 1), (index + 2, index + 1), (index - 1, index + 1), (index + 3, index + 1)]
        follow = [(index, index + 1), (index - 1, index + 1), (index, index + 2)]
        for pairs, near in ((alone, (-2, -1, 2, 3)), (follow, (-2, -1, 1, 2))):
            near_N = step_N[[index + offset for offset in near if 0 <= index + offset < len(step_N)]]
            stands_out = step_N[index] > STANDS_OUT * near_N.max(initial=0)
            if stands_out and any(_fit_when_turned(hu_Nhw, pairs, turn) for turn in TURNS):
                return int(index) + 1
    return None


def _fit_when_turned(hu_Nhw: npt.NDArray[np.float32], pairs: list[tuple[int, int]], turn: tuple[slice, slice]) -> bool:
    """Whether each pair is more alike when its second slice is turned, and the first pair clearly so.

    One pair alone would not do: where a table's left edge ends in one slice and its right edge in the next, they are
    each other's mirror images.
    """
    inside = [pair for pair in pairs if min(pair) >= 0 and max(pair) < len(hu_Nhw)]
    limits = (FLIPPED, *[FLIPPED_AROUND] * len(inside))
    return all(
        _apart(hu_Nhw[one], hu_Nhw[other][turn]) < limit * _apart(hu_Nhw[one], hu_Nhw[other])
        for (one, other), limit in zip(inside, limits, strict=False)
    )


def _apart(one_hw: npt.NDArray[np.float32], other_hw: npt.NDArray[np.float32]) -> float:
    return float(np.abs(one_hw - other_hw).mean())


def _best_exchange(distance_NN: Float64Array) -> tuple[int, int]:
    """The two slices whose exchange saves most, as a share of the steps around them; the same twice if none does.

    The steps at the two ends count twice: else a slice that is unlike all others would always fit best at an end.
    """
    index_N = np.arange(len(distance_NN))
    before_N = np.abs(index_N - 1)
    after_N = len(index_N) - 1 - before_N[::-1]
    around_NN = distance_NN[before_N] + distance_NN[after_N]
    own_N = np.diagonal(around_NN)
    saved_NN = own_N[:, None] + own_N - around_NN - around_NN.T
    # Neighbours keep the step between them, which these sums take for a step of a slice to itself.
    saved_NN[index_N[:-1], index_N[1:]] = saved_NN[index_N[1:], index_N[:-1]] = _saved_by_neighbours(distance_NN)
    share_NN = saved_NN / np.maximum(own_N[:, None] + own_N, 2 * SMALLEST_STEP_HU)
    first, second = np.unravel_index(share_NN.argmax(), share_NN.shape)
    return (int(first), int(second)) if share_NN[first, second] > CLEAR_GAIN else (0, 0)


def _saved_by_neighbours(distance_NN: Float64Array) -> Float64Array:
    """(N - 1,) what the exchange of each slice with the next one saves; at an end, on the inner side alone."""
    next_N, second_N = np.diagonal(distance_NN, 1), np.diagonal(distance_NN, 2)
    saved_N = np.zeros(len(next_N))
    saved_N[1:] += next_N[:-1] - second_N
    saved_N[:-1] += next_N[1:] - second_N
    return saved_N


def _is_sure(hu_NS: npt.NDArray[np.float32], first: int, second: int) -> bool:
    """Whether the exchange makes steps smaller and bends straighter over the samples, by more than chance.

    Steps alone would not do: in a body that is the same above and below, slices of one half fit into the other.
    """
    order_N = np.arange(len(hu_NS))
    order_N[[first, second]] = order_N[[second, first]]
    for differences, clear_gain in ((1, CLEAR_GAIN), (2, CLEAR_STRAIGHTENING)):
        near = np.unique(np.add.outer([first, second], np.arange(-differences, 1)))
        near = near[(near >= 0) & (near < len(hu_NS) - differences)]
        now_S, then_S = (_roughness(hu_NS, order, near, differences) for order in (np.arange(len(hu_NS)), order_N))
        gain_S = now_S - then_S
        error = gain_S.std() / np.sqrt(len(gain_S))
        if differences == 1 and np.sign(gain_S).mean() < WINNING_SHARE:
            return False
        if gain_S.mean() < max(SURE * error, SMALLEST_STEP_HU, clear_gain * now_S.mean()):
            return False
    return True


def _roughness(
    hu_NS: npt.NDArray[np.float32], order_N: npt.NDArray, near: npt.NDArray, differences: int
) -> Float64Array:
    """(S,) sum of absolute first or second differences that start at the slices ``near``."""
    taken = hu_NS[order_N[near[:, None] + np.arange(differences + 1)]].astype(np.float64)
    return np.abs(np.diff(taken, differences, axis=1)).sum(axis=(0, 1))


def is_noisy(hu_HW: npt.NDArray) -> bool:
    """Whether a slice has noise, as every measured one does: bends along its rows that do not follow one another.

    Told by their signs, for an edge bends more than all noise; and by how many different ones there are, for a phantom
    of even parts has few.
    """
    bend_RW = np.diff(hu_HW[:: max(1, len(hu_HW) // 32)].astype(np.float64), 2, axis=1)
    # A quarter of the pixels, for edges bend as well and air may have been cut off in the rest.
    if bend_RW.shape[1] < 2 or np.quantile(np.abs(bend_RW), 0.75) < NOISE_HU:
        return False
    is_clear_RW = (np.abs(bend_RW[:, 1:]) >= NOISE_HU) & (np.abs(bend_RW[:, :-1]) >= NOISE_HU)
    turns = (bend_RW[:, 1:] * bend_RW[:, :-1])[is_clear_RW] < 0
    return bool(turns.size) and float(turns.mean()) > NOISE_TURNS and len(np.unique(bend_RW)) > MIN_NOISE_VALUES


def is_out_of_line(hu_NS: npt.NDArray[np.float32], index: int) -> bool:
    """Whether a slice as a whole is farther from the middle of its neighbours than nearly all others from theirs."""
    off_N = np.median(np.abs(hu_NS[1:-1] - (hu_NS[:-2] + hu_NS[2:]) / 2), axis=1)
    if not 1 <= index <= len(off_N):
        return False
    others_N = np.delete(off_N, np.clip([index - 2, index - 1, index], 0, len(off_N) - 1))
    return bool(len(others_N) >= 2 and off_N[index - 1] > 3 * np.median(others_N) + SMALLEST_STEP_HU)
