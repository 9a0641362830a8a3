"""Which runs a leave-one-site-out takes, and what each of them is asked."""

from __future__ import annotations

from typing import Any

import pytest

from fedlung.config import RunConfig
from fedlung.errors import ConfigError
from fedlung.loso.methods import listed_methods, method_of
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
        ({"loso.methods": "fedavg+model.norm=group|layer"}, "model.norm"),
        ({"loso.methods": "fedavg+seed=3|4"}, "must be the same for all methods"),
        ({"loso.methods": "fedavg+model.width=8||16"}, "model.width has an empty choice"),
        ({"loso.methods": "fedavg+model.width=8|"}, "model.width has an empty choice"),
        ({"loso.methods": "fedprox+strategy.proximal-mu=0.1|0.10"}, "the same value twice; leave one"),
        ({"loso.methods": "fedavg+model.width=8|16+model.width=8"}, "model.width is there twice"),
        ({"loso.methods": "fedavg+optimizer.batch-size=1|2|3|4|5+model.width=4|8|12|16|20"}, "25 combinations"),
        ({"loso.methods": "fedavg+" + "+".join(f"key-{n}=1|2|3|4" for n in range(40))}, "leave out values"),
    ],
)
def test_a_plan_that_cannot_be_run_says_why_before_anything_starts(knobs: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(planned(**knobs))


def test_a_name_that_is_not_in_the_plan_is_refused_without_repeating_it_in_public() -> None:
    with pytest.raises(ConfigError, match="no fold of that name") as refused:
        fold_named("../../etc", planned())
    assert "etc" not in refused.value.public


@pytest.mark.parametrize(
    ("method", "slug"),
    [
        ("fedavg", "fedavg"),
        ("fedavg+model.norm=batch", "fedavg-d97450c8"),
        ("fedprox+strategy.proximal-mu=0.1", "fedprox-ecc08112"),
        ("fedprox + strategy.proximal-mu = 0.10", "fedprox-97b81ec1"),
        ("scaffold+optimizer.learning-rate=0.1+model.width=16", "scaffold-06aca071"),
    ],
)
def test_folders_of_earlier_runs_are_found_again(method: str, slug: str) -> None:
    names = {fold.name for fold in plan(planned(**{"loso.methods": method, "loso.baselines": False, "loso.seeds": 1}))}
    assert names == {f"{slug}.seed-0.without-{site}" for site in SITES}


def test_every_combination_of_choices_is_run_as_if_it_were_a_method_of_its_own() -> None:
    searched = "fedavg+optimizer.learning-rate=0.001|0.003+model.norm=batch+model.width=8|16"
    spelled_out = [
        f"fedavg+optimizer.learning-rate={rate}+model.norm=batch+model.width={width}"
        for rate in (0.001, 0.003)
        for width in (8, 16)
    ]
    assert plan(planned(**{"loso.methods": searched})) == plan(planned(**{"loso.methods": ",".join(spelled_out)}))
    (listed,) = listed_methods(planned(**{"loso.methods": searched}).loso)
    assert (listed.name, listed.choices) == (searched, ("optimizer.learning-rate", "model.width"))
    assert [dict(variant.overrides)["model.width"] for variant in listed.variants] == [8, 16, 8, 16]


def test_what_two_methods_share_is_run_once_however_it_is_written() -> None:
    methods = "fedprox+model.width=8+strategy.proximal-mu=0.1,fedprox+strategy.proximal-mu = 0.01 | 0.10+model.width=8"
    config = planned(**{"loso.methods": methods, "loso.baselines": False, "loso.seeds": 1})
    alone, searched = listed_methods(config.loso)
    assert searched.variants[1] == alone.variants[0]
    assert len(plan(config)) == len({fold.name for fold in plan(config)}) == 2 * len(SITES)


def test_a_site_finds_a_fold_of_a_choice_by_its_name_in_its_own_copy_of_the_configuration() -> None:
    config = planned(**{"loso.methods": "fedprox+strategy.proximal-mu=0.01|10"})
    mus = {fold_named(fold.name, config).config(config).strategy.proximal_mu for fold in plan(config)[: 2 * len(SITES)]}
    assert mus == {0.01, 10.0}


def test_values_of_a_method_have_their_own_type() -> None:
    loso = planned().loso
    method = method_of("fedavg+augment.enabled=false+model.width=16+model.norm=batch", loso)
    assert dict(method.overrides) == {"augment.enabled": False, "model.width": 16, "model.norm": "batch"}
