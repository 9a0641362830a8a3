"""Whether arrays that a site sent can be its detections. The server trusts none of them.

``M`` occupied cells, ``R`` bootstrap replicates.
"""

from __future__ import annotations

import numpy as np

from fedlung.errors import ProtocolError
from fedlung.evaluation.statistics import MAX_EXAMPLES, NUM_CELLS, Arrays

_SHAPES = {
    "cells_M": "M",
    "counts_M": "M",
    "replicates_RM": "RM",
    "num_missed_R": "R",
    "num_scans_R": "R",
    "num_missed_1": "1",
    "num_scans_1": "1",
    "num_patients_1": "1",
}


def validate(arrays: Arrays) -> None:
    """Raises ProtocolError unless the arrays are what ``DetectionStatistics.to_arrays`` can make."""
    _require(set(arrays) == set(_SHAPES), f"expected the arrays {sorted(_SHAPES)}, found {sorted(arrays)}")
    sizes = {"M": arrays["counts_M"].size, "R": arrays["num_scans_R"].size, "1": 1}
    for name, axes in _SHAPES.items():
        expected, found = tuple(sizes[axis] for axis in axes), arrays[name]
        _require(found.shape == expected, f"{name} has the shape {found.shape}, expected {expected}")
        _require(found.dtype.kind == ("i" if axes == "1" else "u"), f"{name} has the type {found.dtype}")
    _validate_cells(arrays)
    _validate_totals(arrays)
    _validate_replicates(arrays)


def _validate_cells(arrays: Arrays) -> None:
    cells_M = arrays["cells_M"]
    increasing = bool((np.diff(cells_M.astype(np.int64)) > 0).all())
    _require(increasing and bool((cells_M < NUM_CELLS).all()), f"cells_M must increase and stay below {NUM_CELLS}")
    _require(bool((arrays["counts_M"] > 0).all()), "counts_M has an empty cell")


def _validate_totals(arrays: Arrays) -> None:
    num_missed, num_scans, num_patients = (
        int(arrays[name][0]) for name in ("num_missed_1", "num_scans_1", "num_patients_1")
    )
    _require(num_missed >= 0, f"{num_missed} nodules cannot be missed")
    fits = 0 <= num_patients <= num_scans and (num_patients > 0) == (num_scans > 0)
    _require(fits, f"{num_patients} patients cannot have {num_scans} scans")
    num_events = float(arrays["counts_M"].sum(dtype=np.float64)) + num_missed
    _require(num_scans > 0 or num_events == 0, "nodules or candidates without a scan")
    _require(max(num_events, num_scans) <= MAX_EXAMPLES, f"more than {MAX_EXAMPLES} scans, nodules or candidates")


def _validate_replicates(arrays: Arrays) -> None:
    """A replicate repeats the site's own scans: it holds nothing without a scan, and nothing that the site has not."""
    missed_R, scans_R = arrays["num_missed_R"], arrays["num_scans_R"]
    events_R = arrays["replicates_RM"].sum(axis=1, dtype=np.float64) + missed_R
    _require(not events_R[scans_R == 0].any(), "a bootstrap replicate has nodules or candidates without a scan")
    has_own = (arrays["num_missed_1"][0] > 0 or not missed_R.any()) and (
        arrays["num_scans_1"][0] > 0 or not scans_R.any()
    )
    _require(has_own, "a bootstrap replicate has what the site has not")
    largest = max(events_R.max(initial=0), scans_R.max(initial=0))
    _require(largest <= MAX_EXAMPLES, f"a bootstrap replicate has more than {MAX_EXAMPLES} scans or nodules")


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise ProtocolError(f"detection statistics refused: {text}")
