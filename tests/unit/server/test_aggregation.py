"""The mean of the updates: by hand, exactly; and who is kept out of it."""

from __future__ import annotations

import importlib.util
import re
import sys
import tracemalloc

import numpy as np
import pytest

from fedlung.errors import UpdateError
from fedlung.protocol import State, TrainReply
from server import fused
from server.aggregation import AT_ONCE, FEW, MeanOfFew, Merged, WeightedMean, all_finite, checked, mean_for
from server.averaging import LateAverage
from server.sums import BLOCK, Sums, add_all, add_scaled


def reply(site: str, num_examples: int) -> TrainReply:
    return TrainReply(site, 1, num_examples, num_steps=1, loss=0.5, seconds=0.0)


def mean_of(updates: dict[str, tuple[int, State]], current: State) -> State:
    """By both ways, which must agree."""
    one, other = (merged(way(current, lambda reply: reply.num_examples), updates).state for way in WAYS)
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], strict=True)
    return one


def merged(mean: WeightedMean | MeanOfFew, updates: dict[str, tuple[int, State]]) -> Merged:
    for site, (num_examples, state) in updates.items():
        mean.add(reply(site, num_examples), state)
    return mean.merged()


def f32(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


WAYS = (WeightedMean, MeanOfFew)
CURRENT: State = {"w": f32(0, 0)}


def test_two_sites_by_hand() -> None:
    updates = {"A": (1, {"w": f32(1, 2)}), "B": (3, {"w": f32(5, 10)})}
    for way in WAYS:
        mean = merged(way(CURRENT, lambda reply: reply.num_examples), updates)
        # (1·1 + 3·5) / 4 = 4 and (1·2 + 3·10) / 4 = 8
        np.testing.assert_array_equal(mean.state["w"], f32(4, 8))
        assert mean.shares == {"A": 0.25, "B": 0.75} and mean.refused == {}


def test_sites_that_agree_leave_their_weights_as_they_are() -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    mean = mean_of({site: (n, {"w": values}) for site, n in (("A", 7), ("B", 311), ("C", 13))}, {"w": values})
    np.testing.assert_array_equal(mean["w"], values)


def test_the_mean_is_the_float64_mean_rounded_once() -> None:
    rng = np.random.default_rng(0)
    states = [{"w": rng.normal(size=257).astype(np.float32), "b": np.float32(rng.normal())[...]} for _ in range(4)]
    numbers = np.array([3, 10, 17, 24])
    mean = mean_of({f"site-{i}": (int(n), s) for i, (n, s) in enumerate(zip(numbers, states, strict=True))}, states[0])
    for name, like in states[0].items():
        stacked = np.stack([state[name].astype(np.float64) for state in states])
        np.testing.assert_array_equal(mean[name], (np.tensordot(numbers, stacked, axes=1) / 54).astype(np.float32))
        assert mean[name].dtype == np.float32 and mean[name].shape == like.shape


def test_a_tensor_of_several_blocks_is_the_same_mean() -> None:
    rng = np.random.default_rng(0)
    values_KP = rng.normal(size=(3, 2 * BLOCK + 5)).astype(np.float32)
    numbers = (3, 10, 17)
    updates = {f"site-{n}": (n, {"w": values_P.reshape(1, -1)}) for n, values_P in zip(numbers, values_KP, strict=True)}
    mean = mean_of(updates, {"w": np.zeros((1, values_KP.shape[1]), np.float32)})
    expected_P = sum(n * values_P.astype(np.float64) for n, values_P in zip(numbers, values_KP, strict=True)) / 30
    np.testing.assert_array_equal(mean["w"], expected_P.astype(np.float32)[None])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_large_numbers_are_finite_even_where_their_squares_are_not(dtype: type) -> None:
    largest = np.finfo(dtype).max
    assert all_finite(np.array([largest, -largest], dtype))
    for wrong in (np.inf, -np.inf, np.nan):
        assert not all_finite(np.array([1, wrong], dtype))
        assert not all_finite(np.array([largest, wrong], dtype))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"w": f32(np.nan, 1)}, "w has 1 values that are not finite"),
        ({"w": f32(np.inf, np.nan)}, "w has 2 values that are not finite"),
        ({"w": f32(1)}, r"w is float32 \(1,\), the model's is float32 \(2,\)"),
        ({"w": np.array([1.0, 2.0])}, "w is float64"),
        ({}, "1 of 1 tensors are missing, the first is w"),
        ({"w": f32(1, 2), "v": f32(1)}, "1 tensors are not the model's"),
    ],
)
def test_an_update_that_does_not_fit_is_refused_by_its_sites_name(bad: State, words: str) -> None:
    with pytest.raises(UpdateError, match=f"^B: {words}") as refusal:
        checked("B", bad, CURRENT)
    assert re.search(words, refusal.value.public)


def test_an_update_that_fits_passes_as_it_is() -> None:
    state = {"w": f32(1, 2)}
    assert checked("A", state, CURRENT) is state


