"""What is judged at an unseen site is chosen by the validation of the others: which choice, and when there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedlung.config import RunConfig, SelectionRule
from fedlung.evaluation.judgement import Judgement, Selection
from fedlung.evaluation.kept import KeptTests, SiteTests
from fedlung.evaluation.measured import Frozen
from fedlung.evaluation.statistics import patient_weights, weighted_statistics
from fedlung.loso.choosing import choose
from fedlung.loso.folds import FinishedFold, Folds
from fedlung.loso.plan import Fold, plan
from fedlung.loso.record import Row, Tried
from fedlung.loso.results import _without_pixels, families_of
from fedlung.loso.rows import Family, Rows

SITES = ("A", "B", "C")
KEY = "strategy.proximal-mu"
SEARCH = f"fedprox+{KEY}=0.1|0.01|1"
NUM_PATIENTS = 20

Number = Callable[[Fold], float]


def configured(methods: str = SEARCH, select: SelectionRule = "auc", num_seeds: int = 2) -> RunConfig:
    given: dict[str, Any] = {"federation.sites": ",".join(SITES), "federation.held-out": "", "protocol": "loso"}
    given |= {"loso.methods": methods, "loso.seeds": num_seeds, "evaluate.select": select, "loso.baselines": False}
    return RunConfig.from_run_config(given)


def mu_of(fold: Fold) -> float:
    return float(dict(fold.method.overrides).get(KEY, -1.0))


def scores_of(site: str, skill: float, *, is_one_class: bool = False) -> SiteTests:
    """A site's patients, one example each, with scores that are the better the higher ``skill``."""
    noise_N = np.random.default_rng(sum(site.encode())).normal(size=NUM_PATIENTS)
    labels_N = np.zeros(NUM_PATIENTS, dtype=int) if is_one_class else np.arange(NUM_PATIENTS) % 2
    patients_N = np.array([f"{site}{number:02}" for number in range(NUM_PATIENTS)])
    weights_RP = patient_weights(patients_N.tolist(), num_replicates=20, seed=1)
    return SiteTests({"model": weighted_statistics(noise_N + skill * labels_N, labels_N, patients_N, weights_RP)})


def finished(fold: Fold, validation: float, skill: float, rule: SelectionRule) -> FinishedFold:
    found = FinishedFold(fold, None)  # type: ignore[arg-type]
    sources = tuple(site for site in SITES if site != fold.unseen)
    selection = Selection(server_round=1, rule=rule, value=validation, sites=sources, definition="")
    found.__dict__["judgement"] = Judgement.model_construct(selection=selection)
    found.__dict__["tests"] = KeptTests({site: scores_of(site, skill) for site in SITES}, Frozen())
    return found


def run(config: RunConfig, validation: Number, skill: Number = mu_of) -> Folds:
    """All folds of the plan, with what chose their rounds and how well they do at every site."""
    rule = config.evaluate.select
    there = {fold: finished(fold, validation(fold), skill(fold), rule) for fold in plan(config)}
    return Folds(config, there, {})


def selected(folds: Folds, changes: Mapping[Fold, Mapping[str, Any]]) -> Folds:
    """The same, with other things in some folds' selection."""
    there = dict(folds.finished)
    for fold, change in changes.items():
        there[fold] = FinishedFold(fold, there[fold].record)
        own = folds.finished[fold]
        selection = own.judgement.selection.model_copy(update=dict(change))
        there[fold].__dict__.update(judgement=Judgement.model_construct(selection=selection), tests=own.tests)
    return Folds(folds.config, there, folds.absent)


def without(folds: Folds, is_lost: Callable[[Fold], bool]) -> Folds:
    there = {fold: found for fold, found in folds.finished.items() if not is_lost(fold)}
    return Folds(folds.config, there, {fold: "was not run" for fold in folds.finished if fold not in there})


def family_of(folds: Folds, name: str = SEARCH) -> Family:
    return choose(next(family for family in families_of(folds.config) if family.name == name), folds)


def row_of(folds: Folds, name: str = SEARCH) -> Row:
    family = family_of(folds, name)
    return Rows(folds, "auc", 0.95, family).row(family)


