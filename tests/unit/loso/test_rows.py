"""A row of the comparison against numbers worked by hand, and what is kept of a fold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedlung.config import RunConfig
from fedlung.errors import RunError
from fedlung.evaluation.kept import TESTS_FILE, KeptTests, SiteTests, load_tests, save_tests
from fedlung.evaluation.measured import Frozen, Value
from fedlung.evaluation.metrics import auc
from fedlung.evaluation.standardised import SubgroupKey
from fedlung.evaluation.statistics import ScoreStatistics, patient_weights, weighted_statistics
from fedlung.evaluation.subgroups import OWN_TEST
from fedlung.loso.arithmetic import Measurement, cell, mean, minus
from fedlung.loso.folds import FinishedFold, Folds
from fedlung.loso.plan import plan
from fedlung.loso.results import families_of
from fedlung.loso.rows import Rows, trained_on

SITES = ("A", "B", "C")
NUM_PATIENTS, NUM_REPLICATES = 24, 200
OWN = 12  # the first patients of a site are its test patients


class Site:
    """A site's patients, two examples each, and scores of them that get better with ``skill``."""

    def __init__(self, name: str) -> None:
        self.name = name
        rng = np.random.default_rng(sum(name.encode()))
        self.patients_N = np.repeat([f"{name}{number:02}" for number in range(NUM_PATIENTS)], 2)
        self.labels_N = np.tile([0, 1], NUM_PATIENTS)
        self.noise_N = rng.normal(size=2 * NUM_PATIENTS)

    def scores(self, skill: float) -> np.ndarray:
        return skill * self.labels_N + self.noise_N

    def statistics(self, skill: float, is_in_N: np.ndarray | None = None) -> ScoreStatistics:
        is_in_N = np.ones(len(self.labels_N), dtype=bool) if is_in_N is None else is_in_N
        names = np.unique(self.patients_N[is_in_N]).tolist()
        weights_RP = patient_weights(names, num_replicates=NUM_REPLICATES, seed=sum(self.name.encode()))
        return weighted_statistics(
            self.scores(skill)[is_in_N], self.labels_N[is_in_N], self.patients_N[is_in_N], weights_RP
        )

    @property
    def is_own_test_N(self) -> np.ndarray:
        return np.repeat(np.arange(NUM_PATIENTS) < OWN, 2)

    def unseen(self, skill: float) -> SiteTests:
        return SiteTests({"model": self.statistics(skill)}, {OWN_TEST: self.statistics(skill, self.is_own_test_N)})

    def seen(self, skill: float) -> SiteTests:
        return SiteTests({"model": self.statistics(skill, self.is_own_test_N)})


def skill_of(kind: str, seed: int, site: str) -> float:
    skill = {"federated": 1.0, "uniform": 0.7, "oracle": 2.0, "alone": 0.5}.get(kind, 0.9)
    return skill + 0.2 * seed + 0.05 * SITES.index(site)


def finished(config: RunConfig) -> Folds:
    """Every fold of the plan with made-up scores."""
    there = {}
    for fold in plan(config):
        kind = "uniform" if fold.method.name == "uniform" else fold.kind
        sites = {}
        for name in SITES:
            skill = skill_of(kind, fold.seed, name)
            is_seen = name in trained_on(fold, SITES)
            sites[name] = Site(name).seen(skill) if is_seen else Site(name).unseen(skill)
        found = FinishedFold(fold, None)  # type: ignore[arg-type]
        found.__dict__["tests"] = KeptTests(sites, Frozen())
        there[fold] = found
    return Folds(config, there, {})


@pytest.fixture(scope="module")
def rows() -> Rows:
    given = {"federation.sites": ",".join(SITES), "federation.held-out": "", "protocol": "loso"}
    config = RunConfig.from_run_config({**given, "loso.methods": "fedavg", "loso.seeds": 2})
    return Rows(finished(config), "auc", 0.95, families_of(config)[0])


def auc_of(site: str, kind: str, seed: int, *, own: bool = False) -> tuple[float, np.ndarray]:
    found = Site(site).statistics(skill_of(kind, seed, site), Site(site).is_own_test_N if own else None)
    return float(auc(found.histogram_CK)), auc(found.replicates_RCK)


def test_a_cell_is_the_mean_over_seeds_with_the_interval_of_that_mean(rows: Rows) -> None:
    row = rows.row(rows.reference)
    (first, first_R), (second, second_R) = auc_of("B", "federated", 0), auc_of("B", "federated", 1)
    found = row.unseen["B"]
    assert found.values == (first, second)
    assert found.estimate.value == pytest.approx((first + second) / 2, abs=1e-15)
    low, high = np.quantile((first_R + second_R) / 2, [0.025, 0.975])
    assert (found.estimate.low, found.estimate.high) == (pytest.approx(low), pytest.approx(high))
    assert found.seeds.sd == pytest.approx(abs(first - second) / np.sqrt(2))


