"""Whether the image has as many columns as the header says.

With another number of columns as many pixels make an image too, a sheared or a doubled one. Pixels that belong above
one another are then as far apart in the file as the true number of columns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedlung.ct.audit.findings import Finding
from fedlung.ct.headers import Header

PIXELS = 2048
# Another number of columns must make pixels above one another this much more alike.
CLEARLY = 0.6


def wrong_matrix(stored_HW: npt.NDArray, header: Header) -> Finding | None:
    """Whether rows and columns are clearly exchanged, or the rows cut in halves or joined in pairs."""
    height, width = stored_HW.shape
    flat = stored_HW.ravel()
    start = np.arange(0, flat.size - 2 * max(height, width), max(1, flat.size // PIXELS))
    if not len(start):
        return None
    # What lies above BitsStored may be an overlay.
    value_P, mask = flat[start].astype(np.int64), (1 << header.bits_stored) - 1
    apart = {
        columns: float(np.abs((value_P & mask) - (flat[start + columns].astype(np.int64) & mask)).mean())
        for columns in (width, height, 2 * width)
    }
    others = [jump for columns, jump in apart.items() if columns != width]
    if min(others) >= CLEARLY * apart[width]:
        return None
    sentence = f"pixels above one another do not fit together in a matrix of {height} rows and {width} columns."
    return Finding("WRONG_MATRIX", sentence, "Export again: Rows and Columns are wrong.")
