"""Whether other tags contradict the positions: slices whose positions were exchanged still count and lie as before.

Neither InstanceNumber nor SliceLocation sets geometry. Scanners count up, down or at random, and a location may have
its own sign and zero. Only where almost all slices agree and a few do not, those are wrong in one tag or the other.

Shapes: N slices.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

import numpy as np

from fedlung.ct.audit.findings import Finding
from fedlung.ct.audit.slices import Slices
from fedlung.ct.geometry import Float64Array

# Among ten random numbers a count but for a fifth of them has a chance of 1e-3; among fewer it is no evidence.
MIN_COUNTED = 10
MAX_MISFITS_SHARE = 0.2
MIN_LOCATED = 5
# Locations are printed with one decimal or more, or as whole millimetres.
ROUNDING_MM = {True: 0.5, False: 0.05}
REMEDY = "Export again, and compare the slices' order with the archive's."


def _contradicted_by_number(slices: Slices) -> Finding | None:
    numbers = [number for header in slices.ascending if (number := header.instance_number) is not None]
    misfits = len(numbers) - max(_longest_ascent(numbers), _longest_ascent([-number for number in numbers]))
    if len(numbers) < MIN_COUNTED or not 0 < misfits <= MAX_MISFITS_SHARE * len(numbers):
        return None
    sentence = f"{misfits} of {len(numbers)} slices are counted elsewhere than they lie."
    return Finding("SLICES_OUT_OF_ORDER", sentence, REMEDY)


def _longest_ascent(numbers: Sequence[int]) -> int:
    """Length of the longest subsequence that never falls (patience sorting)."""
    tails: list[int] = []
    for number in numbers:
        place = bisect_right(tails, number)
        tails[place : place + 1] = [number]
    return len(tails)


def _contradicted_by_location(slices: Slices) -> Finding | None:
    located = ~np.isnan([header.slice_location_mm for header in slices.ascending])
    if located.sum() < MIN_LOCATED:
        return None
    misfits, num_located = int(location_misfits(slices).sum()), int(located.sum())
    if not 0 < misfits < 0.5 * num_located:
        return None
    sentence = f"{misfits} of {num_located} slices have a SliceLocation elsewhere than they lie."
    return Finding("SLICES_OUT_OF_ORDER", sentence, REMEDY)


def location_misfits(slices: Slices) -> np.ndarray:
    """(N,) where SliceLocation is over half a step off the position, but for one sign and offset of all slices."""
    location_N = np.array([header.slice_location_mm for header in slices.ascending])
    found_N = location_N[~np.isnan(location_N)]
    rounding_mm = ROUNDING_MM[bool((found_N == np.rint(found_N)).all())]
    limit_mm = 0.6 * float(np.median(np.diff(slices.ascending_mm))) + rounding_mm
    residues = [_off_the_median(location_N - sign * slices.ascending_mm) for sign in (1, -1)]
    return min((residue_N > limit_mm for residue_N in residues), key=np.sum)


def _off_the_median(values_N: Float64Array) -> Float64Array:
    """(N,) distance from the median; 0 where there is no value."""
    return np.nan_to_num(np.abs(values_N - np.nanmedian(values_N)))


ORDER_CHECKS: tuple[Callable[[Slices], Finding | None], ...] = (_contradicted_by_number, _contradicted_by_location)