def chosen(folds: Folds, name: str = SEARCH) -> dict[str, float]:
    return {site: settings[KEY] for site, settings in row_of(folds, name).chosen.items()}  # type: ignore[misc]


def tried_at(folds: Folds, site: str) -> dict[float, Tried]:
    return {tried.settings[KEY]: tried for tried in family_of(folds).tried if tried.site == site}  # type: ignore[misc]


def by_site(fold: Fold) -> float:
    """Validation by which each unseen site has another choice; the seeds disagree, and their mean decides."""
    best = {"A": 0.1, "B": 0.01, "C": 1.0}[fold.unseen]
    return (0.8 if mu_of(fold) == best else 0.7) + (0.15 if fold.seed == 1 and mu_of(fold) == 0.1 else 0.0)


def test_the_highest_mean_over_the_seeds_is_chosen_for_each_unseen_site() -> None:
    folds = run(configured(), by_site)
    # At B: 0.1 has .70 and .85, 0.01 has .80 twice, 1 has .70 twice.
    assert {mu: tried.validation for mu, tried in tried_at(folds, "B").items()} == {
        0.1: pytest.approx(0.775), 0.01: pytest.approx(0.8), 1: pytest.approx(0.7),
    }  # fmt: skip
    assert chosen(folds) == {"A": 0.1, "B": 0.01, "C": 1}


def test_by_loss_the_lowest_is_chosen() -> None:
    folds = run(configured(select="loss"), by_site)
    assert {tried.rule for tried in family_of(folds).tried} == {"loss"}
    assert chosen(folds) == {"A": 0.01, "B": 1, "C": 0.01}


def test_of_equals_the_first_named_is_chosen_even_where_another_method_has_it_run_later() -> None:
    config = configured(f"fedprox+{KEY}=1,{SEARCH},fedprox+{KEY}=1|0.01")
    folds = run(config, lambda fold: 0.5)
    assert chosen(folds) == dict.fromkeys(SITES, 0.1)
    assert chosen(folds, f"fedprox+{KEY}=1|0.01") == dict.fromkeys(SITES, 1)


def test_the_numbers_of_the_row_are_those_of_the_choice_for_all_seeds() -> None:
    folds = run(configured(), by_site)
    row = row_of(folds)
    for site, mu in {"A": 0.1, "B": 0.01, "C": 1}.items():
        own = [fold for fold in plan(folds.config) if fold.unseen == site and mu_of(fold) == mu]
        expected = [float(folds.finished[fold].tests.measured(site).value("auc").point) for fold in own]
        assert list(row.unseen[site].values) == expected and len(expected) == 2
    assert len({row.unseen[site].estimate.value for site in SITES}) == 3
    assert row.settings == {} and row.missing == {}


def test_nothing_that_an_unseen_site_measured_has_a_part_in_the_choice() -> None:
    one = run(configured(), by_site)
    other = run(configured(), by_site, skill=lambda fold: -mu_of(fold))
    assert family_of(one).tried == family_of(other).tried
    assert row_of(one).unseen["C"].estimate.value > row_of(other).unseen["C"].estimate.value
    blind = Folds(one.config, {fold: replace(found) for fold, found in one.finished.items()}, {})
    for fold, found in blind.finished.items():
        found.__dict__["judgement"] = one.finished[fold].judgement  # and no tests at all: reading them would raise
    assert family_of(blind).tried == family_of(one).tried


def test_the_choice_goes_with_the_validation_of_its_own_folds_alone() -> None:
    folds = run(configured(), by_site)
    at_b = [fold for fold in plan(folds.config) if fold.unseen == "B" and mu_of(fold) == 0.01]
    assert chosen(selected(folds, {fold: {"value": 0.1} for fold in at_b})) == {"A": 0.1, "B": 0.1, "C": 1}


