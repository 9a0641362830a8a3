"""The share of a gap that another scanner explains, against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fedlung.evaluation.counterfactual import Rescanned, mean_loss, share_of_gap
from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.measured import Measured
from fedlung.evaluation.metrics import auc
from fedlung.evaluation.statistics import score_statistics

# Negatives, positives; pairs in order: 4, 3 and 2 of 4.
PERFECT, GOOD, CHANCE = ([-2.0, -1.0], [1.0, 2.0]), ([-2.0, 1.5], [1.0, 2.0]), ([-1.0, 1.0], [-2.0, 2.0])
ONLY_POSITIVE = ([], [1.0, 2.0])
SHOWN = Estimate(value=0.375, low=0.2, high=0.5)


def measured(classes: tuple[list[float], list[float]], seed: int, *, num_patients: int = 25) -> Measured:
    """Each score of as many patients, one example each; the same seed draws the same patients."""
    negative, positive = (np.repeat(np.array(scores, dtype=float), num_patients) for scores in classes)
    labels_N = np.array([0] * len(negative) + [1] * len(positive))
    rng = np.random.default_rng(seed)
    scores_N = np.concatenate([negative, positive])
    return Measured(score_statistics(scores_N, labels_N, np.arange(len(labels_N)), num_replicates=100, rng=rng))


@pytest.fixture(scope="module")
def sources() -> dict[str, Rescanned]:
    """A loses a quarter and B a quarter: 1 to .75, and .75 to .5."""
    return {
        "A": Rescanned(measured(PERFECT, 1), measured(GOOD, 1)),
        "B": Rescanned(measured(GOOD, 2), measured(CHANCE, 2)),
    }


HELD_OUT = {"X": measured(CHANCE, 3)}


def test_the_share_is_the_mean_loss_over_the_gap(sources: dict[str, Rescanned]) -> None:
    assert mean_loss(sources, confidence=0.95).value == 0.25
    # The gap: (1 + .75) / 2 - .5 = .375
    assert share_of_gap(sources, HELD_OUT, SHOWN, confidence=0.95).value == pytest.approx(0.25 / 0.375)


def test_replicate_b_of_the_share_is_made_of_every_scores_replicate_b(sources: dict[str, Rescanned]) -> None:
    def replicates_R(one: Measured) -> np.ndarray:
        return auc(one.statistics.replicates_RCK)

    before_R = (replicates_R(sources["A"].before) + replicates_R(sources["B"].before)) / 2
    after_R = (replicates_R(sources["A"].after) + replicates_R(sources["B"].after)) / 2
    low, high = np.nanquantile((before_R - after_R) / (before_R - replicates_R(HELD_OUT["X"])), [0.025, 0.975])
    found = share_of_gap(sources, HELD_OUT, SHOWN, confidence=0.95)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(
    ("gap", "reason"),
    [
        (Estimate(value=0.1, low=-0.05, high=0.2), "the gap's interval holds 0"),
        (Estimate(value=-0.2, low=-0.3, high=-0.1), "the held-out sites do better"),
        (Estimate(value=0.3, reason="too few patients for an interval (3)"), "not shown: too few patients"),
        (Estimate(reason="no site is held out"), "undefined: no site is held out"),
    ],
)
def test_a_gap_that_is_not_shown_has_no_share(sources: dict[str, Rescanned], gap: Estimate, reason: str) -> None:
    found = share_of_gap(sources, HELD_OUT, gap, confidence=0.95)
    assert found.value is None and reason in str(found.reason)


def test_a_site_with_one_class_is_named_and_not_in_the_mean(sources: dict[str, Rescanned]) -> None:
    alone = {"C": Rescanned(measured(ONLY_POSITIVE, 4), measured(ONLY_POSITIVE, 4))}
    found = share_of_gap(sources | alone, HELD_OUT, SHOWN, confidence=0.95)
    assert found.value == pytest.approx(0.25 / 0.375)
    assert found.reason == "mean without C (no negative examples)"
    assert mean_loss(alone, confidence=0.95).reason == "undefined at every source site: C (no negative examples)"


def test_scores_that_were_drawn_unlike_are_not_compared(sources: dict[str, Rescanned]) -> None:
    unlike = sources | {"B": Rescanned(measured(GOOD, 2), measured(CHANCE, 5))}
    found = mean_loss(unlike, confidence=0.95)
    assert found.value is None and str(found.reason).startswith("B: no interval")


def test_few_patients_anywhere_mark_the_share(sources: dict[str, Rescanned]) -> None:
    few = {"X": measured(CHANCE, 3, num_patients=2)}
    found = share_of_gap(sources, few, SHOWN, confidence=0.95)
    assert found.low is not None and found.reason == "few patients (8): the interval is likely too narrow"