def test_a_counter_becomes_the_largest_and_keeps_its_type() -> None:
    current = {"running_mean": f32(0), "num_batches_tracked": np.array(3)}
    mean = mean_of(
        {
            "A": (1, {"running_mean": f32(2), "num_batches_tracked": np.array(9)}),
            "B": (1, {"running_mean": f32(4), "num_batches_tracked": np.array(7)}),
        },
        current,
    )
    assert mean["num_batches_tracked"] == 9 and mean["num_batches_tracked"].dtype == np.int64
    np.testing.assert_array_equal(mean["running_mean"], f32(3))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_of_few_updates_one_that_is_not_finite_is_refused_and_the_mean_is_that_of_the_others(
    wrong: float,
) -> None:
    good = {"A": (1, {"w": f32(1, 2)}), "C": (3, {"w": f32(5, 10)})}
    bad = {"B": (2, {"w": f32(1, wrong)})}
    mean = merged(MeanOfFew(CURRENT, lambda reply: reply.num_examples), good | bad)
    np.testing.assert_array_equal(mean.state["w"], f32(4, 8))
    assert mean.shares == {"A": 0.25, "C": 0.75}
    with pytest.raises(UpdateError) as refusal:
        checked("B", bad["B"][1], CURRENT)
    assert mean.refused == {"B": refusal.value.public}


def test_two_infinities_that_cancel_are_both_refused_and_the_model_stays_as_it_was() -> None:
    updates = {"A": (1, {"w": f32(np.inf, 0)}), "B": (1, {"w": f32(-np.inf, 0)})}
    mean = merged(MeanOfFew(CURRENT, lambda reply: reply.num_examples), updates)
    assert mean.state is CURRENT and mean.shares == {} and mean.refused.keys() == {"A", "B"}


def test_memory_does_not_grow_with_the_number_of_sites() -> None:
    num_values = 200_000

    def peak_bytes(num_sites: int) -> int:
        mean = mean_for(num_sites, {"w": np.zeros(num_values, np.float32)}, lambda reply: reply.num_examples)
        tracemalloc.start()
        for i in range(num_sites):
            mean.add(reply(f"site-{i}", 1), {"w": np.full(num_values, i, np.float32)})
        mean.merged()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_bytes(FEW + 1) < 1.05 * peak_bytes(FEW)
    assert peak_bytes(32) < 1.05 * peak_bytes(FEW)


@pytest.fixture(params=["blocks", "loops"])
def worthwhile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small states are summed by blocks, or by the loops that large ones are for."""
    monkeypatch.setattr(fused, "WORTHWHILE", 1 if request.param == "loops" else sys.maxsize)
    assert (fused.loops_for(1, 1) is not None) == (request.param == "loops")


@pytest.mark.usefixtures("worthwhile")
@pytest.mark.parametrize("num_sites", [1, AT_ONCE, AT_ONCE + 1, FEW - 1, FEW, FEW + 1, 2 * FEW])
def test_no_bit_shows_how_many_updates_were_added_at_once(num_sites: int) -> None:
    """With shares that are no integers, so that each product is rounded, and large and small numbers side by side."""
    rng = np.random.default_rng(num_sites)
    scale = 10.0 ** rng.integers(-45, 38, size=BLOCK + 77)
    states = [{"w": (scale * rng.uniform(-1, 1, size=scale.size)).astype(np.float32)} for _ in range(num_sites)]
    shares = rng.dirichlet(np.ones(num_sites))
    mean = mean_for(num_sites, states[0], lambda reply: shares[reply.num_examples - 1])
    sums_P = np.zeros(scale.size)
    for number, state in enumerate(states):
        mean.add(reply(f"site-{number}", number + 1), state)
        sums_P += shares[number] * state["w"].astype(np.float64)
    one_by_one = (sums_P / sum(shares)).astype(np.float32)
    np.testing.assert_array_equal(mean.merged().state["w"].view(np.uint32), one_by_one.view(np.uint32))


@pytest.mark.usefixtures("worthwhile")
@pytest.mark.parametrize("num_terms", [1, 2, 3, 4, 5])
def test_sums_of_several_states_are_those_of_one_after_the_other(num_terms: int) -> None:
    rng = np.random.default_rng(num_terms)
    states = [
        {"w": rng.normal(size=(3, BLOCK)).astype(np.float32), "b": np.float32(-0.0)[...]} for _ in range(num_terms)
    ]
    factors = rng.uniform(-1, 1, size=num_terms)
    at_once: Sums = {}
    one_by_one: Sums = {}
    add_all(at_once, list(zip(factors, states, strict=True)))
    for factor, state in zip(factors, states, strict=True):
        add_scaled(one_by_one, state, factor)
    for name, sums in one_by_one.items():
        np.testing.assert_array_equal(at_once[name].view(np.uint64), sums.view(np.uint64), strict=True)


def test_without_numba_there_are_no_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    fused.compiled.cache_clear()
    assert fused.loops_for(fused.WORTHWHILE, 1) is None
    fused.compiled.cache_clear()


def test_a_small_model_is_not_worth_compiling_for() -> None:
    assert fused.loops_for(fused.WORTHWHILE - 1, 1) is None
    assert fused.loops_for(fused.WORTHWHILE, fused.MOST_TERMS + 1) is None


def test_the_late_average_is_the_mean_of_the_late_rounds() -> None:
    late = LateAverage(3)
    assert [late.begins(number) for number in (1, 2, 3, 4)] == [False, False, True, True]
    assert not LateAverage(0).begins(1)
    late.take({"w": f32(1, 2), "n": np.array(5)})
    mean = late.take({"w": f32(3, 6), "n": np.array(8)})
    np.testing.assert_array_equal(mean["w"], f32(2, 4))
    assert mean["n"] == 8 and mean["w"].dtype == np.float32
