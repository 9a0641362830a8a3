"""The mean of the updates: by hand, exactly, in any order; and who is kept out of it."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from fedlung.errors import ProtocolError
from fedlung.protocol import State
from server.aggregation import Update, aggregate


def update(site: str, num_examples: int, **tensors: object) -> Update:
    return Update(site, num_examples, lambda: {name: np.asarray(value) for name, value in tensors.items()})


def f32(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


CURRENT: State = {"w": f32(0, 0)}


def random_updates(num_sites: int) -> tuple[list[Update], State]:
    rng = np.random.default_rng(0)
    states = [{"w": rng.normal(size=257).astype(np.float32), "b": rng.normal(size=())} for _ in range(num_sites)]
    states = [{name: np.asarray(value, dtype=np.float32) for name, value in state.items()} for state in states]
    updates = [Update(f"site-{i}", 3 + 7 * i, lambda state=state: state) for i, state in enumerate(states)]
    return updates, states[0]


def test_two_sites_by_hand() -> None:
    merged = aggregate([update("A", 1, w=f32(1, 2)), update("B", 3, w=f32(5, 10))], CURRENT)
    # (1·1 + 3·5) / 4 = 4 and (1·2 + 3·10) / 4 = 8
    np.testing.assert_array_equal(merged.state["w"], f32(4, 8))
    assert merged.num_examples == {"A": 1, "B": 3}
    assert merged.refused == {}


def test_sites_that_agree_leave_their_weights_as_they_are() -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    merged = aggregate([update(site, n, w=values) for site, n in (("A", 7), ("B", 311), ("C", 13))], {"w": values})
    np.testing.assert_array_equal(merged.state["w"], values)


def test_every_order_of_five_sites_gives_the_same_bits() -> None:
    updates, current = random_updates(5)
    expected = aggregate(updates, current).state
    for order in itertools.permutations(updates):
        merged = aggregate(order, current).state
        assert all(merged[name].tobytes() == expected[name].tobytes() for name in expected)


def test_the_mean_is_the_float64_mean_rounded_once() -> None:
    updates, current = random_updates(4)
    merged = aggregate(updates, current).state
    weights = np.array([one.num_examples for one in updates], dtype=np.float64)
    for name in current:
        stacked = np.stack([one.load()[name].astype(np.float64) for one in updates])
        expected = np.tensordot(weights, stacked, axes=1) / weights.sum()
        np.testing.assert_allclose(merged[name], expected, rtol=2e-7)
        assert merged[name].dtype == np.float32 and merged[name].shape == current[name].shape


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
def test_an_update_that_does_not_fit_is_refused_by_name_and_the_rest_is_exact(bad: State, words: str) -> None:
    good = [update("A", 2, w=f32(1, 2)), update("C", 5, w=f32(3, 4))]
    merged = aggregate([*good, Update("B", 10**9, lambda: bad)], CURRENT)
    assert list(merged.refused) == ["B"]
    assert merged.refused["B"].startswith("B: ")
    assert re.search(words, merged.refused["B"])
    np.testing.assert_array_equal(merged.state["w"], aggregate(good, CURRENT).state["w"])


def test_an_update_that_cannot_be_decoded_is_refused_by_name() -> None:
    def load() -> State:
        raise ProtocolError("array w is not in NumPy's form")

    merged = aggregate([Update("B", 1, load)], CURRENT)
    assert merged.refused == {"B": "array w is not in NumPy's form"}
    assert merged.state is None


def test_nobody_means_no_state() -> None:
    assert aggregate([], CURRENT).state is None


def test_a_counter_becomes_the_largest_and_keeps_its_type() -> None:
    current = {"running_mean": f32(0), "num_batches_tracked": np.array(3)}
    merged = aggregate(
        [
            update("A", 1, running_mean=f32(2), num_batches_tracked=np.array(9)),
            update("B", 1, running_mean=f32(4), num_batches_tracked=np.array(7)),
        ],
        current,
    )
    assert merged.state["num_batches_tracked"] == 9 and merged.state["num_batches_tracked"].dtype == np.int64
    np.testing.assert_array_equal(merged.state["running_mean"], f32(3))


def test_one_decoded_update_is_held_at_a_time() -> None:
    events: list[str] = []

    class Watched(dict[str, np.ndarray]):
        def __del__(self) -> None:
            events.append("dropped")

    def load() -> State:
        events.append("loaded")
        return Watched(w=f32(1, 2))

    aggregate([Update(f"site-{i}", 1, load) for i in range(4)], CURRENT)
    assert events == ["loaded", "dropped"] * 4
