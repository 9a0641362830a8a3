"""Whether a rescale that changes from slice to slice is the pixels' own: stored values may jump, HU go on.

Shapes: N slices, S samples of a slice, C changes of the rescale.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fedlung.ct.audit.findings import Finding
from fedlung.ct.dicom.headers import Header
from fedlung.ct.geometry import Float64Array

# A rescale that is wrong by a unit's offset is wrong by hundreds; steps between noisy slices are below. On the five
# real series a slope that is wrong by a tenth from the middle on is told, and of 1940 right changes none.
MIN_CONTRADICTION_HU = 50.0
# On average over so many changes, less is as sure.
MIN_MEAN_CONTRADICTION_HU, MIN_CHANGES, MIN_IMAGE_SAMPLES = 10.0, 5, 16
# Above this share of the samples by how much the rescale changes them.
PLAINEST = 0.75
# Of the changes.
MOST = 0.5


def contradicted_rescale(rescaled_NS: npt.NDArray, headers: Sequence[Header]) -> Finding | None:
    """Whether HU jump where the rescale changes, and would go on if it did not.

    rescaled_NS  ``slope * stored + intercept`` of each slice's samples; NaN is padding
    """
    rescales = [(header.slope, header.intercept) for header in headers]
    changes = [index for index in range(len(rescales) - 1) if rescales[index] != rescales[index + 1]]
    steps_C22 = np.array(
        [_steps_at_change(rescaled_NS[index : index + 2], rescales[index : index + 2]) for index in changes]
    ).reshape(-1, 2, 2)
    sizes_2C2 = np.abs(steps_C22).transpose(1, 0, 2)
    hu_C2, stored_C2 = sizes_2C2
    means_2 = sizes_2C2[:, :, 1].sum(axis=1) / max(1, len(changes))
    is_clear_C2 = (hu_C2 > MIN_CONTRADICTION_HU) & (stored_C2 < hu_C2 / 4)
    # By the medians alone a smooth phantom's own slope may be taken for one change, but hardly for most of many.
    is_clear = is_clear_C2[:, 0].any() or (len(changes) > 0 and is_clear_C2[:, 1].mean() > MOST)
    is_steady = len(changes) >= MIN_CHANGES and means_2[0] > MIN_MEAN_CONTRADICTION_HU and means_2[1] < means_2[0] / 4
    if not (is_clear or is_steady):
        return None
    sentence = f"HU jump by up to {hu_C2.max():.0f} where the rescale changes, and the stored values do not."
    return Finding("RESCALE_CONTRADICTED", sentence, "Export again: the rescale or the pixels' sign is wrong.")


def _steps_at_change(
    rescaled_2S: npt.NDArray, rescales: Sequence[tuple[float, float]]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """By how many HU the next slice differs where the rescale matters most, and by how many if it had not changed.

    Each as the median size of the samples' steps, in which noise adds up, and as their median, in which it does not.
    Without what is lowest in its slice: that fills what was not measured, or was cut off there.
    """
    before_S, after_S = rescaled_2S.astype(np.float64)
    (slope, intercept), (next_slope, next_intercept) = rescales
    is_image_S = (before_S > np.nanmin(before_S, initial=np.inf)) & (after_S > np.nanmin(after_S, initial=np.inf))
    if is_image_S.sum() < MIN_IMAGE_SAMPLES:
        return (0.0, 0.0), (0.0, 0.0)
    alike_S = (after_S - next_intercept) / next_slope * slope + intercept
    # A wrong slope moves dense tissue, and air hardly: where the two differ most, the truth is plainest. By the middle
    # of both slices: what is densest in one of them is less so in the other, for that alone.
    middle_S = (before_S + after_S) / 2
    apart_S = np.abs((middle_S - next_intercept) / next_slope * slope + intercept - middle_S)
    is_image_S &= apart_S >= np.quantile(apart_S[is_image_S], PLAINEST)
    hu_S, stored_S = ((found_S - before_S)[is_image_S] for found_S in (after_S, alike_S))
    return _medians(hu_S), _medians(stored_S)


def _medians(step_S: Float64Array) -> tuple[float, float]:
    return float(np.median(np.abs(step_S))), float(np.median(step_S))
