"""Whoever adds and subtracts what a site tells of its subgroups never holds the sum over fewer patients than the floor.

The reader is played by brute force: every sum of the told subsets with weights -1, 0 and 1 is made, and who is left in
it is counted.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlung.evaluation.differencing import tells_of_few
from fedlung.evaluation.subgroups import CROSSED, Known, Members, may_be_told, members_of

quick = settings(derandomize=True, deadline=None, max_examples=40)
THICKNESS_MM, KERNEL = (1.0, 2.0, float("nan")), ("smooth", "sharp", "")
scans = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 2), st.integers(0, 2)), min_size=4, max_size=24)


def known_of(rows: list[tuple[int, int, int]], diameter_mm_N: np.ndarray | None = None) -> tuple[Known, np.ndarray]:
    """Examples of a patient, a thickness and a kernel each."""
    nothing_N = np.full(len(rows), np.nan)
    known = Known(
        diameter_mm_N=nothing_N if diameter_mm_N is None else diameter_mm_N,
        texture_N=nothing_N,
        thickness_mm_N=np.array([THICKNESS_MM[thickness] for _, thickness, _ in rows]),
        kernel_N=np.array([KERNEL[kernel] for _, _, kernel in rows]),
        no_nodule_N=np.zeros(len(rows), dtype=bool),
    )
    return known, np.array([f"p{patient}" for patient, _, _ in rows])


def fewest_left(told: Members, patients_N: np.ndarray) -> int:
    """The fewest patients, of any at all, that a sum of the told subsets and the whole leaves."""
    is_in_SN = np.array([np.ones(len(patients_N), dtype=bool), *told.values()], dtype=np.int64)
    weights_WS = np.array(list(product((-1, 0, 1), repeat=len(is_in_SN))))
    left_WN = np.unique(weights_WS @ is_in_SN != 0, axis=0)
    return min(len(set(patients_N[left_N])) for left_N in left_WN if left_N.any())


@quick
@given(scans, st.integers(2, 5))
def test_no_sum_of_thickness_kernel_and_both_is_of_too_few_patients(
    rows: list[tuple[int, int, int]], fewest: int
) -> None:
    known, patients_N = known_of(rows)
    members = members_of(known)
    told, withheld = may_be_told(members, patients_N, fewest=fewest)
    assert told.keys() | withheld.keys() == members.keys() and not told.keys() & withheld.keys()
    if told:
        assert fewest_left(told, patients_N) >= fewest


@quick
@given(scans, st.integers(2, 5), st.integers(0, 10**6))
def test_no_difference_of_two_subgroups_is_of_too_few_patients(
    rows: list[tuple[int, int, int]], fewest: int, seed: int
) -> None:
    known, patients_N = known_of(rows, np.random.default_rng(seed).choice([5.0, 9.0, 20.0, np.nan], len(rows)))
    told, _ = may_be_told(members_of(known), patients_N, fewest=fewest)
    for one_N, other_N in combinations([np.ones(len(rows), dtype=bool), *told.values()], 2):
        for part_N, whole_N in ((one_N, other_N), (other_N, one_N)):
            if not (part_N & ~whole_N).any() and (whole_N & ~part_N).any():
                assert len(set(patients_N[whole_N & ~part_N])) >= fewest


@quick
@given(scans, st.integers(2, 5))
def test_a_sum_of_few_that_the_reader_finds_is_found(rows: list[tuple[int, int, int]], fewest: int) -> None:
    known, patients_N = known_of(rows)
    members = {key: is_in_N for key, is_in_N in members_of(known).items() if key.variable in CROSSED}
    is_in_SN = np.array([np.ones(len(rows), dtype=bool), *members.values()])
    if fewest_left(members, patients_N) < fewest:
        assert tells_of_few(is_in_SN, patients_N, fewest=fewest)


@pytest.mark.parametrize("fewest", [2, 3])
def test_a_margin_minus_a_joint_level_is_not_told_and_the_margin_stays(fewest: int) -> None:
    """Ten patients thin and smooth, one thin and sharp, ten thick and sharp: thin minus "thin, smooth" is the one."""
    rows = [(n, 0, 0) for n in range(10)] + [(10, 0, 1)] + [(11 + n, 1, 1) for n in range(10)]
    known, patients_N = known_of(rows)
    told, withheld = may_be_told(members_of(known), patients_N, fewest=fewest)
    assert {str(key) for key in told} >= {"thickness/thin", "thickness/medium"}
    joint = {str(key): reason for key, reason in withheld.items() if key.variable == "protocol"}
    assert joint["protocol/thin, sharp"] == "few-patients"
    assert joint["protocol/thin, smooth"] == "few-patients-left-over"
    assert fewest_left(told, patients_N) >= fewest


def test_a_chain_of_margins_and_joint_levels_is_seen_through() -> None:
    """Of no two told sets is one part of the other by few; three of them together leave two patients."""
    patients_N = np.array([f"p{number}" for number in range(14)])
    cells = np.array(["a"] * 4 + ["b"] * 4 + ["c"] * 4 + ["d"] * 2)
    sets = [np.isin(cells, list(told)) for told in ("ab", "bc", "acd")]
    assert not any((one & ~other).sum() in (0, 1, 2) for one in sets for other in sets if one is not other)
    assert tells_of_few(np.array(sets), patients_N, fewest=9)
    assert tells_of_few(np.array([*sets, np.ones(14, dtype=bool)]), patients_N, fewest=3)
    assert not tells_of_few(np.array([*sets, np.ones(14, dtype=bool)]), patients_N, fewest=2)