def test_a_choice_without_all_of_its_seeds_is_not_chosen_and_says_which_run_it_lacks() -> None:
    best = run(configured(), by_site)
    lost = "fedprox+strategy.proximal-mu=0.01"
    folds = without(best, lambda fold: (fold.unseen, fold.seed, fold.method.name) == ("B", 1, lost))
    assert chosen(folds) == {"A": 0.1, "B": 0.1, "C": 1}
    told = tried_at(folds, "B")[0.01]
    assert told.validation is None and not told.is_chosen
    assert told.reason == f"no result of {told.folds[1]}"
    assert row_of(folds).missing == {told.folds[1]: "was not run"}


def test_a_site_without_any_whole_choice_is_undefined_with_its_reason() -> None:
    folds = without(run(configured(), by_site), lambda fold: fold.unseen == "C" and fold.seed == 1)
    row = row_of(folds)
    assert set(row.chosen) == {"A", "B"} and len(family_of(folds).tried) == 9
    assert row.unseen["C"].estimate.value is None and row.unseen["C"].values == (None, None)
    assert row.unseen["C"].estimate.reason == "no settings could be chosen on source validation"
    assert row.unseen["A"].estimate.value is not None and row.unseen_mean.estimate.value is None


def test_a_choice_that_fewer_sites_could_validate_is_not_compared() -> None:
    folds = run(configured(), by_site)
    easy = [fold for fold in plan(folds.config) if fold.unseen == "A" and mu_of(fold) == 0.1]
    fewer = selected(folds, {easy[0]: {"sites": ("B",)}})
    assert chosen(fewer)["A"] == 0.01
    assert "fewer source sites" in tried_at(fewer, "A")[0.1].reason


def test_a_loss_is_never_compared_with_an_auc_and_decides_where_no_auc_is_defined() -> None:
    folds = run(configured(), by_site)
    at_a = [fold for fold in plan(folds.config) if fold.unseen == "A"]
    by_loss = [fold for fold in at_a if mu_of(fold) == 0.01]
    some = selected(folds, {fold: {"rule": "loss", "value": 3.0} for fold in by_loss})
    assert chosen(some)["A"] == 0.1 and "auc" in tried_at(some, "A")[0.01].reason
    every = selected(folds, {fold: {"rule": "loss", "value": mu_of(fold)} for fold in at_a})
    assert chosen(every)["A"] == 0.01 and {tried.rule for tried in tried_at(every, "A").values()} == {"loss"}


def test_what_is_fixed_is_told_as_a_setting_and_what_is_chosen_apart_with_its_type() -> None:
    name = "fedavg+model.norm=batch+augment.enabled=false|true+model.width=8|16"
    row = row_of(run(configured(name), lambda fold: float(dict(fold.method.overrides)["model.width"])), name)
    assert row.settings == {"model.norm": "batch"}
    assert row.chosen["B"] == {"augment.enabled": False, "model.width": 16}
    assert row.chosen["B"]["augment.enabled"] is False


def test_a_method_without_choices_is_as_it_was() -> None:
    config = configured("fedavg,fedprox+model.norm=batch")
    folds = run(config, lambda fold: 0.5)
    for family in families_of(config):
        assert choose(family, folds) is family
        row = row_of(folds, family.name)
        assert row.chosen == {} and family.tried == () and row.settings == dict(family.settings)


def one_class_at(site: str, folds: Folds) -> Folds:
    for found in folds.finished.values():
        kept = found.tests
        scores = scores_of(site, 1.0, is_one_class=True)
        found.__dict__["tests"] = KeptTests({**kept.sites, site: scores}, kept.frozen)
    return folds


@pytest.mark.parametrize("lost", ["one class", "no choice"])
def test_a_constant_answer_is_as_undefined_at_a_site_as_the_reference_is(lost: str) -> None:
    whole = run(configured(), by_site)
    folds = one_class_at("C", whole) if lost == "one class" else without(whole, lambda fold: fold.unseen == "C")
    family = family_of(folds)
    row = next(iter(_without_pixels(Rows(folds, "auc", 0.95, family), folds, family)))
    assert (row.name, row.unseen["A"].estimate.value) == ("constant answer", 0.5)
    assert row.unseen["C"].estimate.value is None and row.unseen_mean.estimate.value is None
