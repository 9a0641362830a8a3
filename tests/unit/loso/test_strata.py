"""Strata, whole scans and adapted models at unseen sites, against scikit-learn on the pooled examples themselves."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedlung.config import RunConfig
from fedlung.evaluation.detection import DetectionStatistics, ScanHits, froc_estimate, weighted_detections
from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.kept import KeptTests, SiteTests, load_tests, save_tests
from fedlung.evaluation.measured import Frozen
from fedlung.evaluation.standardised import SIZE_STRATA, size_stratum
from fedlung.evaluation.statistics import ScoreStatistics, bin_of, patient_weights, size_logits, weighted_statistics
from fedlung.evaluation.subgroups import TEXTURES, THICKNESSES
from fedlung.loso.folds import FinishedFold, Folds
from fedlung.loso.froc import FROC_METRICS
from fedlung.loso.plan import plan
from fedlung.loso.record import SizeStrata, Table
from fedlung.loso.results import families_of
from fedlung.loso.strata import parts_of, strata_of_sizes
from fedlung.loso.tables import DIAMETER, adapted_rows, searched_scans, size_strata

SITES = ("A", "B", "C")
NUM_PATIENTS, NUM_REPLICATES = 30, 40
DIAMETERS = {"A": (4.0, 7.0, 10.0), "B": (5.0, 7.5, 12.0, 20.0), "C": (4.5, 6.5, 9.0)}
KEPT_BACK = "kept by the site: fewer patients than it tells of"


class Site:
    """Patients with three nodules each; the larger, the oftener malignant. Above 15 mm, at B, all are."""

    def __init__(self, name: str) -> None:
        rng = np.random.default_rng(sum(name.encode()))
        self.name, self.seed = name, sum(name.encode())
        self.patients_N = np.repeat([f"{name}{number:02}" for number in range(NUM_PATIENTS)], 3)
        self.diameter_mm_N = rng.choice(DIAMETERS[name], 3 * NUM_PATIENTS) * rng.uniform(0.98, 1.02, 3 * NUM_PATIENTS)
        self.labels_N = (rng.random(3 * NUM_PATIENTS) < np.clip(self.diameter_mm_N / 16, 0.2, 0.8)).astype(int)
        self.labels_N[self.diameter_mm_N > 15] = 1
        self.noise_N = rng.normal(size=3 * NUM_PATIENTS)
        self.stratum_N = np.array([SIZE_STRATA.index(size_stratum(mm)) for mm in self.diameter_mm_N.tolist()])
        self.everything_N = np.ones(3 * NUM_PATIENTS, dtype=bool)

    def logits(self, skill: float) -> np.ndarray:
        return skill * self.labels_N + self.noise_N

    def weights_RP(self, patients: list[str]) -> np.ndarray:
        return patient_weights(patients, num_replicates=NUM_REPLICATES, seed=self.seed)

    def weights_N(self, replicate: int) -> np.ndarray:
        names, patient_of_N = np.unique(self.patients_N, return_inverse=True)
        return self.weights_RP(names.tolist())[replicate][patient_of_N]

    def statistics(self, scores_N: np.ndarray, is_in_N: np.ndarray) -> ScoreStatistics:
        patients_N = self.patients_N[is_in_N]
        weights_RP = self.weights_RP(np.unique(patients_N).tolist())
        return weighted_statistics(scores_N[is_in_N], self.labels_N[is_in_N], patients_N, weights_RP)

    @cache  # noqa: B019 - three sites, as long as the module
    def tests(self, skill: float) -> SiteTests:
        scores_N = self.logits(skill)
        parts = {key: self.statistics(scores_N, self.stratum_N == n) for n, key in enumerate(SIZE_STRATA)}
        parts = {key: part for key, part in parts.items() if part.num_examples}
        if self.name == "A":
            parts[THICKNESSES[0]] = self.statistics(scores_N, self.noise_N > 0)
        scores = {
            "model": self.statistics(scores_N, self.everything_N),
            "size": self.statistics(size_logits(self.diameter_mm_N), self.everything_N),
            "adapted": self.statistics(self.logits(skill + 0.5), self.everything_N),
        }
        return SiteTests(scores, parts, self.detection(skill) if self.name != "C" else None)

    def detection(self, skill: float) -> DetectionStatistics:
        """A scan for each patient, with two nodules and three false positives."""
        rng = np.random.default_rng([self.seed, 1])
        scans = [
            ScanHits(
                nodule_logits_M=np.where(rng.random(2) < 0.3, -np.inf, rng.normal(skill, 1.0, 2)),
                false_positives_N=np.ones(3, dtype=bool),
                ignored_N=np.zeros(3, dtype=bool),
                logits_N=rng.normal(0.0, 1.0, 3),
            )
            for _ in range(NUM_PATIENTS)
        ]
        patients = np.unique(self.patients_N).tolist()
        return weighted_detections(scans, patients, self.weights_RP(patients))

    def auc(self, scores_N: np.ndarray, stratum: int, replicate: int | None = None) -> float:
        """By scikit-learn, on the examples of a stratum with their bins for scores."""
        is_in_N = self.stratum_N == stratum
        weights_N = None if replicate is None else self.weights_N(replicate)[is_in_N]
        return float(roc_auc_score(self.labels_N[is_in_N], bin_of(scores_N[is_in_N]), sample_weight=weights_N))


SITE = {name: Site(name) for name in SITES}


def skill_of(kind: str, seed: int) -> float:
    return {"federated": 1.0, "uniform": 0.6}.get(kind, 0.8) + 0.3 * seed


def judgement() -> SimpleNamespace:
    """What a fold's own report says of what was not told."""
    row = SimpleNamespace(variable="texture", level="solid", site="B", auc=Estimate(reason=KEPT_BACK))
    searched = SimpleNamespace(site="C", reason="the site has no prepared scan of a test patient")
    return SimpleNamespace(subgroups=(row,), detection=SimpleNamespace(rows=(searched,)))


