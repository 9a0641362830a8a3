"""Histograms that add up, their bootstrap, and their form on the wire."""

from __future__ import annotations

import numpy as np
import pytest

from fedlung.errors import DataError, ProtocolError
from fedlung.evaluation.statistics import (
    LOGIT_EDGES,
    NUM_BINS,
    ScoreStatistics,
    add_statistics,
    bin_of,
    patient_weights,
    score_statistics,
    size_logits,
    weighted_statistics,
)


def statistics(seed: int = 0, *, num_patients: int = 6, num_replicates: int = 20) -> ScoreStatistics:
    rng = np.random.default_rng(seed)
    patients_N = rng.integers(0, num_patients, 40)
    labels_N = rng.integers(0, 2, 40)
    return score_statistics(rng.normal(0, 3, 40), labels_N, patients_N, num_replicates=num_replicates, rng=rng)


def test_a_score_on_an_edge_lies_in_the_bin_above_it() -> None:
    inner = np.arange(1, NUM_BINS)
    assert (bin_of(LOGIT_EDGES[inner]) == inner).all()
    assert (bin_of(np.nextafter(LOGIT_EDGES[inner], -np.inf)) == inner - 1).all()


def test_scores_beyond_the_limit_are_kept_in_the_outermost_bins() -> None:
    assert bin_of(np.array([-1e9, -12.0, 12.0, 1e9])).tolist() == [0, 0, NUM_BINS - 1, NUM_BINS - 1]


def test_counts_and_squared_error_are_those_of_a_hand_worked_example() -> None:
    # Probabilities 1/2, 3/4, 1/4 (logits 0, ln 3, -ln 3), labels 1, 0, 0: .25 + .5625 + .0625 = .875.
    logits = np.array([0.0, np.log(3.0), -np.log(3.0)])
    found = score_statistics(
        logits, np.array([1, 0, 0]), np.array([5, 5, 9]), num_replicates=0, rng=np.random.default_rng(0)
    )
    assert (found.num_positive, found.num_negative, found.num_patients) == (1, 2, 2)
    assert found.squared_error == pytest.approx(0.875, abs=1e-15)
    assert found.histogram_CK[1, 240] == 1 and found.histogram_CK[0, 240 + 21] == 1  # ln 3 = 1.0986 = 21.97 bins
    assert found.replicates_RCK.shape == (0, 2, NUM_BINS)


def test_a_replicate_is_the_sum_of_the_patients_histograms_times_their_drawn_counts() -> None:
    rng = np.random.default_rng(3)
    patients_N, labels_N, logits_N = rng.integers(0, 5, 30), rng.integers(0, 2, 30), rng.normal(0, 2, 30)
    found = score_statistics(logits_N, labels_N, patients_N, num_replicates=7, rng=np.random.default_rng(11))
    weights_RP = np.random.default_rng(11).poisson(1.0, size=(7, 5))
    for replicate, weights_P in enumerate(weights_RP):
        repeated = np.repeat(np.arange(30), weights_P[patients_N])
        expected = np.zeros((2, NUM_BINS), int)
        np.add.at(expected, (labels_N[repeated], bin_of(logits_N[repeated])), 1)
        assert (found.replicates_RCK[replicate] == expected).all()
        error = ((1 / (1 + np.exp(-logits_N[repeated])) - labels_N[repeated]) ** 2).sum()
        assert found.squared_error_R[replicate] == pytest.approx(error, rel=1e-12, abs=1e-12)


def test_replicates_have_the_mean_and_the_patients_variance_of_the_sample() -> None:
    # 50 patients with 4 examples each: mean 200, variance 50 · 4² = 800 (by example it would be 200).
    patients_N = np.repeat(np.arange(50), 4)
    found = score_statistics(
        np.zeros(200), np.ones(200, int), patients_N, num_replicates=4000, rng=np.random.default_rng(0)
    )
    totals = found.replicates_RCK.sum(axis=(1, 2))
    assert totals.mean() == pytest.approx(200, abs=3 * np.sqrt(800 / 4000))
    assert totals.var() == pytest.approx(800, rel=0.1)


def test_no_examples_make_empty_statistics_that_add_up() -> None:
    nothing = np.zeros(0)
    empty = score_statistics(
        nothing, nothing.astype(int), nothing.astype(int), num_replicates=20, rng=np.random.default_rng(0)
    )
    assert empty.num_examples == empty.num_patients == 0
    whole = statistics() + ScoreStatistics.from_arrays(empty.to_arrays())
    assert (whole.replicates_RCK == statistics().replicates_RCK).all()


def test_statistics_with_different_numbers_of_replicates_do_not_add_up() -> None:
    with pytest.raises(ProtocolError, match="20 and 5 bootstrap replicates"):
        add_statistics([statistics(), statistics(num_replicates=5)])


def test_no_statistics_at_all_are_refused() -> None:
    with pytest.raises(ProtocolError, match="no site has answered"):
        add_statistics([])


