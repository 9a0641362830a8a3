"""The rows without pixels against scikit-learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedlung.evaluation.kept import KeptTests, SiteTests
from fedlung.evaluation.measured import Frozen
from fedlung.evaluation.standardised import SubgroupKey
from fedlung.evaluation.statistics import ScoreStatistics, patient_weights, weighted_statistics
from fedlung.evaluation.subgroups import KERNELS, PROTOCOL_PARTS, THICKNESSES
from fedlung.loso.withoutpixels import constant, protocol_alone

NUM_PATIENTS, NUM_REPLICATES = 40, 5
Told = Callable[[SubgroupKey], bool]
NOT_TOLD = -1


class Site:
    """Two examples of each patient, with a thickness and a kernel; a thick slice and a sharp kernel go with positives,
    and both together with negatives, so that neither of them alone ranks as the two do."""

    def __init__(self, name: str) -> None:
        rng = np.random.default_rng(sum(name.encode()))
        self.seed = sum(name.encode())
        self.patients_N = np.repeat([f"{name}{number:02}" for number in range(NUM_PATIENTS)], 2)
        self.thickness_N = rng.choice(3, size=2 * NUM_PATIENTS, p=[0.4, 0.3, 0.3])
        self.kernel_N = rng.choice(3, size=2 * NUM_PATIENTS, p=[0.4, 0.4, 0.2])
        share_N = 0.2 + 0.3 * (self.thickness_N == 2) + 0.3 * (self.kernel_N == 1)
        share_N[(self.thickness_N == 2) & (self.kernel_N == 1)] = 0.1
        self.labels_N = (rng.random(2 * NUM_PATIENTS) < share_N).astype(int)

    def statistics(self, is_in_N: np.ndarray) -> ScoreStatistics:
        patients_N = self.patients_N[is_in_N]
        weights_RP = patient_weights(np.unique(patients_N).tolist(), num_replicates=NUM_REPLICATES, seed=self.seed)
        return weighted_statistics(np.zeros(is_in_N.sum()), self.labels_N[is_in_N], patients_N, weights_RP)

    def weights_N(self, replicate: int) -> np.ndarray:
        names, patient_of_N = np.unique(self.patients_N, return_inverse=True)
        return patient_weights(names.tolist(), num_replicates=NUM_REPLICATES, seed=self.seed)[replicate][patient_of_N]

    def tests(self, told: Told) -> SiteTests:
        parts = {key: self.thickness_N == number for number, key in enumerate(THICKNESSES)}
        parts |= {key: self.kernel_N == number for number, key in enumerate(KERNELS)}
        parts |= {key: parts[thickness] & parts[kernel] for key, (thickness, kernel) in PROTOCOL_PARTS.items()}
        whole = self.statistics(np.ones(len(self.labels_N), dtype=bool))
        found = {key: self.statistics(is_in_N) for key, is_in_N in parts.items() if told(key) and is_in_N.any()}
        return SiteTests({"model": whole}, found)


SITES = {name: Site(name) for name in "ABC"}


def kept(told: Told) -> KeptTests:
    return KeptTests({name: site.tests(told) for name, site in SITES.items()}, Frozen())


def log_odds(labels_N: np.ndarray) -> float:
    return float(np.log((labels_N.sum() + 0.5) / ((1 - labels_N).sum() + 0.5)))


def scores(protocol_of: Callable[[Site], np.ndarray]) -> np.ndarray:
    """Of C's examples: the log odds at A and B of those with the same protocol; of all, where it is not told."""
    protocol_M = np.concatenate([protocol_of(SITES[name]) for name in "AB"])
    labels_M = np.concatenate([SITES[name].labels_N for name in "AB"])
    return np.array([log_odds(labels_M[(protocol_M == own) | (own == NOT_TOLD)]) for own in protocol_of(SITES["C"])])


def joint(site: Site) -> np.ndarray:
    return 3 * site.thickness_N + site.kernel_N


@pytest.mark.parametrize(
    ("told", "protocol_of"),
    [
        (lambda key: True, joint),
        (lambda key: key.variable == "protocol", joint),
        (lambda key: key.variable == "thickness", lambda site: site.thickness_N),
        (lambda key: key.variable == "kernel", lambda site: site.kernel_N),
        (
            lambda key: key == THICKNESSES[0],
            lambda site: np.where(site.thickness_N == 0, site.thickness_N, NOT_TOLD),
        ),
    ],
    ids=["everything", "joint-alone", "thickness-alone", "kernel-alone", "one-level"],
)
def test_the_protocol_alone_is_the_auc_of_the_source_sites_log_odds(
    told: Told, protocol_of: Callable[[Site], np.ndarray]
) -> None:
    found = protocol_alone(kept(told), "C", ("A", "B"))
    labels_N, scores_N = SITES["C"].labels_N, scores(protocol_of)
    assert found.value.point == pytest.approx(roc_auc_score(labels_N, scores_N), abs=1e-12)
    expected = roc_auc_score(labels_N, scores_N, sample_weight=SITES["C"].weights_N(2))
    assert found.value.replicates_R[2] == pytest.approx(expected, abs=1e-12)
    assert found.num_patients == NUM_PATIENTS


def test_a_combination_that_is_withheld_is_ranked_by_its_thickness() -> None:
    """At every site "thick, sharp" and "thick, unknown" are told of as the rest of the thick ones."""
    withheld = [SubgroupKey("protocol", f"thick, {kernel}") for kernel in ("sharp", "unknown")]
    found = protocol_alone(kept(lambda key: key not in withheld), "C", ("A", "B"))
    thick = THICKNESSES.index(SubgroupKey("thickness", "thick"))
    joint_N, thickness_N = scores(joint), scores(lambda site: site.thickness_N)
    is_rest_N = (SITES["C"].thickness_N == thick) & (SITES["C"].kernel_N > 0)
    expected = roc_auc_score(SITES["C"].labels_N, np.where(is_rest_N, thickness_N, joint_N))
    assert found.value.point == pytest.approx(expected, abs=1e-12)


def test_thickness_and_kernel_together_can_say_what_neither_says_alone() -> None:
    both, thickness = (
        protocol_alone(kept(told), "C", ("A", "B")).value.point
        for told in (lambda key: True, lambda key: key.variable == "thickness")
    )
    assert both > thickness + 0.05


def test_where_no_protocol_is_known_there_is_no_such_row() -> None:
    found = protocol_alone(kept(lambda key: False), "C", ("A", "B"))
    assert np.isnan(found.value.point) and "neither slice thickness nor kernel" in found.why
    assert np.isnan(protocol_alone(kept(lambda key: True), "nobody", ("A", "B")).value.point)


def test_a_constant_ranks_nobody() -> None:
    assert constant(4, 9).value.replicates_R.tolist() == [0.5] * 4
