"""Whether a volume is joined of two: from one slice to the next it changes far more than anywhere near.

Headers know nothing of it where positions were written anew: two scans under one UID, a scan whose slices were lost or
whose halves changed places, a couch that moved. Patients who breathe between two parts of a scan look the same, so it
is told and not refused.

On the five real series the longest step was 1.34 of the three on either side at most, and no more where only every
second to fourth slice was taken (10 mm apart). Of halves that were exchanged it was 3.0 to 6.1, of another patient's
scan in continuation 2.7 to 7.4, of ten lost slices 2.4 to 3.0, of three lost slices 1.8 to 2.3, of an image moved by
8 pixels 2.5 to 3.2. Two lost slices (1.3 to 1.6) and a shift by 100 HU (1.3 to 1.5) are not told.

Shapes: N steps.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedlung.ct.geometry import Float64Array

STANDS_OUT = 1.8
NUM_BESIDE, MIN_BESIDE = 3, 2


def seam_after(step_N: Float64Array) -> int | None:
    """The number of the slice, from 1, after which the longest such step follows; None where none stands out.

    step_N  from each slice to the next, root mean squares in HU (``rms_steps``)
    """
    steps = step_N.tolist()  # of floats: numpy takes five times as long for a few of them
    off = {index: _off(steps, index) for index in range(MIN_BESIDE, len(steps) - MIN_BESIDE)}
    index = max(off, key=lambda index: off[index], default=None)
    return None if index is None or off[index] <= STANDS_OUT else index + 1


def _off(steps: Sequence[float], index: int) -> float:
    """A step as a multiple of the longest one beside it."""
    before, after = steps[max(0, index - NUM_BESIDE) : index], steps[index + 1 : index + 1 + NUM_BESIDE]
    return steps[index] / max(*before, *after)


def seam_sentence(number: int, num_slices: int, counted: str) -> str:
    """The warning, with its code before it."""
    found = f"after slice {number} of {num_slices}, counted {counted}, the image changes at once"
    return f"SEAM: {found}: another scan may go on there, or slices be missing."
