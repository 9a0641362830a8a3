"""The mean of the updates: by hand, exactly; and who is kept out of it."""

from __future__ import annotations

import re
import tracemalloc

import numpy as np
import pytest

from fedlung.errors import UpdateError
from fedlung.protocol import State, TrainReply
from server.aggregation import AT_ONCE, WeightedMean, all_finite, checked
from server.averaging import LateAverage
from server.sums import BLOCK, Sums, add_scaled


def reply(site: str, num_examples: int) -> TrainReply:
    return TrainReply(site, 1, num_examples, num_steps=1, loss=0.5, seconds=0.0)


def mean_of(updates: dict[str, tuple[int, State]], current: State) -> State:
    mean = WeightedMean(current, lambda reply: reply.num_examples)
    for site, (num_examples, state) in updates.items():
        mean.add(reply(site, num_examples), state)
    return mean.merged().state


def f32(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


CURRENT: State = {"w": f32(0, 0)}


def test_two_sites_by_hand() -> None:
    mean = WeightedMean(CURRENT, lambda reply: reply.num_examples)
    mean.add(reply("A", 1), {"w": f32(1, 2)})
    mean.add(reply("B", 3), {"w": f32(5, 10)})
    merged = mean.merged()
    # (1·1 + 3·5) / 4 = 4 and (1·2 + 3·10) / 4 = 8
    np.testing.assert_array_equal(merged.state["w"], f32(4, 8))
    assert merged.shares == {"A": 0.25, "B": 0.75}


def test_sites_that_agree_leave_their_weights_as_they_are() -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    merged = mean_of({site: (n, {"w": values}) for site, n in (("A", 7), ("B", 311), ("C", 13))}, {"w": values})
    np.testing.assert_array_equal(merged["w"], values)


def test_the_mean_is_the_float64_mean_rounded_once() -> None:
    rng = np.random.default_rng(0)
    states = [{"w": rng.normal(size=257).astype(np.float32), "b": np.float32(rng.normal())[...]} for _ in range(4)]
    numbers = np.array([3, 10, 17, 24])
    merged = mean_of(
        {f"site-{i}": (int(n), s) for i, (n, s) in enumerate(zip(numbers, states, strict=True))}, states[0]
    )
    for name, like in states[0].items():
        stacked = np.stack([state[name].astype(np.float64) for state in states])
        np.testing.assert_array_equal(merged[name], (np.tensordot(numbers, stacked, axes=1) / 54).astype(np.float32))
        assert merged[name].dtype == np.float32 and merged[name].shape == like.shape


def test_a_tensor_of_several_blocks_is_the_same_mean() -> None:
    rng = np.random.default_rng(0)
    values_KP = rng.normal(size=(3, 2 * BLOCK + 5)).astype(np.float32)
    numbers = (3, 10, 17)
    updates = {f"site-{n}": (n, {"w": values_P.reshape(1, -1)}) for n, values_P in zip(numbers, values_KP, strict=True)}
    merged = mean_of(updates, {"w": np.zeros((1, values_KP.shape[1]), np.float32)})
    expected_P = sum(n * values_P.astype(np.float64) for n, values_P in zip(numbers, values_KP, strict=True)) / 30
    np.testing.assert_array_equal(merged["w"], expected_P.astype(np.float32)[None])


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
    merged = mean_of(
        {
            "A": (1, {"running_mean": f32(2), "num_batches_tracked": np.array(9)}),
            "B": (1, {"running_mean": f32(4), "num_batches_tracked": np.array(7)}),
        },
        current,
    )
    assert merged["num_batches_tracked"] == 9 and merged["num_batches_tracked"].dtype == np.int64
    np.testing.assert_array_equal(merged["running_mean"], f32(3))


def test_memory_does_not_grow_with_the_number_of_sites() -> None:
    num_values = 200_000

    def peak_bytes(num_sites: int) -> int:
        mean = WeightedMean({"w": np.zeros(num_values, np.float32)}, lambda reply: reply.num_examples)
        tracemalloc.start()
        for i in range(num_sites):
            mean.add(reply(f"site-{i}", 1), {"w": np.full(num_values, i, np.float32)})
        mean.merged()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_bytes(32) < 1.05 * peak_bytes(AT_ONCE + 1)


@pytest.mark.parametrize("num_sites", [1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE, 2 * AT_ONCE + 1])
def test_no_bit_shows_how_many_updates_were_added_at_once(num_sites: int) -> None:
    """With shares that are no integers, so that each product is rounded, and large and small numbers side by side."""
    rng = np.random.default_rng(num_sites)
    scale = 10.0 ** rng.integers(-20, 20, size=BLOCK + 77)
    states = [{"w": (scale * rng.normal(size=scale.size)).astype(np.float32)} for _ in range(num_sites)]
    shares = rng.dirichlet(np.ones(num_sites))
    mean = WeightedMean(states[0], lambda reply: shares[reply.num_examples - 1])
    sums: Sums = {}
    for number, state in enumerate(states):
        mean.add(reply(f"site-{number}", number + 1), state)
        add_scaled(sums, state, shares[number])
    one_by_one = (sums["w"] / sum(shares)).astype(np.float32)
    np.testing.assert_array_equal(mean.merged().state["w"].view(np.uint32), one_by_one.view(np.uint32))


def test_the_late_average_is_the_mean_of_the_late_rounds() -> None:
    late = LateAverage(3)
    assert [late.begins(number) for number in (1, 2, 3, 4)] == [False, False, True, True]
    assert not LateAverage(0).begins(1)
    late.take({"w": f32(1, 2), "n": np.array(5)})
    mean = late.take({"w": f32(3, 6), "n": np.array(8)})
    np.testing.assert_array_equal(mean["w"], f32(2, 4))
    assert mean["n"] == 8 and mean["w"].dtype == np.float32