@pytest.mark.parametrize(
    ("logits", "labels", "patients", "words"),
    [
        ([0.0, np.nan], [0, 1], [0, 1], "diverged"),
        ([0.0, 1.0], [0, 2], [0, 1], "0 or 1"),
        ([0.0, 1.0], [0, 1], [0], "as many"),
    ],
)
def test_scores_that_cannot_be_judged_are_refused(
    logits: list[float], labels: list[int], patients: list[int], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        score_statistics(
            np.array(logits), np.array(labels), np.array(patients), num_replicates=1, rng=np.random.default_rng(0)
        )


def test_size_scores_rise_with_the_diameter_and_one_percent_is_one_bin() -> None:
    diameters = np.array([3.0, 3.04, 10.0, 30.0])
    logits = size_logits(diameters)
    assert (np.diff(logits) > 0).all() and logits[2] == 0.0
    assert np.diff(size_logits(np.array([8.0, 8.0 * 1.01005]))) == pytest.approx(0.05, abs=1e-6)
    assert abs(size_logits(np.array([1.0, 110.0]))).max() < 12.0


def test_a_missing_diameter_is_refused_without_a_number_leaving() -> None:
    with pytest.raises(DataError, match="1 of 2 diameters") as caught:
        size_logits(np.array([4.0, np.nan]))
    assert caught.value.public == "size baseline: diameters are missing"


def test_the_form_on_the_wire_is_lossless_and_small() -> None:
    whole = statistics(num_replicates=1000)
    arrays = whole.to_arrays()
    assert arrays["replicates_RM"].dtype == np.uint8 and arrays["cells_M"].dtype == np.uint16
    assert sum(array.nbytes for array in arrays.values()) < 50_000 < whole.replicates_RCK.nbytes
    again = ScoreStatistics.from_arrays(arrays)
    for name, value in vars(whole).items():
        assert np.array_equal(getattr(again, name), value), name
        assert np.asarray(getattr(again, name)).dtype == np.asarray(value).dtype, name


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("counts_M", lambda a: a.astype(np.float64)),
        ("counts_M", lambda a: -a.astype(np.int64)),
        ("counts_M", lambda a: np.zeros_like(a)),
        ("counts_M", lambda a: a[:-1]),
        ("counts_M", lambda a: a.astype(np.uint64) + np.uint64(2**62)),
        ("cells_M", lambda a: a[::-1]),
        ("cells_M", lambda a: a + np.uint16(960)),
        ("replicates_RM", lambda a: a[:-1]),
        ("replicates_RM", lambda a: a.astype(np.uint64) + np.uint64(2**40)),
        ("squared_error_1", lambda a: a * np.nan),
        ("squared_error_1", lambda a: -a),
        ("squared_error_1", lambda a: a + 41.0),
        ("squared_error_R", lambda a: a + 1e6),
        ("squared_error_R", lambda a: a.reshape(-1, 1)),
        ("num_patients_1", lambda a: a * 0),
        ("num_patients_1", lambda a: a - 100),
        ("num_patients_1", lambda a: a + 41),
        ("num_patients_1", lambda a: np.repeat(a, 2)),
    ],
)
def test_arrays_that_no_honest_site_can_have_made_are_refused(name: str, wrong: object) -> None:
    arrays = statistics().to_arrays()
    with pytest.raises(ProtocolError, match="refused"):
        ScoreStatistics.from_arrays({**arrays, name: wrong(arrays[name])})  # type: ignore[operator]


def test_a_missing_or_an_unknown_array_is_refused() -> None:
    arrays = statistics().to_arrays()
    with pytest.raises(ProtocolError, match="expected the arrays"):
        ScoreStatistics.from_arrays({**arrays, "thumbnails": arrays["cells_M"]})
    del arrays["cells_M"]
    with pytest.raises(ProtocolError, match="expected the arrays"):
        ScoreStatistics.from_arrays(arrays)


def test_the_promise_is_void_when_the_server_knows_the_draws() -> None:
    """The positive control of ``score_statistics``'s warning: with W known every patient's histogram is solved for."""
    rng = np.random.default_rng(0)
    patients_N, labels_N, logits_N = np.repeat(np.arange(6), 3), rng.integers(0, 2, 18), rng.normal(0, 2, 18)
    found = score_statistics(logits_N, labels_N, patients_N, num_replicates=30, rng=np.random.default_rng(5))
    known_RP = np.random.default_rng(5).poisson(1.0, size=(30, 6))
    solved = np.linalg.lstsq(known_RP.astype(float), found.replicates_RCK.reshape(30, -1).astype(float), rcond=None)[0]
    theirs = np.zeros((6, 2 * NUM_BINS))
    np.add.at(theirs, (patients_N, labels_N * NUM_BINS + bin_of(logits_N)), 1)
    assert np.allclose(solved, theirs, atol=1e-9)


def test_a_patients_weights_do_not_depend_on_who_else_is_there() -> None:
    both = patient_weights(["a", "b"], num_replicates=400, seed=3)
    assert np.array_equal(patient_weights(["b"], num_replicates=400, seed=3)[:, 0], both[:, 1])
    assert not np.array_equal(both[:, 0], both[:, 1])
    assert not np.array_equal(patient_weights(["a"], num_replicates=400, seed=4)[:, 0], both[:, 0])
    assert np.allclose([both.mean(), both.var()], 1.0, atol=0.1)
    assert patient_weights([], num_replicates=5, seed=0).shape == (5, 0)


def test_the_statistics_of_two_parts_add_up_to_those_of_the_whole() -> None:
    rng = np.random.default_rng(2)
    logits_N, labels_N = rng.normal(size=60), rng.integers(0, 2, 60)
    patients_N = np.array([f"patient {number:02}" for number in rng.integers(0, 15, 60)])

    def of(is_in_N: np.ndarray) -> ScoreStatistics:
        names = [str(name) for name in np.unique(patients_N[is_in_N])]
        weights_RP = patient_weights(names, num_replicates=9, seed=1)
        return weighted_statistics(logits_N[is_in_N], labels_N[is_in_N], patients_N[is_in_N], weights_RP)

    first_N = patients_N < "patient 06"
    parts, whole = of(first_N) + of(~first_N), of(np.ones(60, dtype=bool))
    assert np.array_equal(parts.replicates_RCK, whole.replicates_RCK)
    assert np.allclose(parts.squared_error_R, whole.squared_error_R)
