"""Merged statistics are the pooled ones, however the examples are spread over sites."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlung.evaluation.measured import METRICS, Frozen, Measured
from fedlung.evaluation.statistics import ScoreStatistics, add_statistics, score_statistics

logit = st.floats(-20, 20, allow_nan=False)
example = st.tuples(logit, st.integers(0, 1), st.integers(0, 7))  # score, label, patient


def of(examples: list[tuple[float, int, int]], *, num_replicates: int = 0, seed: int = 0) -> ScoreStatistics:
    columns = np.array(examples, dtype=float).reshape(-1, 3)
    return score_statistics(
        columns[:, 0],
        columns[:, 1].astype(int),
        columns[:, 2].astype(int),
        num_replicates=num_replicates,
        rng=np.random.default_rng(seed),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(example, max_size=40), st.lists(st.integers(0, 7), min_size=0, max_size=4))
def test_merged_is_pooled(examples: list[tuple[float, int, int]], site_of_patient: list[int]) -> None:
    """Patients are spread over sites by number; no patient is at two sites."""

    def site(patient: int) -> int:
        return site_of_patient[patient % len(site_of_patient)] if site_of_patient else 0

    merged = add_statistics([of([e for e in examples if site(e[2]) == number]) for number in range(8)])
    pooled = of(examples)
    assert (merged.histogram_CK == pooled.histogram_CK).all()
    assert merged.num_patients == pooled.num_patients
    assert np.isclose(merged.squared_error, pooled.squared_error, rtol=1e-12, atol=1e-12)
    for name in set(METRICS) - {"brier"}:
        values = [Measured(statistics, Frozen(240, 250, 230, 0.3)).value(name).point for statistics in (merged, pooled)]
        assert values[0] == values[1] or np.isnan(values).all(), name


@settings(max_examples=40, deadline=None)
@given(st.lists(example, max_size=20), st.lists(example, max_size=20), st.lists(example, max_size=20))
def test_adding_is_associative_and_commutative_in_every_count(
    a: list[tuple[float, int, int]], b: list[tuple[float, int, int]], c: list[tuple[float, int, int]]
) -> None:
    x, y, z = (of(examples, num_replicates=5, seed=seed) for seed, examples in enumerate((a, b, c)))
    left, right, turned = (x + y) + z, x + (y + z), (z + y) + x
    for other in (right, turned):
        assert (left.histogram_CK == other.histogram_CK).all()
        assert (left.replicates_RCK == other.replicates_RCK).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(example, max_size=40), st.integers(0, 6))
def test_the_form_on_the_wire_is_lossless(examples: list[tuple[float, int, int]], num_replicates: int) -> None:
    whole = of(examples, num_replicates=num_replicates)
    again = ScoreStatistics.from_arrays(whole.to_arrays())
    for name, value in vars(whole).items():
        assert np.array_equal(getattr(again, name), value), name


@settings(max_examples=60, deadline=None)
@given(st.lists(example, min_size=1, max_size=40))
def test_turning_scores_and_labels_around_leaves_auc_and_error(examples: list[tuple[float, int, int]]) -> None:
    # Off the edges, where a bin turned around is a bin.
    inner = [(round(score * 20) / 20 + 0.02, label, patient) for score, label, patient in examples]
    turned = [(-score, 1 - label, patient) for score, label, patient in inner]
    for name in ("auc", "brier"):
        values = [Measured(of(some)).value(name).point for some in (inner, turned)]
        assert np.isclose(values[0], values[1], atol=1e-12) or np.isnan(values).all()
