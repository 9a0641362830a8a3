"""Detections as histograms that add up, their bootstrap, and their form on the wire."""

from __future__ import annotations

import numpy as np
import pytest

from fedlung.errors import DataError, ProtocolError
from fedlung.evaluation.detection.matching import ScanHits
from fedlung.evaluation.detection.statistics import (
    DetectionStatistics,
    add_detections,
    detection_statistics,
)
from fedlung.evaluation.statistics import NUM_BINS, bin_of


def scan(found: list[float] | None = None, false: list[float] | None = None, *, missed: int = 0) -> ScanHits:
    """A scan by the scores of its found nodules and of its false positives; one more candidate is ignored."""
    logits_N = np.array([*(false or []), 0.0])
    is_false_N = np.arange(len(logits_N)) < len(logits_N) - 1
    return ScanHits(np.array([*(found or []), *[-np.inf] * missed]), is_false_N, ~is_false_N, logits_N)


def statistics(seed: int = 0, *, num_scans: int = 9, num_replicates: int = 20) -> DetectionStatistics:
    rng = np.random.default_rng(seed)
    scans = [
        scan(rng.normal(2, 1, rng.integers(0, 3)).tolist(), rng.normal(0, 1, rng.integers(0, 4)).tolist(), missed=1)
        for _ in range(num_scans)
    ]
    return detection_statistics(scans, rng.integers(0, 6, num_scans), num_replicates=num_replicates, rng=rng)


def test_counts_are_those_of_a_hand_worked_site() -> None:
    scans = [scan([1.0, 3.0], [0.5], missed=1), scan(), scan([], [0.52, -20.0])]
    site = detection_statistics(scans, ["a", "b", "a"], num_replicates=0, rng=np.random.default_rng(0))
    assert (site.num_nodules, site.num_missed, site.num_scans, site.num_patients) == (3, 1, 3, 2)
    false_positives_K, found_K = site.histogram_CK
    assert {k: int(false_positives_K[k]) for k in np.flatnonzero(false_positives_K)} == {0: 1, 250: 2}
    assert np.flatnonzero(found_K).tolist() == bin_of(np.array([1.0, 3.0])).tolist()
    assert site.replicates_RCK.shape == (0, 2, NUM_BINS)


def test_a_replicate_is_the_sum_of_the_patients_scans_times_their_drawn_counts() -> None:
    scans = [scan([1.0], [0.0, 2.0]), scan([], [1.0], missed=2), scan([4.0, 4.0]), scan()]
    patient_of_scan = [7, 3, 7, 5]
    site = detection_statistics(scans, patient_of_scan, num_replicates=6, rng=np.random.default_rng(11))
    weights_RP = np.random.default_rng(11).poisson(1.0, size=(6, 3))
    for replicate, weights_P in enumerate(weights_RP):
        drawn = dict(zip([3, 5, 7], weights_P, strict=True))
        repeated = [one for one, patient in zip(scans, patient_of_scan, strict=True) for _ in range(drawn[patient])]
        expected = detection_statistics(repeated, range(len(repeated)), num_replicates=0, rng=np.random.default_rng(0))
        assert (site.replicates_RCK[replicate] == expected.histogram_CK).all()
        assert site.num_missed_R[replicate] == expected.num_missed
        assert site.num_scans_R[replicate] == expected.num_scans


def test_no_scans_make_empty_statistics_that_add_up() -> None:
    empty = detection_statistics([], [], num_replicates=20, rng=np.random.default_rng(0))
    assert (empty.num_scans, empty.num_nodules, empty.num_patients) == (0, 0, 0)
    whole = statistics() + DetectionStatistics.from_arrays(empty.to_arrays())
    for name, value in vars(statistics()).items():
        assert np.array_equal(getattr(whole, name), value), name


def test_sites_with_other_numbers_of_replicates_do_not_add_up() -> None:
    with pytest.raises(ProtocolError, match="20 and 10 bootstrap replicates"):
        add_detections([statistics(), statistics(1, num_replicates=10)])
    with pytest.raises(ProtocolError, match="no site has answered"):
        add_detections([])


def test_a_large_sites_form_on_the_wire_is_small() -> None:
    """200 scans with 1000 replicates: histograms whole would be 3.8 MB."""
    arrays = statistics(num_scans=200, num_replicates=1000).to_arrays()
    assert sum(array.nbytes for array in arrays.values()) < 400_000


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(bad: float) -> None:
    for one in (scan([bad]), scan([1.0], [bad])):
        with pytest.raises(DataError, match="diverged") as raised:
            detection_statistics([one], [0], num_replicates=0, rng=np.random.default_rng(0))
        assert "diverged" in raised.value.public


def test_a_scan_without_a_patient_is_refused() -> None:
    with pytest.raises(DataError, match="found 2 scans and 1 patients"):
        detection_statistics([scan(), scan()], [0], num_replicates=0, rng=np.random.default_rng(0))


BAD = {
    "an array is missing": {"num_scans_R": None},
    "an array too many": {"more": np.zeros(1)},
    "floats": {"counts_M": lambda a: a.astype(float)},
    "signed counts": {"counts_M": lambda a: a.astype(np.int64)},
    "unsigned totals": {"num_scans_1": lambda a: a.astype(np.uint64)},
    "another shape": {"replicates_RM": lambda a: a[:, :-1]},
    "no shape": {"num_scans_1": lambda a: a.reshape(())},
    "two of one": {"num_missed_1": lambda a: np.repeat(a, 2)},
    "cells that fall": {"cells_M": lambda a: a[::-1]},
    "a cell twice": {"cells_M": lambda a: np.repeat(a[:1], len(a))},
    "a cell beyond the histogram": {"cells_M": lambda a: np.append(a[:-1], np.uint16(2 * NUM_BINS))},
    "an empty cell": {"counts_M": lambda a: a * np.uint8(0)},
    "too many": {"counts_M": lambda a: a + np.uint32(10**9)},
    "sums beyond 64 bits": {"counts_M": lambda a: np.full(a.shape, 2**63, dtype=np.uint64)},
    "missed below zero": {"num_missed_1": lambda a: a - 1000},
    "missed beyond belief": {"num_missed_1": lambda a: a + 10**9},
    "more patients than scans": {"num_patients_1": lambda a: a + 1000},
    "no patients": {"num_patients_1": lambda a: 0 * a},
    "no scans": {"num_scans_1": lambda a: 0 * a, "num_patients_1": lambda a: 0 * a},
    "scans below zero": {"num_scans_1": lambda a: -a, "num_patients_1": lambda a: -a},
    "a replicate without its scans": {"num_scans_R": lambda a: a * np.uint8(0)},
    "a replicate beyond belief": {"replicates_RM": lambda a: a + np.uint32(10**9)},
    "missed in a replicate only": {"num_missed_1": lambda a: 0 * a},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD.keys())
def test_what_no_site_can_have_made_is_refused(changes: dict[str, object]) -> None:
    arrays = statistics().to_arrays()
    DetectionStatistics.from_arrays(arrays)
    for name, change in changes.items():
        if change is None:
            del arrays[name]
        else:
            arrays[name] = change(arrays[name]) if callable(change) else change
    with pytest.raises(ProtocolError, match="detection statistics refused"):
        DetectionStatistics.from_arrays(arrays)
