"""LUNA16's rules, one by one, on candidates along a line."""

from __future__ import annotations

import numpy as np
import pytest

from fedlung.ct.nodule import Nodule
from fedlung.evaluation.detection.candidates import Candidates
from fedlung.evaluation.detection.matching import MISSED, ScanHits, is_relevant, match_candidates


def at(*places: tuple[float, float]) -> Candidates:
    """Candidates at x mm with a score, the best first."""
    ordered = sorted(places, key=lambda place: -place[1])
    center_mm_N3 = np.array([(x, 0.0, 0.0) for x, _ in ordered]).reshape(-1, 3)
    return Candidates(np.array([logit for _, logit in ordered]), center_mm_N3, center_mm_N3[:, ::-1])


def nodule(x_mm: float, diameter_mm: float = 10.0, readers: int = 3) -> Nodule:
    return Nodule((x_mm, 0.0, 0.0), diameter_mm, readers=readers)


def matched(candidates: Candidates, *findings: Nodule) -> ScanHits:
    return match_candidates(candidates, findings, readers=3)


def test_a_hit_is_nearer_than_the_radius_and_on_it_is_none() -> None:
    hits = matched(at((4.999, 2.0), (5.0, 1.0)), nodule(0.0))
    assert hits.nodule_logits_M.tolist() == [2.0]
    assert hits.false_positives_N.tolist() == [False, True]


def test_the_distance_is_the_one_in_space() -> None:
    """(3, 4, 0) is 5 mm away: inside a diameter of 10.1 mm, outside one of 9.9 mm."""
    one = Candidates(np.array([1.0]), np.array([[3.0, 4.0, 0.0]]), np.zeros((1, 3)))
    assert matched(one, nodule(0.0, 10.1)).nodule_logits_M.tolist() == [1.0]
    assert matched(one, nodule(0.0, 9.9)).nodule_logits_M.tolist() == [MISSED]


def test_a_nodule_counts_once_with_its_best_hit_and_its_other_hits_are_not_false() -> None:
    hits = matched(at((1.0, 0.5), (-2.0, 3.0), (3.0, -1.0), (20.0, 2.0)), nodule(0.0))
    assert hits.nodule_logits_M.tolist() == [3.0]
    assert hits.logits_N[hits.false_positives_N].tolist() == [2.0]
    assert not hits.ignored_N.any()


def test_a_nodule_that_nothing_hits_is_missed_at_every_threshold() -> None:
    hits = matched(at((20.0, 9.0)), nodule(0.0), nodule(21.0))
    assert hits.nodule_logits_M.tolist() == [MISSED, 9.0]
    assert matched(at(), nodule(0.0)).nodule_logits_M.tolist() == [MISSED]


@pytest.mark.parametrize("irrelevant", [nodule(0.0, readers=2), nodule(0.0, 2.9), nodule(0.0, readers=0)])
def test_a_hit_on_an_irrelevant_finding_is_ignored_and_the_finding_need_not_be_found(irrelevant: Nodule) -> None:
    hits = matched(at((1.0, 2.0), (30.0, 1.0)), irrelevant)
    assert hits.nodule_logits_M.shape == (0,)
    assert hits.ignored_N.tolist() == [True, False]
    assert hits.false_positives_N.tolist() == [False, True]


def test_a_candidate_within_two_nodules_is_a_hit_of_both() -> None:
    hits = matched(at((4.0, 2.0), (-1.0, 1.0)), nodule(0.0), nodule(7.0))
    assert hits.nodule_logits_M.tolist() == [2.0, 2.0]
    assert not hits.false_positives_N.any()


def test_a_candidate_on_a_relevant_and_an_irrelevant_finding_is_a_hit() -> None:
    hits = matched(at((4.0, 2.0)), nodule(7.0, readers=1), nodule(0.0))
    assert hits.nodule_logits_M.tolist() == [2.0]
    assert not hits.ignored_N.any() and not hits.false_positives_N.any()


def test_a_scan_without_findings_has_false_positives_only() -> None:
    hits = matched(at((0.0, 1.0), (9.0, 0.0)))
    assert hits.false_positives_N.tolist() == [True, True]
    assert hits.nodule_logits_M.shape == (0,)


def test_three_millimetres_and_the_asked_readers_make_a_nodule_relevant() -> None:
    assert is_relevant(nodule(0.0, 3.0, readers=2), readers=2)
    assert not is_relevant(nodule(0.0, 2.999, readers=4), readers=2)
    assert not is_relevant(nodule(0.0, 30.0, readers=1), readers=2)
