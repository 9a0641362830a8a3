"""Every algorithm on two or three sites by hand, or against its formula written out plainly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from fedlung.config import RunConfig
from fedlung.errors import ConfigError
from fedlung.model.networks import build_model, norm_names, parameter_names
from fedlung.protocol import START_LOSS, SiteLedger, SplitCounts, State, TrainReply, encode_state
from server.rollcall import Roster
from server.strategies import STRATEGIES, FedAvg, Training
from server.strategies.afl import project_on_simplex
from server.strategies.fednova import NovaMerging, accumulated
from server.strategies.generalization_adjustment import adjusted
from server.strategies.geometric_median import GeometricMedianMerging
from server.strategies.krum import KrumMerging
from server.strategies.median import MedianMerging
from server.strategies.qffl import FairMerging
from server.strategies.trimmed_mean import TrimmedMerging

RATE = 0.1
SGD = {"optimizer.name": "sgd", "optimizer.momentum": 0.0, "optimizer.learning-rate": RATE}
BATCH_NORM = {"model.norm": "batch", "model.width": 4}


def make(name: str, *sites: str, **knobs: object) -> FedAvg:
    """A strategy between rounds: sources ``sites`` with 8 training and 2 validation examples each."""
    config = RunConfig.from_run_config(
        {"federation.strategy": name, "federation.sites": "", "federation.held-out": ""} | knobs
    )
    roster = Roster({}, {}, sources=sites, held_out=(), missing=(), absences=())
    splits = {"train": SplitCounts(4, 4, 4), "validation": SplitCounts(1, 1, 1)}
    ledgers = {s: SiteLedger(s, 5, 5, 5, {}, {}, {}, {}, splits, "0" * 16, 0.0, True) for s in sites}
    return STRATEGIES[name](config, roster, ledgers)


def state(*values: float) -> State:
    return {"w": np.array(values, dtype=np.float32)}


def reply(site: str, *, examples: int = 8, steps: int = 1, **losses: float) -> TrainReply:
    return TrainReply(site, 1, examples, steps, loss=0.5, seconds=0.0, losses=losses)


def a_round(strategy: FedAvg, current: State, updates: Mapping[str, tuple[TrainReply, State]]) -> State:
    """The state after one round in which these sites answered."""
    strategy.current = current
    replies = {site: answer for site, (answer, _) in updates.items()}
    strategy.training = Training(1, RATE, replies=replies, is_committed=True)
    merging = strategy.merging()
    for _, (answer, found) in sorted(updates.items()):
        merging.add(answer, found)
    return strategy.stepped(merging.merged())


def test_every_strategy_of_the_configuration_is_there() -> None:
    (choices,) = [f.annotation for n, f in type(RunConfig().federation).model_fields.items() if n == "strategy"]
    assert set(choices.__args__) == set(STRATEGIES)


def test_uniform_weights_are_the_plain_mean() -> None:
    updates = {"A": (reply("A", examples=1), state(1)), "B": (reply("B", examples=999), state(3))}
    assert a_round(make("uniform", "A", "B"), state(0), updates)["w"] == 2.0


def test_server_momentum_by_hand() -> None:
    strategy = make("fedavgm", "A", **{"strategy.momentum": 0.5, "strategy.server-learning-rate": 1.0})
    strategy.parameters = frozenset({"w"})
    # Delta is 1 in both rounds: m = 1, then 0.5 + 1 = 1.5.
    first = a_round(strategy, state(0), {"A": (reply("A"), state(1))})
    assert first["w"] == 1.0
    assert a_round(strategy, first, {"A": (reply("A"), state(2))})["w"] == 2.5


def test_fedadam_is_the_papers_algorithm_over_three_rounds() -> None:
    knobs = {
        "strategy.beta1": 0.9,
        "strategy.beta2": 0.99,
        "strategy.tau": 0.01,
        "strategy.adaptive-learning-rate": 0.1,
    }
    strategy = make("fedadam", "A", **knobs)
    strategy.parameters = frozenset({"w"})
    w, m, v = 0.0, 0.0, 0.01**2
    current = state(0)
    for target in (1.0, 3.0, -2.0):
        delta = target - w
        m, v = 0.9 * m + 0.1 * delta, 0.99 * v + 0.01 * delta**2
        current = a_round(strategy, current, {"A": (reply("A"), state(target))})
        w += 0.1 * m / (np.sqrt(v) + 0.01)
        assert current["w"][0] == pytest.approx(w, rel=1e-6)
        w = float(current["w"][0])


def test_fedyogi_moves_its_second_moment_by_no_more_than_the_square() -> None:
    strategy = make("fedyogi", "A", **{"strategy.tau": 1.0, "strategy.beta2": 0.9})
    strategy.parameters = frozenset({"w"})
    a_round(strategy, state(0), {"A": (reply("A"), state(3))})
    # v starts at tau² = 1 and delta² = 9: v - 0.1 · 9 · sign(1 - 9) = 1.9, where Adam's would be 0.9 + 0.9 = 1.8.
    assert strategy.second["w"] == pytest.approx(1.9)


def test_server_optimizers_step_parameters_only() -> None:
    strategy = make("fedadam", "A")
    strategy.parameters = frozenset({"w"})
    current = {**state(0), "running_mean": np.zeros(1, np.float32)}
    merged = a_round(strategy, current, {"A": (reply("A"), {**state(1), "running_mean": np.full(1, 7.0, np.float32)})})
    assert merged["running_mean"] == 7.0 and merged["w"] != 1.0


@pytest.mark.parametrize(
    ("name", "share"),
    [
        *((name, 0.25) for name in ("fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi", "fednova")),
        *((name, 0.5) for name in ("uniform", "scaffold", "qffl")),
    ],
)
def test_running_statistics_are_the_mean_by_count_in_every_round_and_are_never_stepped(name: str, share: float) -> None:
    """8 examples against 24; an algorithm in which sites weigh alike weighs their statistics alike."""
    strategy = make(name, "A", "B", **(SGD if name == "scaffold" else {}), **BATCH_NORM)
    current = {n: t.numpy() for n, t in build_model(strategy.config.model, 0).state_dict().items()}
    statistics = [n for n in current if n.endswith(("running_mean", "running_var"))]
    for server_round in (1, 2):
        sent = {s: {n: v + np.asarray(shift, v.dtype) for n, v in current.items()} for s, shift in (("A", 1), ("B", 5))}
        replies = {s: reply(s, examples=n, **{START_LOSS: 0.5}) for s, n in (("A", 8), ("B", 24))}
        merged = a_round(strategy, current, {s: (replies[s], sent[s]) for s in sent})
        for key in statistics:
            expected = share * sent["A"][key] + (1 - share) * sent["B"][key]
            np.testing.assert_allclose(merged[key], expected, rtol=1e-6, err_msg=f"{key} in round {server_round}")
        assert merged["stem.1.num_batches_tracked"] == sent["B"]["stem.1.num_batches_tracked"]
        current = merged


def test_scaffold_by_hand_over_two_rounds() -> None:
    strategy = make("scaffold", "A", "B", **SGD)
    strategy.parameters = frozenset({"w"})
    # Round 1, w = 0, no correction. A takes 2 steps to -0.4: mean gradient 0.4 / (2 · 0.1) = 2. B one step to 0.1: -1.
    first = a_round(strategy, state(0), {"A": (reply("A", steps=2), state(-0.4)), "B": (reply("B"), state(0.1))})
    assert first["w"] == pytest.approx(-0.15)
    assert (strategy.own["A"]["w"], strategy.own["B"]["w"]) == (pytest.approx(2.0), pytest.approx(-1.0))
    assert strategy.common["w"] == pytest.approx(0.5)
    # Round 2: A is sent c - c_A = -1.5. It moves by +0.1 in one step, so its corrected gradient is -1 and
    # c_A+ = c_A - c + (-1) = 2 - 0.5 - 1 = 0.5; B is absent, so c moves by half of A's change: 0.5 - 1.5 / 2 = -0.25.
    second = a_round(strategy, first, {"A": (reply("A"), {"w": first["w"] + np.float32(0.1)})})
    assert second["w"] == pytest.approx(-0.05)
    assert strategy.own["A"]["w"] == pytest.approx(0.5) and strategy.own["B"]["w"] == pytest.approx(-1.0)
    assert strategy.common["w"] == pytest.approx(-0.25)


def test_scaffold_finds_the_common_minimum_that_fedavg_with_many_steps_misses() -> None:
    # Site k minimises h_k / 2 (w - m_k)²; the sum has its minimum at sum h_k m_k / sum h_k.
    curvature, middle, steps = {"A": 1.0, "B": 9.0}, {"A": 10.0, "B": 0.0}, 20
    optimum = sum(curvature[s] * middle[s] for s in curvature) / sum(curvature.values())

    def trained(site: str, w: float, correction: float) -> float:
        for _ in range(steps):
            w -= RATE * (curvature[site] * (w - middle[site]) + correction)
        return w

    ends = {}
    for name in ("uniform", "scaffold"):
        strategy, current = make(name, "A", "B", **SGD), state(5)
        strategy.parameters = frozenset({"w"})
        for _ in range(300):
            controls = getattr(strategy, "own", {}), getattr(strategy, "common", {})
            correction = {
                s: float(np.sum(controls[1].get("w", 0.0) - controls[0].get(s, {}).get("w", 0.0))) for s in middle
            }
            updates = {
                s: (reply(s, steps=steps), state(trained(s, float(current["w"][0]), correction[s]))) for s in middle
            }
            current = a_round(strategy, current, updates)
        ends[name] = float(current["w"][0])
    assert ends["scaffold"] == pytest.approx(optimum, abs=1e-3)
    assert abs(ends["uniform"] - optimum) > 1.0


def test_fednova_by_hand() -> None:
    merging = NovaMerging(state(0), frozenset({"w"}), RunConfig.from_run_config(SGD).optimizer)
    merging.add(reply("A", examples=1, steps=1), state(1))
    merging.add(reply("B", examples=3, steps=4), state(8))
    merged = merging.merged()
    # tau_eff = 1/4 · 1 + 3/4 · 4 = 3.25; sum p Delta / a = 1/4 · 1 + 3/4 · 8/4 = 1.75; 3.25 · 1.75 = 5.6875.
    assert merged.state["w"] == pytest.approx(5.6875)
    assert merged.shares == {"A": pytest.approx(4 / 7), "B": pytest.approx(3 / 7)}


def test_fednova_with_equal_steps_is_fedavg() -> None:
    updates = {
        "A": (reply("A", examples=2, steps=5), state(1, 2)),
        "B": (reply("B", examples=6, steps=5), state(3, -4)),
    }
    nova, average = (make(name, "A", "B") for name in ("fednova", "fedavg"))
    merging = NovaMerging(state(0.5, 0.5), frozenset({"w"}), nova.config.optimizer)
    for _, (answer, found) in sorted(updates.items()):
        merging.add(answer, found)
    np.testing.assert_allclose(merging.merged().state["w"], a_round(average, state(0.5, 0.5), updates)["w"], rtol=1e-6)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_accumulated_gradients_of_momentum_are_those_of_torch(rho: float) -> None:
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=rho)
    for _ in range(7):
        weight.grad = torch.ones(())
        optimizer.step()
    cfg = RunConfig.from_run_config({"optimizer.name": "sgd", "optimizer.momentum": rho}).optimizer
    assert accumulated(7, cfg) == pytest.approx(-weight.item(), rel=1e-6)


def test_q_ffl_by_hand_and_q_0_is_the_plain_mean() -> None:
    updates = [(reply("A", **{START_LOSS: 1.0}), state(-0.1)), (reply("B", **{START_LOSS: 2.0}), state(0.2))]

    def stepped(q: float) -> float:
        merging = FairMerging(state(0), frozenset({"w"}), fairness=q, learning_rate=RATE)
        for answer, found in updates:
            merging.add(answer, found)
        return float(merging.merged().state["w"][0])

    assert stepped(0.0) == pytest.approx(0.05)
    # L = 10; g_A = 1, g_B = -2; D = 1 · 1 + 2 · -2 = -3; h = (1 · 1 + 10 · 1) + (1 · 4 + 10 · 2) = 35.
    assert stepped(1.0) == pytest.approx(3 / 35)


def test_the_nearest_point_of_the_simplex() -> None:
    np.testing.assert_allclose(project_on_simplex(np.array([0.6, 0.6])), [0.5, 0.5])
    np.testing.assert_allclose(project_on_simplex(np.array([2.0, 0.0, 0.5])), [1.0, 0.0, 0.0])
    np.testing.assert_allclose(project_on_simplex(np.array([0.2, 0.3, 0.5])), [0.2, 0.3, 0.5])


@pytest.mark.parametrize("name", ["afl", "groupdro"])
def test_the_site_with_the_higher_loss_gains_and_an_absent_one_keeps_a_share(name: str) -> None:
    strategy = make(name, "A", "B", "C", **{"strategy.group-step": 0.5})
    updates = {s: (reply(s, **{START_LOSS: loss}), state(0)) for s, loss in (("A", 1.0), ("B", 0.2))}
    a_round(strategy, state(0), updates)
    assert strategy.shares["A"] > 1 / 3 > strategy.shares["B"] > 0 and strategy.shares["C"] > 0
    assert sum(strategy.shares.values()) == pytest.approx(1.0)
    if name == "groupdro":
        assert strategy.shares["A"] / strategy.shares["B"] == pytest.approx(np.exp(0.5 * 0.8))


@pytest.mark.parametrize("name", ["afl", "groupdro"])
def test_a_site_that_was_good_for_long_still_counts_where_it_alone_answers(name: str) -> None:
    strategy = make(name, "A", "B", **{"strategy.group-step": 5.0})
    both = {s: (reply(s, **{START_LOSS: loss}), state(0)) for s, loss in (("A", 9.0), ("B", 0.0))}
    for _ in range(300):
        a_round(strategy, state(0), both)
    assert strategy.shares["B"] > 1e-4
    assert a_round(strategy, state(0), {"B": (reply("B", **{START_LOSS: 1.0}), state(3))})["w"] == 3.0


def test_generalization_adjustment_by_hand() -> None:
    # Gaps .3 and .1: mean .2, widest .1; step .2 for two sites moves each share by .1.
    shares = adjusted({"A": 0.5, "B": 0.5}, {"A": 0.3, "B": 0.1}, step=0.2)
    assert shares == {"A": pytest.approx(0.6), "B": pytest.approx(0.4)}


@pytest.mark.parametrize("gaps", [{}, {"A": 0.3, "B": 0.3}, {"A": 0.0, "B": 0.0}])
def test_equal_gaps_leave_the_shares_as_they_are(gaps: dict[str, float]) -> None:
    assert adjusted({"A": 0.7, "B": 0.3}, gaps, step=0.2) == {"A": 0.7, "B": 0.3}


def test_no_site_is_adjusted_away() -> None:
    shares = {"A": 0.5, "B": 0.5}
    for _ in range(100):
        shares = adjusted(shares, {"A": 1.0, "B": 0.0}, step=1.0)
    assert shares["B"] > 0.04 and sum(shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("make_merging", [MedianMerging, lambda current: TrimmedMerging(current, 0.25)])
def test_one_wild_site_of_four_does_not_move_a_robust_mean(make_merging: object) -> None:
    merging = make_merging(state(0, 0))
    for site, values in (("A", (1, 5)), ("B", (2, 6)), ("C", (3, 7)), ("D", (1e6, -1e6))):
        merging.add(reply(site), state(*values))
    # Of 1, 2, 3, 1e6 and of -1e6, 5, 6, 7 the middle two.
    np.testing.assert_allclose(merging.merged().state["w"], [2.5, 5.5])


def test_the_geometric_median_is_where_the_sum_of_distances_is_least() -> None:
    points = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0], [50.0, 80.0]])
    merging = GeometricMedianMerging(state(0, 0))
    for site, point in zip("ABCD", points, strict=True):
        merging.add(reply(site), state(*point))
    found = merging.merged().state["w"]

    def total(at: np.ndarray) -> float:
        return float(np.linalg.norm(points - at, axis=1).sum())

    around = [found + step for step in np.random.default_rng(0).normal(scale=0.3, size=(200, 2))]
    assert total(found) <= min(map(total, around)) + 1e-3


def test_krum_takes_one_of_the_updates_that_agree() -> None:
    merging = KrumMerging(state(0), num_byzantine=1)
    for site, value in (("A", 1.0), ("B", 1.1), ("C", 1.2), ("D", 1.15), ("E", 99.0)):
        merging.add(reply(site), state(value))
    merged = merging.merged()
    assert merged.state["w"][0] in (np.float32(1.1), np.float32(1.15))
    assert sorted(merged.shares.values()) == [0, 0, 0, 0, 1]


def test_a_spooled_state_comes_back_in_its_own_shapes_and_types() -> None:
    current = {"a": np.zeros((2, 3), np.float32), "b": np.zeros((), np.float32), "n": np.array(1)}
    sent = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32(9)[...], "n": np.array(4)}
    merging = MedianMerging(current)
    merging.add(reply("A"), sent)
    merged = merging.merged().state
    assert {name: (v.shape, v.dtype) for name, v in merged.items()} == {n: (v.shape, v.dtype) for n, v in sent.items()}
    assert all(np.array_equal(merged[name], sent[name]) for name in sent)


def test_fedbn_gives_each_site_its_own_norms_and_a_new_site_the_mean() -> None:
    strategy = make("fedbn", "A", "B", **BATCH_NORM)
    current = {n: t.numpy() for n, t in build_model(strategy.config.model, 0).state_dict().items()}
    norms = norm_names(strategy.config.model)
    assert norms and any(name.endswith("running_var") for name in norms) and norms < current.keys()
    sent = {s: {n: v + np.asarray(shift, v.dtype) for n, v in current.items()} for s, shift in (("A", 1), ("B", 3))}
    merged = a_round(strategy, current, {s: (reply(s), sent[s]) for s in sent})
    arrays, name = encode_state(merged), "stem.1.weight" if "stem.1.weight" in norms else min(norms)
    other = min(current.keys() - norms)
    for site in ("A", "B"):
        own = strategy.weights_for(site, arrays)
        np.testing.assert_array_equal(own[name].numpy(), sent[site][name])
        np.testing.assert_array_equal(own[other].numpy(), merged[other])
    np.testing.assert_allclose(strategy.weights_for("new", arrays)[name].numpy(), current[name] + 2)


@pytest.mark.parametrize("name", ["fedavgm", "fedadam", "scaffold", "afl", "feddg-ga"])
def test_what_a_strategy_carries_survives_being_written_down(name: str) -> None:
    knobs = SGD if name == "scaffold" else {}
    one, other = (make(name, "A", "B", **knobs) for _ in range(2))
    one.parameters = other.parameters = frozenset({"w"})
    updates = {s: (reply(s, **{START_LOSS: loss}), state(loss)) for s, loss in (("A", 1.0), ("B", 0.25))}
    current = a_round(one, state(0), updates)
    other.recall({key: np.array(values) for key, values in one.memory().items()})
    assert one.memory() and a_round(one, current, updates)["w"] == a_round(other, current, updates)["w"]


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"federation.strategy": "scaffold"}, "plain SGD"),
        ({"federation.strategy": "fedbn"}, "model.norm 'batch'"),
        ({"strategy.average-from": 99}, "after the last"),
    ],
)
def test_a_strategy_that_does_not_suit_the_rest_is_refused(knobs: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RunConfig.from_run_config(knobs)


def test_parameters_are_what_torch_trains() -> None:
    cfg = RunConfig.from_run_config(BATCH_NORM).model
    assert parameter_names(cfg) == {name for name, _ in build_model(cfg, 0).named_parameters()}
