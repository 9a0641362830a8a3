"""Where in a lung a nodule can be: spots that are brighter than what is around them.

A nodule is denser than the lung, so its inside has a brightest spot. Windows at such spots alone are some hundred times
fewer than windows everywhere. What they miss is missed by every model. On voxels of 1.25 mm, of 17 nodules of three
readers in five series of LIDC-IDRI they have 16 where nothing brighter lies within 4 mm (3,300 windows a scan) and 15
within 5 mm (2,200); of 13 of the phantom's 12 with either (1,040 and 580).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter, uniform_filter


@dataclass(frozen=True)
class Bright:
    """Which spots count.

    reach_mm  along each axis; no brighter place of the lung lies within it
    least_hu  mean of the spot's 3 x 3 x 3 voxels
    """

    reach_mm: float
    least_hu: float


def bright_spots(
    image_DHW: npt.NDArray[np.int16],
    lung_DHW: npt.NDArray[np.bool_],
    bright: Bright,
    *,
    spacing_mm: tuple[float, float, float],
) -> npt.NDArray[np.bool_]:
    """(D, H, W) bool: voxels of the lung whose 3 x 3 x 3 mean over lung no other of the lung within reach exceeds.

    The chest wall does not count, in the mean neither: beside it a nodule that lies on it would be no spot. Equal
    neighbours are all spots.
    """
    lung = lung_DHW.astype(np.float32)
    share_DHW = uniform_filter(lung, size=3, mode="constant")
    mean_DHW = uniform_filter(image_DHW * lung, size=3, mode="constant") / np.maximum(share_DHW, 1 / 54)
    mean_DHW[~lung_DHW] = -np.inf
    size = tuple(2 * int(bright.reach_mm / mm) + 1 for mm in spacing_mm)
    highest_DHW = maximum_filter(mean_DHW, size=size, mode="constant", cval=-np.inf)
    spots_DHW: npt.NDArray[np.bool_] = (mean_DHW == highest_DHW) & (mean_DHW >= bright.least_hu)
    return spots_DHW