@pytest.fixture(scope="module")
def folds() -> Folds:
    given = {"federation.sites": ",".join(SITES), "federation.held-out": "", "protocol": "loso"}
    given |= {"model.norm": "batch", "evaluate.adapt-patients": 4, "loso.methods": "fedavg", "loso.seeds": 2}
    config = RunConfig.from_run_config(given)
    there = {}
    for fold in plan(config):
        kind = "uniform" if fold.method.name == "uniform" else fold.kind
        found = FinishedFold(fold, None)  # type: ignore[arg-type]
        tests = {name: SITE[name].tests(skill_of(kind, fold.seed)) for name in SITES}
        found.__dict__.update(tests=KeptTests(tests, Frozen()), judgement=judgement())
        there[fold] = found
    return Folds(config, there, {})


@pytest.fixture(scope="module")
def strata(folds: Folds) -> SizeStrata:
    families = families_of(folds.config)
    found = size_strata(folds, families, families[0])
    assert found is not None
    return found


def row(table: Table, name: str):
    return next(row for row in table.rows if row.name == name)


def brute_weights() -> np.ndarray:
    """Mantel and Haenszel's, of all sites' examples, for the three strata that have both classes everywhere."""
    labels_N = np.concatenate([site.labels_N for site in SITE.values()])
    stratum_N = np.concatenate([site.stratum_N for site in SITE.values()])
    products = []
    for stratum in range(3):
        own_N = labels_N[stratum_N == stratum]
        products.append(own_N.sum() * (1 - own_N).sum() / len(own_N))
    return np.array(products) / sum(products)


def test_a_stratum_has_the_auc_of_its_examples_and_the_interval_of_their_patients(strata: SizeStrata) -> None:
    found = row(strata.strata["6-8mm"], "fedavg")
    for site in SITES:
        points = [SITE[site].auc(SITE[site].logits(skill_of("federated", seed)), 1) for seed in (0, 1)]
        assert found.unseen[site].values == pytest.approx(points, abs=1e-12)
    replicates = [
        np.mean([SITE["B"].auc(SITE["B"].logits(skill_of("federated", seed)), 1, one) for seed in (0, 1)])
        for one in range(NUM_REPLICATES)
    ]
    low, high = np.quantile(replicates, [0.025, 0.975])
    told = found.unseen["B"].estimate
    assert (told.low, told.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))
    assert found.unseen_mean.estimate.value == pytest.approx(
        np.mean([found.unseen[site].estimate.value for site in SITES])
    )


