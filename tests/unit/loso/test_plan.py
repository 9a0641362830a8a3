"""Which runs a leave-one-site-out takes, and what each of them is asked."""

from __future__ import annotations

from typing import Any

import pytest

from fedlung.config import RunConfig
from fedlung.errors import ConfigError
from fedlung.loso.methods import method_of
from fedlung.loso.plan import POOL, fold_named, plan

SITES = ("A", "B", "C")


def planned(**knobs: Any) -> RunConfig:
    given = {"federation.sites": ",".join(SITES), "federation.held-out": "", "protocol": "loso", **knobs}
    return RunConfig.from_run_config(given)


def test_every_site_is_unseen_once_for_each_method_and_seed() -> None:
    config = planned(**{"loso.methods": "fedavg,fedprox", "loso.seeds": 2, "seed": 5, "loso.baselines": False})
    told = {(fold.method.name, fold.seed, fold.config(config).federation.held_out) for fold in plan(config)}
    assert told == {(method, seed, site) for method in ("fedavg", "fedprox") for seed in (5, 6) for site in SITES}
    assert len(plan(config)) == 12


def test_the_baselines_of_a_seed_are_counted_by_hand() -> None:
    config = planned(**{"loso.methods": "fedavg", "loso.seeds": 1, "loso.pooled": True})
    kinds = [fold.kind for fold in plan(config)]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "federated": 6,  # fedavg and uniform
        "pooled": 3,
        "alone": 3,
        "ensemble": 3,
        "oracle": 1,
    }
    assert len({fold.name for fold in plan(config)}) == len(kinds)


def test_a_fold_is_configured_as_if_it_were_run_alone() -> None:
    config = planned(**{"loso.methods": "fedprox", "loso.seeds": 3, "federation.rounds": 7})
    fold = next(fold for fold in plan(config) if fold.seed == 2 and fold.unseen == "B")
    alone = RunConfig.from_run_config(
        {
            "federation.sites": "A,B,C",
            "federation.held-out": "B",
            "federation.strategy": "fedprox",
            "federation.rounds": 7,
            "evaluate.held-out-curve": False,
            "seed": 2,
        }
    )
    assert fold.config(config) == alone


def test_a_model_trained_alone_sees_one_site_and_an_ensemble_is_made_of_those_of_the_others() -> None:
    config = planned()
    alone = next(fold for fold in plan(config) if fold.kind == "alone" and fold.site == "B")
    assert alone.config(config).federation.held_out_names == ("A", "C")
    ensemble = next(fold for fold in plan(config) if fold.kind == "ensemble" and fold.unseen == "B")
    assert [member.site for member in ensemble.members(config)] == ["A", "C"]
    order = [fold.name for fold in plan(config)]
    assert all(order.index(member.name) < order.index(ensemble.name) for member in ensemble.members(config))


def test_the_pool_alone_trains_and_the_sources_choose_the_round() -> None:
    config = planned(**{"loso.pooled": True})
    pooled = next(fold for fold in plan(config) if fold.kind == "pooled" and fold.unseen == "C").config(config)
    assert pooled.federation.site_names == (POOL, *SITES)
    assert (pooled.federation.held_out, pooled.federation.trains) == ("C", POOL)


def test_a_method_gets_what_its_strategy_needs_and_what_it_names() -> None:
    config = planned(**{"loso.methods": "scaffold,fedbn,fedavg+model.norm=batch+optimizer.learning-rate=0.25"})
    by_method = {fold.method.slug: fold.config(config) for fold in plan(config) if fold.kind == "federated"}
    scaffold, fedbn = by_method["scaffold"], by_method["fedbn"]
    assert (scaffold.optimizer.name, scaffold.optimizer.momentum) == ("sgd", 0.0)
    assert scaffold.optimizer.learning_rate == config.loso.sgd_learning_rate
    assert (fedbn.model.norm, fedbn.optimizer) == ("batch", config.optimizer)
    batch = next(found for slug, found in by_method.items() if slug.startswith("fedavg-"))
    assert (batch.model.norm, batch.optimizer.learning_rate, batch.federation.strategy) == ("batch", 0.25, "fedavg")


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"federation.sites": "A,B"}, "at least three sites"),
        ({"federation.sites": "A,B,Pooled"}, "none of them 'Pooled'"),
        ({"loso.methods": "fedsgd"}, "no strategy 'fedsgd'"),
        ({"loso.methods": ""}, "must name methods"),
        ({"loso.methods": "fedavg+seed=3"}, "must be the same for all methods"),
        ({"loso.methods": "fedavg+evaluate.select=loss"}, "must be the same for all methods"),
        ({"loso.methods": "fedavg+model.norm"}, "expected strategy\\+key=value"),
        ({"loso.methods": "fedavg+model.nrom=batch"}, "did you mean model.norm"),
        ({"loso.methods": "fedavg+model.norm=layer"}, "model.norm"),
    ],
)
def test_a_plan_that_cannot_be_run_says_why_before_anything_starts(knobs: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(planned(**knobs))


def test_a_name_that_is_not_in_the_plan_is_refused_without_repeating_it_in_public() -> None:
    with pytest.raises(ConfigError, match="no fold of that name") as refused:
        fold_named("../../etc", planned())
    assert "etc" not in refused.value.public


def test_values_of_a_method_have_their_own_type() -> None:
    loso = planned().loso
    method = method_of("fedavg+augment.enabled=false+model.width=16+model.norm=batch", loso)
    assert dict(method.overrides) == {"augment.enabled": False, "model.width": 16, "model.norm": "batch"}
