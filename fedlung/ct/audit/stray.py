"""Whether a slice shows another image than the two beside it, which are alike: shifted, turned, reshaped or damaged.

Headers know nothing of it. From one slice to the next but one a body changes more than to the next, so a slice is
nearer to either neighbour than they are to one another. On the five real series the lesser of its two distances came to
.85 of theirs at most, and to 1.01 where only every fourth slice was taken (10 mm apart). For a slice whose image was
shifted by half its rows, transposed, turned upside down or reshaped it came to 1.48 or more, as a rule to 3 to 6.

Shapes: N slices, S samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedlung.ct.geometry import Float64Array

MIN_SLICES = 5
# Of the neighbours' own distance: a warning where it is odd by that alone, a refusal with what else shows it.
ODD, SURE = 1.2, 1.0
# Of the steps around: where a phantom's slices turn round, the two beside a slice are alike too, but its steps small.
# On real series 1.32 at the most where the distance above is .85 or more.
STANDS_OUT = 1.5
# What a slice has beyond both its neighbours. A plate or a lesion in one slice is brighter or darker; an image in the
# wrong place is brighter here and darker there.
BEYOND_HU, MIN_SHARE, MIN_SHARE_EITHER_WAY = 40.0, 0.16, 0.08
# At an end there is one neighbour: its step is compared with the next three; on real series 1.34 at the most.
AT_END, STEPS_AT_END = 2.5, 3
SMALLEST_STEP_HU = 1.0


@dataclass(frozen=True)
class Stray:
    """A slice out of line. ``number`` counts from 1, ascending along the normal; ``is_sure`` where it is no anatomy."""

    number: int
    is_sure: bool


def stray_slice(hu_NS: npt.NDArray[np.float32], next_N: Float64Array | None = None) -> Stray | None:
    """The slice that is most out of line, if one is. ``next_N`` are its ``rms_steps`` by 1, where they are known."""
    if len(hu_NS) < MIN_SLICES:
        return None
    next_N, second_N = rms_steps(hu_NS, 1) if next_N is None else next_N, rms_steps(hu_NS, 2)
    inner = int((np.minimum(next_N[:-1], next_N[1:]) / second_N).argmax()) + 1
    off = float(min(next_N[inner - 1], next_N[inner]) / second_N[inner - 1])
    if off >= SURE and _stands_out(next_N, inner):
        is_sure = _is_beyond(hu_NS, inner)
        if is_sure or off >= ODD:
            return Stray(inner + 1, is_sure)
    at_ends = {1: next_N, len(hu_NS): next_N[::-1]}
    return next((Stray(number, False) for number, step_N in at_ends.items() if _is_off_at_end(step_N)), None)


def rms_steps(hu_NS: npt.NDArray[np.float32], by: int) -> Float64Array:
    """(N - by,) root mean square difference in HU of each slice and the one ``by`` further on."""
    square_N = np.square(hu_NS[by:] - hu_NS[:-by]).mean(axis=1, dtype=np.float64)
    return np.maximum(np.sqrt(square_N), SMALLEST_STEP_HU)


def _stands_out(next_N: Float64Array, index: int) -> bool:
    """Whether both steps of a slice are longer than the two before and the two after them."""
    around_N = np.concatenate([next_N[max(0, index - 3) : index - 1], next_N[index + 1 : index + 3]])
    return bool(min(next_N[index - 1], next_N[index]) > STANDS_OUT * around_N.max())


def _is_beyond(hu_NS: npt.NDArray[np.float32], index: int) -> bool:
    """Whether enough of a slice is clearly brighter, and enough clearly darker, than both its neighbours."""
    low_S, high_S = np.minimum(hu_NS[index - 1], hu_NS[index + 1]), np.maximum(hu_NS[index - 1], hu_NS[index + 1])
    margin_S = np.maximum(high_S - low_S, BEYOND_HU)
    brighter = float((hu_NS[index] > high_S + margin_S).mean())
    darker = float((hu_NS[index] < low_S - margin_S).mean())
    return brighter + darker >= MIN_SHARE and min(brighter, darker) >= MIN_SHARE_EITHER_WAY


def _is_off_at_end(step_N: Float64Array) -> bool:
    return bool(step_N[0] > AT_END * step_N[1 : 1 + STEPS_AT_END].max())