def test_a_mean_is_over_all_sites_or_says_at_which_it_is_undefined(strata: SizeStrata) -> None:
    largest = row(strata.strata[">15mm"], "uniform weights")
    assert largest.unseen_mean.estimate.value is None
    reason = str(largest.unseen_mean.estimate.reason)
    assert "B: no negative examples" in reason and "A: " in reason and "C: " in reason


def test_the_standardised_auc_is_the_weighted_sum_over_strata_that_all_sites_have(strata: SizeStrata) -> None:
    weights = brute_weights()
    assert list(strata.weights.values()) == pytest.approx(
        [weights[index] for index in np.argsort([key.level for key in SIZE_STRATA[:3]])]
    )
    assert strata.share == pytest.approx(1.0), "above 15 mm all are positive, so that nothing is left out of the mix"
    found = row(strata.standardised, "fedavg").unseen["B"]
    for seed in (0, 1):
        site, scores_N = SITE["B"], SITE["B"].logits(skill_of("federated", seed))
        expected = sum(weights[stratum] * site.auc(scores_N, stratum) for stratum in range(3))
        assert found.values[seed] == pytest.approx(expected, abs=1e-12)


def test_the_gap_with_one_mix_is_sources_minus_unseen_in_that_mix(strata: SizeStrata) -> None:
    weights, found = brute_weights(), row(strata.standardised, "fedavg")

    def of(site: str, seed: int) -> float:
        scores_N = SITE[site].logits(skill_of("federated", seed))
        return float(sum(weights[stratum] * SITE[site].auc(scores_N, stratum) for stratum in range(3)))

    expected = np.mean([np.mean([of("A", seed), of("B", seed)]) - of("C", seed) for seed in (0, 1)])
    assert found.gaps["C"].value == pytest.approx(expected, abs=1e-12)


def test_the_diameter_within_a_stratum_is_cut_out_of_its_histogram_exactly(strata: SizeStrata) -> None:
    for site in SITES:
        scores_N = size_logits(SITE[site].diameter_mm_N)
        for stratum, level in enumerate(("<6mm", "6-8mm", "8-15mm")):
            told = row(strata.strata[level], DIAMETER).unseen[site].estimate
            assert told.value == pytest.approx(SITE[site].auc(scores_N, stratum), abs=1e-12)
        cut = strata_of_sizes(SITE[site].tests(1.0))
        for key, found in cut.items():
            own = SITE[site].statistics(scores_N, SITE[site].stratum_N == SIZE_STRATA.index(key))
            assert np.array_equal(found.histogram_CK, own.histogram_CK)
            assert np.array_equal(found.replicates_RCK, own.replicates_RCK)


def test_without_every_stratum_the_diameter_is_not_cut() -> None:
    tests = SITE["A"].tests(1.0)
    fewer = {key: found for key, found in tests.subgroups.items() if key != SIZE_STRATA[0]}
    assert strata_of_sizes(SiteTests(tests.scores, fewer)) == {}
    assert strata_of_sizes(SiteTests({"model": tests.scores["model"]}, tests.subgroups)) == {}


def test_a_method_is_paired_with_the_diameter_and_the_reference_within_a_stratum(strata: SizeStrata) -> None:
    table = strata.strata["8-15mm"]
    uniform, fedavg, size = (row(table, name) for name in ("uniform weights", "fedavg", DIAMETER))
    for other, told in ((fedavg, uniform.to_reference["A"]), (size, uniform.to_size["A"])):
        expected = uniform.unseen["A"].estimate.value - other.unseen["A"].estimate.value
        assert told.difference.value == pytest.approx(expected, abs=1e-12) and told.p_value is not None
    assert uniform.adjusted_p["A"] is not None