def test_the_gap_pairs_a_site_that_is_a_source_in_one_fold_with_itself_unseen_in_another(rows: Rows) -> None:
    row = rows.row(rows.reference)
    gaps, gaps_R = [], []
    for unseen in SITES:
        for seed in (0, 1):
            source = [auc_of(site, "federated", seed, own=True) for site in SITES if site != unseen]
            apart = auc_of(unseen, "federated", seed)
            gaps.append(np.mean([point for point, _ in source]) - apart[0])
            gaps_R.append(np.mean([replicates for _, replicates in source], axis=0) - apart[1])
    assert row.gap.value == pytest.approx(np.mean(gaps), abs=1e-12)
    low, high = np.quantile(np.mean(gaps_R, axis=0), [0.025, 0.975])
    assert (row.gap.low, row.gap.high) == (pytest.approx(low), pytest.approx(high))
    assert row.gaps["C"].value == pytest.approx(np.mean(gaps[4:]), abs=1e-12)


def test_the_oracle_is_compared_on_the_patients_that_both_have_as_test_patients(rows: Rows) -> None:
    row = rows.row(rows.reference)
    differences_R = [
        auc_of("A", "oracle", seed, own=True)[1] - auc_of("A", "federated", seed, own=True)[1] for seed in (0, 1)
    ]
    low, high = np.quantile(np.mean(differences_R, axis=0), [0.025, 0.975])
    assert (row.to_oracle["A"].low, row.to_oracle["A"].high) == (pytest.approx(low), pytest.approx(high))


def test_a_method_is_paired_with_the_reference_by_patient(rows: Rows) -> None:
    uniform = next(family for family in families_of(rows.folds.config) if family.name == "uniform weights")
    row = rows.row(uniform)
    differences = [auc_of("B", "uniform", seed)[0] - auc_of("B", "federated", seed)[0] for seed in (0, 1)]
    assert row.to_reference["B"].difference.value == pytest.approx(np.mean(differences), abs=1e-12)
    spread = row.to_reference["B"].difference
    alone = rows.row(rows.reference).unseen["B"].estimate
    assert spread.high - spread.low < 0.6 * (alone.high - alone.low)  # the pairing takes the patients' part out
    assert rows.row(rows.reference).to_reference == {}


def test_models_trained_alone_are_averaged_over_those_that_did_not_see_the_site(rows: Rows) -> None:
    alone = next(family for family in families_of(rows.folds.config) if family.name.startswith("each site alone"))
    found = rows.unseen(alone, "A", 1)
    assert [fold.site for fold in alone.judging("A", 1)] == ["B", "C"]
    assert found.value.point == pytest.approx(auc_of("A", "alone", 1)[0])


def test_a_seed_without_a_run_is_told_and_a_site_without_any_is_undefined(rows: Rows) -> None:
    lost = {fold: f for fold, f in rows.folds.finished.items() if (fold.kind, fold.seed) != ("federated", 1)}
    lost = {fold: f for fold, f in lost.items() if fold.unseen != "C"}
    absent = {fold: "was not run" for fold in rows.folds.finished if fold not in lost}
    fewer = Rows(Folds(rows.folds.config, lost, absent), "auc", 0.95, rows.reference)
    row = fewer.row(fewer.reference)
    assert row.unseen["A"].estimate.reason == "1 of 2 seeds"
    assert row.unseen["C"].estimate.value is None
    assert row.unseen_mean.estimate.value is None and row.gap.value is None
    assert len(row.missing) == 4


def test_replicates_of_a_mean_and_of_a_difference_go_with_each_other() -> None:
    one = Measurement(Value(0.5, np.array([0.4, 0.6])), 30)
    other = Measurement(Value(0.7, np.array([0.8, 0.6])), 20)
    assert mean([one, other]).value.replicates_R.tolist() == pytest.approx([0.6, 0.6])
    assert minus(one, other).value.replicates_R.tolist() == pytest.approx([-0.4, 0.0])
    assert mean([one, other]).num_patients == minus(one, other).num_patients == 20
    undefined = Measurement(Value(np.nan, np.array([np.nan])), 5, "no positive examples")
    assert mean([one, undefined]).why == "no positive examples" and np.isnan(minus(one, undefined).value.point)
    assert cell([], 0.95).estimate.value is None


def test_kept_statistics_are_the_same_when_they_are_read_again(tmp_path: Path) -> None:
    tests = KeptTests({"A.b_c-d": Site("A").unseen(1.0), "B": Site("B").seen(0.3)}, Frozen(240, None, 250, 0.25))
    save_tests(tmp_path, tests)
    again = load_tests(tmp_path)
    assert again.frozen == tests.frozen and set(again.sites) == set(tests.sites)
    for site, key in (("A.b_c-d", None), ("B", None), ("A.b_c-d", OWN_TEST)):
        one, other = (found.measured(site) if key is None else found.subgroup(site, key) for found in (tests, again))
        assert np.array_equal(one.statistics.replicates_RCK, other.statistics.replicates_RCK)
        assert np.array_equal(one.statistics.squared_error_R, other.statistics.squared_error_R)
    assert again.subgroup("B", SubgroupKey("size", "<6mm")) is None and again.measured("nobody") is None


@pytest.mark.parametrize("damage", ["absent", "cut", "other"])
def test_kept_statistics_that_cannot_be_read_say_so(tmp_path: Path, damage: str) -> None:
    if damage != "absent":
        save_tests(tmp_path, KeptTests({"A": Site("A").seen(1.0)}, Frozen()))
        whole = (tmp_path / TESTS_FILE).read_bytes()
        (tmp_path / TESTS_FILE).write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"no archive")
    with pytest.raises(RunError, match="run it again"):
        load_tests(tmp_path)
