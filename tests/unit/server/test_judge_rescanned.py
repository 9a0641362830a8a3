"""The judgement of answers in which the source sites were seen through another scanner."""

from __future__ import annotations

import numpy as np
import pytest

from fedlung.config import RunConfig
from fedlung.evaluation.comparison import paired_difference
from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.measured import Frozen, Measured
from fedlung.evaluation.scores import Measure
from fedlung.evaluation.statistics import ScoreStatistics, score_statistics
from fedlung.protocol import EvaluateReply
from server.rescanned import NOT_TOLD, judge_rescanned, scanner_words

# Negatives, positives; pairs in order: 4, 3 and 2 of 4.
PERFECT, GOOD, CHANCE = ([-2.0, -1.0], [1.0, 2.0]), ([-2.0, 1.5], [1.0, 2.0]), ([-1.0, 1.0], [-2.0, 2.0])
GAP = Estimate(value=0.375, low=0.2, high=0.5)
MEASURE = Measure(Frozen(), confidence=0.95)


def statistics(classes: tuple[list[float], list[float]], site: str) -> ScoreStatistics:
    """Each score of 25 patients, one example each; a site draws the same patients for each of its scores."""
    negative, positive = (np.repeat(np.array(scores), 25) for scores in classes)
    scores_N, labels_N = np.concatenate([negative, positive]), np.repeat([0, 1], 50)
    return score_statistics(
        scores_N, labels_N, np.arange(100), num_replicates=50, rng=np.random.default_rng(sum(site.encode()))
    )


def reply(site: str, **classes: tuple[list[float], list[float]]) -> EvaluateReply:
    scores = {name: statistics(own, site) for name, own in classes.items()}
    return EvaluateReply(site=site, server_round=1, split="test", loss=0.5, seconds=1.0, scores=scores)


def config(**knobs: float) -> RunConfig:
    flat = {f"rescan.{name.replace('_', '-')}": value for name, value in knobs.items()}
    return RunConfig.from_run_config({"federation.sites": "A,B,X", "federation.held-out": "X", **flat})


TESTS = {
    "A": reply("A", model=PERFECT, rescanned=GOOD),
    "B": reply("B", model=GOOD, rescanned=CHANCE),
    "X": reply("X", model=CHANCE),
}


def test_each_source_sites_row_is_the_paired_difference_of_its_two_aucs() -> None:
    found = judge_rescanned(config(thickness_mm=5), TESTS, MEASURE, GAP)
    assert found is not None
    rows = [(row.site, row.auc.value, row.rescanned.value, row.cost.difference.value) for row in found.rows]
    assert rows == [("A", 1.0, 0.75, 0.25), ("B", 0.75, 0.5, 0.25)]
    before, after = (Measured(TESTS["A"].scores[name]) for name in ("model", "rescanned"))
    assert found.rows[0].cost == paired_difference("auc", before, after, confidence=0.95)
    assert found.rows[0].cost.p_value is not None


def test_two_sites_that_lose_a_quarter_explain_two_thirds_of_a_gap_of_three_eighths() -> None:
    found = judge_rescanned(config(thickness_mm=5), TESTS, MEASURE, GAP)
    assert found is not None and found.cost.value == 0.25
    assert found.share.value == pytest.approx(2 / 3)


def test_a_source_site_that_does_not_tell_leaves_no_share_and_has_a_row_that_says_so() -> None:
    found = judge_rescanned(config(thickness_mm=5), TESTS | {"B": reply("B", model=GOOD)}, MEASURE, GAP)
    assert found is not None
    assert found.rows[1].rescanned.reason == NOT_TOLD
    assert found.cost.value is found.share.value is None and found.share.reason == f"B: {NOT_TOLD}"


def test_a_run_that_rescans_nothing_is_not_judged_so() -> None:
    assert judge_rescanned(config(), TESTS, MEASURE, GAP) is None


def test_the_definition_says_what_the_scanner_does_and_nothing_else() -> None:
    found = judge_rescanned(config(thickness_mm=5, noise_hu=30), TESTS, MEASURE, GAP)
    assert found is not None
    assert "(slices of 5 mm, noise of 30 HU with its peak at 0.2 per mm)" in found.definition
    words = scanner_words(config(f50_per_mm=0.3, edge_gain=0.5).rescan)
    assert words == "contrast halved at 0.3 per mm in plane, edges enhanced by 0.5"