def test_a_part_is_told_by_site_with_its_examples_or_with_the_reason(folds: Folds) -> None:
    parts = {(part.variable, part.level): part for part in parts_of(folds, families_of(folds.config)[0], 0.95)}
    thin = parts["thickness", "thin"].sites
    assert thin["A"].num_positive == SITE["A"].labels_N[SITE["A"].noise_N > 0].sum()
    assert thin["B"].num_patients == 0 and "do not say" in str(thin["B"].auc.estimate.reason)
    assert str(parts["texture", "solid"].sites["B"].auc.estimate.reason) == KEPT_BACK
    assert ("texture", TEXTURES[0].level) not in parts, "no site has it, and none has kept it back"


def test_whole_scans_are_judged_as_a_run_does_and_paired_with_the_reference(folds: Folds) -> None:
    families = families_of(folds.config)
    found = searched_scans(folds, families, families[0])
    assert found is not None and tuple(found.tables) == FROC_METRICS
    assert found.sites["A"].num_scans == NUM_PATIENTS and found.sites["A"].num_nodules == 2 * NUM_PATIENTS
    for metric, table in found.tables.items():
        by_seed = [
            froc_estimate(metric, SITE["A"].detection(skill_of("federated", seed)), None, confidence=0.95).value
            for seed in (0, 1)
        ]
        assert row(table, "fedavg").unseen["A"].values == pytest.approx(by_seed, abs=1e-12)
    cpm = row(found.tables["cpm"], "uniform weights")
    alone = cpm.unseen["A"].estimate
    told = cpm.to_reference["A"].difference
    assert told.high - told.low < alone.high - alone.low, "replicates pair, so that the patients' part is gone"
    assert str(cpm.unseen["C"].estimate.reason).startswith("C: the site has no prepared scan")
    assert found.sites["C"].num_scans == 0 and cpm.unseen_mean.estimate.value is None


def test_where_no_scans_were_searched_there_is_no_table_of_them(folds: Folds) -> None:
    without = {}
    for fold, found in folds.finished.items():
        other = FinishedFold(fold, None)  # type: ignore[arg-type]
        other.__dict__.update(tests=found.tests, judgement=SimpleNamespace(subgroups=(), detection=None))
        without[fold] = other
    families = families_of(folds.config)
    assert searched_scans(Folds(folds.config, without, {}), families, families[0]) is None


def test_adapted_models_have_rows_of_their_own_and_are_paired_with_the_same_models(folds: Folds) -> None:
    families = families_of(folds.config)
    first = adapted_rows(folds, families, families[0])[0]
    assert first.name == "fedavg, adapted to 4 unlabelled patients"
    site = SITE["A"]
    by_seed = [roc_auc_score(site.labels_N, bin_of(site.logits(skill_of("federated", seed) + 0.5))) for seed in (0, 1)]
    plain = [roc_auc_score(site.labels_N, bin_of(site.logits(skill_of("federated", seed)))) for seed in (0, 1)]
    assert first.unseen["A"].values == pytest.approx(by_seed, abs=1e-12)
    told = first.minus_unadapted["A"]
    assert told.difference.value == pytest.approx(np.mean(by_seed) - np.mean(plain), abs=1e-12)
    assert told.p_value is not None and told.p_value < 0.1


def test_kept_searches_are_the_same_when_they_are_read_again_and_absent_in_a_file_of_before(tmp_path: Path) -> None:
    tests = KeptTests({"A": SITE["A"].tests(1.0), "C": SITE["C"].tests(1.0)}, Frozen())
    save_tests(tmp_path, tests)
    again = load_tests(tmp_path)
    found, own = again.sites["A"].detection, tests.sites["A"].detection
    assert found is not None and own is not None
    for name, values in own.to_arrays().items():
        assert np.array_equal(values, found.to_arrays()[name])
    assert again.sites["C"].detection is None, "as in a file that was written without searches"
