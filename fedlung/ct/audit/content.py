"""Whether the pixels themselves can be trusted: checks on the stored values while a series is read.

Each slice leaves a coarse sample behind (about 128 x 8 pixels) and what its own check found; the series is then
judged on all samples together.

Shapes: N slices, S samples of a slice, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from fedlung.ct.audit.findings import Finding
from fedlung.ct.audit.matrix import wrong_matrix
from fedlung.ct.audit.rescale import contradicted_rescale
from fedlung.ct.audit.samples import Sampled, Samples, sample_grid
from fedlung.ct.audit.seam import seam_after, seam_sentence
from fedlung.ct.audit.signs import contradicted_bits, contradicted_order, contradicted_sign
from fedlung.ct.audit.smoothness import first_flipped, is_noisy, is_out_of_line, other_order
from fedlung.ct.audit.torn import is_torn, stuck_slices, torn_tail
from fedlung.ct.dicom.headers import Header

COPY_AGAIN = "Copy or export the series again."
WRONG_NUMBERS = "Export again: the rescale or the pixels' sign is wrong."
# Scanners' scale ends at 3071 HU in 12 bits; metal beyond it never fills so much of a scan.
NO_LUNG_HU = -200.0
TOP_HU, MAX_SHARE_ABOVE = 3071.0, 0.1
# Below air only what lies outside the field of view, which is one or two constants.
BOTTOM_HU, MAX_SHARE_BELOW = -1200.0, 0.05
# One slice whose mean jumps and falls back: no part of a body does.
JUMP_HU, BACK_HU = 300.0, 100.0
BACKGROUND_SHARE = 0.75
# Constant slices up to here are air.
MAX_AIR_HU = -950.0
# All that the stored numbers could span. Even a scan that is rescaled slice by slice has air or tissue in each.
MIN_SPAN_HU = 64.0
MIN_MIRRORED = 3


class ContentAudit:
    """``check_slice`` for every slice in any order and from any thread, then ``check_volume`` once.

    headers  ascending along the normal, as the volume's slices are
    """

    def __init__(self, headers: Sequence[Header]) -> None:
        self.headers = tuple(headers)
        self._index = {(header.path, header.frame): index for index, header in enumerate(self.headers)}
        self._sampled: dict[int, Sampled] = {}
        self._matrix: dict[int, Finding | None] = {}

    def check_slice(self, stored_HW: npt.NDArray, header: Header) -> None:
        """Remember a slice by its stored values (before bits are masked, or after). Raises SeriesError."""
        index = self._index[header.path, header.frame]
        # Sign, bits and matrix are declared for all slices alike: eight of them show whether they are right.
        if index % max(1, len(self.headers) // 8) == 0 or _declared(header) != _declared(self.headers[0]):
            for check in DECLARATION_CHECKS:
                _raise(check(stored_HW, header))
            self._matrix[index] = wrong_matrix(stored_HW, header)
        rows, columns = sample_grid(stored_HW.shape)
        # A copy: the reader uses the array for the next slice.
        self._sampled[index] = Sampled(stored_HW[rows, columns].flatten(), torn_tail(stored_HW))

    def check_volume(self, voxels_DHW: npt.NDArray) -> tuple[str, ...]:
        """Judge the series by what was remembered and, where that is suspicious, by its HU.

        Returns sentences on what is odd but trusted, each with its code before it. Raises SeriesError.
        """
        _raise(self._wrong_matrix())
        samples = Samples(self.headers, tuple(self._sampled[index] for index in range(len(self.headers))), voxels_DHW)
        for check in VOLUME_CHECKS:
            _raise(check(samples))
        return tuple(sentence for odd in VOLUME_WARNINGS if (sentence := odd(samples)))

    def _wrong_matrix(self) -> Finding | None:
        """What most of the tried slices agree upon: a coronal slice of nothing but a table may look like anything."""
        found = [finding for finding in self._matrix.values() if finding is not None]
        return found[0] if 2 * len(found) >= max(1, len(self._matrix)) else None


def _declared(header: Header) -> tuple[bool, int]:
    return header.signed, header.bits_stored


def _raise(finding: Finding | None) -> None:
    if finding is not None:
        raise finding.error


def _empty(samples: Samples) -> Finding | None:
    """Slices of one value among others. Where all are, they may be a function of the position alone."""
    constant_N = samples.is_constant_N
    if constant_N.all() and len(np.unique(samples.mean_N)) > 1:
        return None
    num_empty = sum(not _is_background(samples, index) for index in np.flatnonzero(constant_N).tolist())
    if num_empty:
        sentence = f"{num_empty} of {len(constant_N)} slices have one value throughout."
        return Finding("EMPTY_SLICE", sentence, COPY_AGAIN)
    return None


def _is_background(samples: Samples, index: int) -> bool:
    """Whether a constant slice is air beyond the body's end, or all around it, as in a phantom without noise.

    Zeros may be what damage left, so for them the nearest slices that are not constant must be mostly of this value.
    """
    other_N = np.flatnonzero(~samples.is_constant_N)
    nearest = [*other_N[other_N < index][-1:], *other_N[other_N > index][:1]]
    if len(nearest) == 1 and samples.stored_NS[index, 0] != 0 and samples.hu_NS[index, 0] <= MAX_AIR_HU:
        return True
    same = [float((samples.hu_NS[other] == samples.hu_NS[index, 0]).mean()) for other in nearest]
    return bool(same) and min(same) >= BACKGROUND_SHARE


def _torn(samples: Samples) -> Finding | None:
    tails = [sampled.tail for sampled in samples.sampled]
    width = samples.voxels_DHW.shape[2]
    num_torn = sum(is_torn(tails, index, width, header) for index, header in enumerate(samples.headers))
    if num_torn:
        sentence = f"{num_torn} of {len(tails)} slices are 0 from somewhere to their end."
        return Finding("TRAILING_ZERO_ROWS", sentence, COPY_AGAIN)
    return None


def _stuck(samples: Samples) -> Finding | None:
    """Rows of one value inside a slice, where both neighbours have anything else."""
    rows, columns = samples.grid_hw
    if stuck_slices(samples.hu_NS.reshape(len(samples.headers), len(rows), len(columns))).any():
        sentence = "a slice has several rows of one value, where both its neighbours have an image."
        return Finding("STUCK_PIXELS", sentence, COPY_AGAIN)
    return None


def _beyond_hounsfield(samples: Samples) -> Finding | None:
    return beyond_hounsfield(samples.rescaled_NS)


def beyond_hounsfield(hu_NS: npt.NDArray) -> Finding | None:
    """Whole regions above any tissue, or below air with more than the few values that fill what was not measured."""
    share_above, below = float((hu_NS > TOP_HU).mean()), hu_NS[hu_NS < BOTTOM_HU]
    _, count = np.unique(below, return_counts=True)
    share_below = (len(below) - np.sort(count)[-2:].sum()) / hu_NS.size
    if share_above <= MAX_SHARE_ABOVE and share_below <= MAX_SHARE_BELOW:
        return None
    sentence = f"{share_above:.0%} of the pixels are above {TOP_HU:.0f} HU, {share_below:.0%} below {BOTTOM_HU:.0f} HU."
    return Finding("IMPLAUSIBLE_HU", sentence, WRONG_NUMBERS)


def _no_air_possible(samples: Samples) -> Finding | None:
    """Unsigned numbers whose one intercept lets none of them be lung or air. A rescale of each slice may well do so."""
    lowest_hu = {header.intercept for header in samples.headers}
    if any(header.signed for header in samples.headers) or len(lowest_hu) > 1 or min(lowest_hu) <= NO_LUNG_HU:
        return None
    sentence = f"unsigned numbers with intercept {min(lowest_hu):g} hold nothing below it, but air is -1000 HU."
    return Finding("IMPLAUSIBLE_HU", sentence, WRONG_NUMBERS)


def _no_span(samples: Samples) -> Finding | None:
    """A slope so small that all numbers of a slice mean nearly the same."""
    span_hu = min(header.slope * 2**header.bits_stored for header in samples.headers)
    if span_hu >= MIN_SPAN_HU:
        return None
    sentence = f"all numbers that a slice may store lie within {span_hu:.3g} HU, expected {MIN_SPAN_HU:.0f} or more."
    return Finding("IMPLAUSIBLE_HU", sentence, WRONG_NUMBERS)


def _wrong_rescale(samples: Samples) -> Finding | None:
    return contradicted_rescale(samples.rescaled_NS, samples.headers)


def _jump(samples: Samples) -> Finding | None:
    up_N, down_N = np.diff(samples.mean_N)[:-1], -np.diff(samples.mean_N)[1:]
    limit_hu = max(JUMP_HU, 4 * float(np.median(np.abs(np.diff(samples.mean_N)))))
    jumps = (np.minimum(np.abs(up_N), np.abs(down_N)) > limit_hu) & (np.abs(up_N - down_N) < BACK_HU)
    if jumps.any():
        sentence = f"{int(jumps.sum())} slices differ from both neighbours by more than {JUMP_HU:.0f} HU on average."
        return Finding("INTENSITY_JUMP", sentence, WRONG_NUMBERS)
    return None


def _copied(samples: Samples) -> Finding | None:
    """The same pixels at two places. Noise never repeats itself; a smooth phantom may, where it is symmetrical."""
    first_of: dict[bytes, int] = {}
    copies = []
    for index in np.flatnonzero(~samples.is_constant_N).tolist():
        other = first_of.setdefault(samples.stored_NS[index].tobytes(), index)
        if other != index and np.array_equal(samples.voxels_DHW[other], samples.voxels_DHW[index]):
            copies.append((other, index))
    few = len(copies) <= max(1, len(samples.headers) // 8)
    for pair in [] if _is_mirror(copies, len(samples.headers)) else copies:
        if is_noisy(samples.voxels_DHW[pair[1]]) or (few and any(is_out_of_line(samples.hu_NS, i) for i in pair)):
            sentence = f"{len(copies)} slices have the very pixels of another slice."
            return Finding("DUPLICATE_PIXELS", sentence, "Export again: a slice was overwritten by another.")
    return None


def _is_mirror(copies: list[tuple[int, int]], num_slices: int) -> bool:
    """Whether all copies are one mirror image about a slice or a gap, down to it: a phantom that is made so."""
    enough = max(2, min(MIN_MIRRORED, num_slices // 2))
    is_about_one = len(copies) >= enough and len({one + other for one, other in copies}) == 1
    return is_about_one and min(other - one for one, other in copies) <= 2


def _flipped(samples: Samples) -> Finding | None:
    rows, columns = samples.grid_hw
    index = None if samples.is_aside else first_flipped(samples.hu_NS, (len(rows), len(columns)))
    if index is None:
        return None
    sentence = "a slice follows the one before it clearly better when its image is mirrored or turned."
    return Finding("FLIPPED_SLICE", sentence, "Export again: rows or columns run the other way.")


def _out_of_order(samples: Samples) -> Finding | None:
    found = None if samples.is_aside else other_order(samples.hu_NS)
    if found is None:
        return None
    return Finding("SLICES_OUT_OF_ORDER", found, "Export again, and compare the slices' order with the archive's.")


def _stray(samples: Samples) -> Finding | None:
    if samples.stray is None or not samples.stray.is_sure:
        return None
    remedy = "Look at it, and export the series again: it was shifted, turned, exchanged or damaged."
    return Finding("STRAY_SLICE", _stray_sentence(samples), remedy)


def _stray_sentence(samples: Samples) -> str:
    assert samples.stray is not None, "asked for only where there is one"
    which = f"slice {samples.stray.number} of {len(samples.headers)}, counted along the normal,"
    return f"{which} has another image than those beside it, which are alike."


def _warn_of_stray(samples: Samples) -> str:
    return "" if samples.stray is None else f"STRAY_SLICE: {_stray_sentence(samples)}"


def _warn_of_seam(samples: Samples) -> str:
    number = None if samples.is_aside or samples.has_gaps else seam_after(samples.step_N)
    # Beyond a body's end there may be air alone, and a body begins at once.
    if number is None or samples.is_constant_N[number - 1 : number + 1].any():
        return ""
    return seam_sentence(number, len(samples.headers), "along the normal")


DECLARATION_CHECKS: tuple[Callable[[npt.NDArray, Header], Finding | None], ...] = (
    contradicted_bits,
    contradicted_order,
    contradicted_sign,
)
# ORDER: damage to single slices first, since it makes the others' order look wrong; a slice that fits nowhere last,
# since those before it say what would mend it.
VOLUME_CHECKS: tuple[Callable[[Samples], Finding | None], ...] = (
    _empty,
    _torn,
    _stuck,
    _beyond_hounsfield,
    _no_air_possible,
    _no_span,
    _wrong_rescale,
    _jump,
    _copied,
    _out_of_order,
    _flipped,
    _stray,
)
VOLUME_WARNINGS: tuple[Callable[[Samples], str], ...] = (_warn_of_stray, _warn_of_seam)
