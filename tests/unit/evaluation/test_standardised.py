"""AUCs carried over to a reference mix of sizes, of hand-worked strata."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedlung.errors import DataError
from fedlung.evaluation.measured import Measured
from fedlung.evaluation.standardised import (
    SIZE_STRATA,
    SubgroupKey,
    mantel_haenszel_weights,
    shared_weights,
    size_stratum,
    standardised_auc,
    standardised_estimate,
    standardised_gap,
    why_not_standardised,
)
from fedlung.evaluation.statistics import ScoreStatistics, score_statistics

SMALL, MIDDLE, LARGE, HUGE = SIZE_STRATA


def of(negatives: list[float], positives: list[float], *, replicates: int = 0) -> ScoreStatistics:
    """Every example a patient of its own; all with the same stream."""
    labels = np.array([0] * len(negatives) + [1] * len(positives))
    logits = np.array(negatives + positives, dtype=float)
    rng = np.random.default_rng(0)
    return score_statistics(logits, labels, np.arange(len(labels)), num_replicates=replicates, rng=rng)


PERFECT, HALF = of([-1, -1], [1, 1]), of([0, 0], [0, 0])


@pytest.mark.parametrize(
    ("diameter_mm", "stratum"),
    [(0.0, SMALL), (5.999, SMALL), (6.0, MIDDLE), (8.0, LARGE), (15.0, LARGE), (15.001, HUGE), (80.0, HUGE)],
)
def test_a_diameter_lies_in_the_stratum_of_its_half_open_interval(diameter_mm: float, stratum: SubgroupKey) -> None:
    assert size_stratum(diameter_mm) == stratum


@pytest.mark.parametrize("diameter_mm", [math.nan, -1.0, math.inf])
def test_a_diameter_that_is_no_number_of_mm_is_refused(diameter_mm: float) -> None:
    with pytest.raises(DataError, match="no stratum of size"):
        size_stratum(diameter_mm)


def test_the_weights_are_mantel_and_haenszels() -> None:
    # 2 · 2 / 4 = 1 and 1 · 3 / 4 = .75; a stratum of one class weighs nothing.
    weights = mantel_haenszel_weights({SMALL: PERFECT, LARGE: of([0], [1, 1, 1]), HUGE: of([], [1.0])})
    assert weights == {SMALL: pytest.approx(1 / 1.75), LARGE: pytest.approx(0.75 / 1.75)}
    assert mantel_haenszel_weights({HUGE: of([], [1.0])}) == {}


def test_the_standardised_auc_is_the_weighted_mean_of_the_strata() -> None:
    point, _ = standardised_auc({SMALL: PERFECT, LARGE: HALF}, {SMALL: 0.25, LARGE: 0.75})
    assert point == 0.25 * 1.0 + 0.75 * 0.5


def test_a_site_that_ranks_by_size_alone_is_at_chance_once_size_is_adjusted_for() -> None:
    # Large nodules score 1, small ones -1, whatever they are; most large ones are malignant.
    small, large = of([-1] * 9, [-1]), of([1], [1] * 9)
    strata = {SMALL: small, LARGE: large}
    crude = Measured(of([-1] * 9 + [1], [-1] + [1] * 9)).value("auc").point
    assert crude == 0.9
    assert standardised_auc(strata, mantel_haenszel_weights(strata)).point == 0.5


def test_replicates_are_weighed_as_the_strata_are() -> None:
    strata = {SMALL: of([0, 1, 2], [1, 2, 3], replicates=50), LARGE: of([0, 2], [1, 3], replicates=50)}
    weights = {SMALL: 0.4, LARGE: 0.6}
    expected = sum(weight * Measured(strata[key]).value("auc").replicates_R for key, weight in weights.items())
    assert np.allclose(standardised_auc(strata, weights).replicates_R, expected, equal_nan=True)


def test_only_strata_that_every_site_has_are_shared_and_their_share_is_said() -> None:
    weights = {SMALL: 0.2, MIDDLE: 0.3, LARGE: 0.5}
    one, other = {SMALL: PERFECT, MIDDLE: HALF, LARGE: of([], [1.0])}, {SMALL: HALF, MIDDLE: PERFECT}
    shared, share = shared_weights(weights, [one, other])
    assert shared == {SMALL: pytest.approx(0.4), MIDDLE: pytest.approx(0.6)} and share == pytest.approx(0.5)
    assert shared_weights({LARGE: 1.0}, [one, other]) == ({}, 0.0)


def test_a_stratum_without_a_value_makes_the_site_undefined_and_is_named() -> None:
    strata, weights = {SMALL: PERFECT, LARGE: of([], [1.0])}, {SMALL: 0.5, LARGE: 0.5}
    found = standardised_estimate(strata, weights, confidence=0.95, num_patients=30)
    assert (found.value, found.reason) == (None, "8-15mm: no negative examples")
    assert why_not_standardised({SMALL: PERFECT}, weights) == "8-15mm: no examples"
    assert why_not_standardised(strata, {}) == "no stratum has both classes"
    assert why_not_standardised({SMALL: PERFECT, LARGE: HALF}, weights) == ""


def test_a_gap_of_sizes_alone_is_gone_after_standardisation() -> None:
    # Both sites tell small nodules apart perfectly and large ones not at all; the held-out one has more large ones.
    def site(num_small: int, num_large: int) -> dict[SubgroupKey, ScoreStatistics]:
        small = of([-2] * num_small, [-1] * num_small, replicates=100)
        return {SMALL: small, LARGE: of([3] * num_large, [3] * num_large, replicates=100)}

    source, held_out = site(30, 10), site(10, 30)
    weights = mantel_haenszel_weights(source)
    assert weights == {SMALL: 0.75, LARGE: 0.25}
    gap = standardised_gap({"A": source}, {"X": held_out}, weights, confidence=0.95, num_patients=40)
    assert (gap.value, gap.low, gap.high) == (0.0, 0.0, 0.0)
    own = standardised_auc(held_out, mantel_haenszel_weights(held_out)).point
    assert standardised_auc(source, weights).point - own == 0.25, "with each site's own mix there is a gap"


def test_a_gap_with_a_site_that_lacks_a_stratum_is_undefined_by_name() -> None:
    gap = standardised_gap({"A": {SMALL: PERFECT}}, {"X": {LARGE: HALF}}, {SMALL: 1.0}, confidence=0.95, num_patients=9)
    assert (gap.value, gap.reason) == (None, "undefined at X (<6mm: no examples)")
    nobody = standardised_gap({"A": {SMALL: PERFECT}}, {}, {SMALL: 1.0}, confidence=0.95, num_patients=9)
    assert nobody.reason == "no source or no held-out site"
