"""What a leave-one-site-out run may be said to have shown: the words follow the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from fedlung.evaluation.estimates import Comparison, Estimate
from fedlung.evaluation.power import detectable_difference
from fedlung.loso.claims import plain_words
from fedlung.loso.record import LosoResults, Row

MakeResults = Callable[..., LosoResults]
ALIKE = {"fedavg": 0.8, "fedprox": 0.8, "pooled training": 0.8}


def claim(results: LosoResults, said: str) -> str:
    """The one claim that has these words."""
    (found,) = (text for text in plain_words(results) if said in text)
    return found


def with_rows(results: LosoResults, change: Callable[[Row], dict[str, Any]]) -> LosoResults:
    """The results with every row of the AUC changed."""
    auc = results.tables["auc"]
    rows = tuple(row.model_copy(update=change(row)) for row in auc.rows)
    return results.model_copy(update={"tables": results.tables | {"auc": auc.model_copy(update={"rows": rows})}})


def test_synthetic_data_are_said_first_and_real_ones_are_not_called_so(make_results: MakeResults) -> None:
    assert "synthetic" in make_results().claims[0]
    assert "synthetic" not in " ".join(make_results(synthetic=False).claims)


def test_a_method_that_differs_after_holm_is_named_with_its_difference(results: LosoResults) -> None:
    row = results.tables["auc"].rows[1]
    difference, p_value = row.to_reference["mean"].difference, row.adjusted_p["mean"]
    said = claim(results, "in the mean over the unseen sites: ")
    assert p_value is not None and p_value < 0.05
    assert (
        f"for 2 comparisons, different from fedavg in the mean over the unseen sites: fedprox ({difference.value:+.3f} "
        f"[{difference.low:+.3f}, {difference.high:+.3f}], adjusted p {p_value:.3f})."
    ) in said
    assert "pooled" not in said
    sites = claim(results, "different from fedavg at a single site")
    assert all(f"fedprox at {site} (" in sites for site in results.sites) and "for 8 comparisons" in sites


def test_where_nothing_differs_neither_a_gain_nor_sameness_is_claimed(make_results: MakeResults) -> None:
    said = claim(make_results(centres=ALIKE), "nothing differs from fedavg in the mean over the unseen sites")
    assert "neither better nor worse is shown" in said and "not to say that they are the same" in said


def test_too_few_replicates_to_find_anything_are_said_to_be_too_few(make_results: MakeResults) -> None:
    few = make_results(centres=ALIKE).model_copy(update={"num_replicates": 99})
    assert "With 99 bootstrap replicates none could have been found: the smallest adjusted p-value is 0.160" in claim(
        few, "nothing differs from fedavg at a single site"
    )
    assert "none could have been found" not in claim(few, "nothing differs from fedavg in the mean")


def test_the_power_is_that_of_the_observed_auc_and_of_the_sites_examples(results: LosoResults) -> None:
    said = claim(results, "80 % power")
    found = []
    for site, cell in results.tables["auc"].rows[0].unseen.items():
        found.append(detectable_difference(cell.estimate.value, 50, 70))
        assert f"{site} {found[-1]:.3f} (at AUC {cell.estimate.value:.2f})" in said
    assert f"{math.sqrt(sum(one**2 for one in found)) / 4:.3f} in the mean over these sites" in said


def test_a_perfect_auc_is_planned_for_as_one_that_can_err(results: LosoResults) -> None:
    perfect = Estimate(value=1.0, low=1.0, high=1.0)
    sure = with_rows(
        results,
        lambda row: {
            "unseen": {site: cell.model_copy(update={"estimate": perfect}) for site, cell in row.unseen.items()}
        },
    )
    assert f"GE {detectable_difference(0.98, 50, 70):.3f} (at AUC 0.98)" in claim(sure, "80 % power")
    assert "fedavg at GE" in claim(sure, "which is no certainty")


@pytest.mark.parametrize(
    ("gap", "said"),
    [
        (Estimate(value=0.01, low=-0.02, high=0.04), "includes 0, so that neither a loss nor a gain"),
        (Estimate(value=0.03, low=0.01, high=0.05), "excludes 0: unseen sites do worse"),
        (Estimate(value=-0.03, low=-0.05, high=-0.01), "excludes 0: unseen sites do better"),
        (Estimate(value=0.03, reason="few"), "has no interval (few), so that nothing is shown"),
    ],
)
def test_a_gap_means_what_its_interval_says_and_methods_alike_share_a_sentence(
    results: LosoResults, gap: Estimate, said: str
) -> None:
    found = claim(with_rows(results, lambda row: {"gap": gap}), said)
    assert f"fedavg ({gap.value:+.3f}" in found and f"fedprox ({gap.value:+.3f}" in found
    assert "pooled" not in found, "a baseline's gap is in the table, and no claim"


def test_a_plan_of_which_next_to_nothing_has_run_still_has_words(results: LosoResults) -> None:
    nothing = Estimate(reason="no run of the plan gives it")
    empty = Comparison(difference=nothing)

    def without(row: Row) -> dict[str, Any]:
        cell = row.unseen_mean.model_copy(update={"estimate": nothing})
        return {
            **{name: dict.fromkeys(results.sites, nothing) for name in ("gaps", "to_oracle")},
            **{name: dict.fromkeys(getattr(row, name), empty) for name in ("to_reference", "to_size")},
            "unseen": dict.fromkeys(results.sites, cell),
            "unseen_mean": cell,
            "adjusted_p": dict.fromkeys(row.adjusted_p),
            "worst_site": None,
            "worst": nothing,
            "gap": nothing,
        }

    bare = with_rows(results, without)
    assert "is undefined: no run of the plan gives it" in claim(bare, "The mean AUC of fedavg over the unseen sites")
    assert claim(bare, "gap in AUC (sources minus unseen) is undefined (no run of the plan gives it): fedavg, fedprox.")
    assert claim(bare, "No difference to fedavg at a single site could be tested")
    assert "power" not in " ".join(plain_words(bare))


def test_the_oracle_is_an_upper_bound_and_costs_are_named_by_site(results: LosoResults) -> None:
    worse = Estimate(value=0.1, low=0.05, high=0.15)
    alike = Estimate(value=0.1, low=-0.05, high=0.15)
    some = with_rows(results, lambda row: {"to_oracle": {"GE": worse, "TOSHIBA": alike}})
    said = claim(some, "oracle")
    assert "better than fedavg at GE (+0.100 [+0.050, +0.150])" in said and "TOSHIBA" not in said
    assert "no generalization" in said
    none = with_rows(results, lambda row: {"to_oracle": {"GE": alike}})
    assert "at no site shown to do better than fedavg" in claim(none, "oracle")


def test_size_is_beaten_at_the_sites_where_the_interval_says_so(results: LosoResults) -> None:
    better = Comparison(difference=Estimate(value=0.1, low=0.05, high=0.15), p_value=0.01)
    unclear = Comparison(difference=Estimate(value=0.1, low=-0.05, high=0.15), p_value=0.3)
    some = with_rows(results, lambda row: {"to_size": {"GE": better, "TOSHIBA": unclear}})
    assert (
        "fedavg is shown to rank better at GE (+0.100 [+0.050, +0.150]); neither is shown at TOSHIBA (+0.100 [-0.050, "
        "+0.150])."
    ) in claim(some, "diameter alone, fedavg")
    worse = Comparison(difference=Estimate(value=-0.1, low=-0.15, high=-0.05), p_value=0.01)
    none = with_rows(results, lambda row: {"to_size": {"TOSHIBA": worse}})
    assert "fedprox is shown to rank better at no site; worse at TOSHIBA (-0.100 [-0.150, -0.050])." in claim(
        none, "diameter alone, fedprox"
    )


def test_a_difference_that_holds_in_the_mean_is_told_seed_by_seed(results: LosoResults) -> None:
    held = with_rows(
        results, lambda row: {"adjusted_p": {**row.adjusted_p, "mean": 0.001}} if row.name == "fedprox" else {}
    )
    rows = {row.name: row.unseen_mean.values for row in held.tables["auc"].rows}
    first, second = (one - other for one, other in zip(rows["fedprox"], rows["fedavg"], strict=True))
    assert f"seed by seed: fedprox {first:+.3f}, {second:+.3f}" in claim(held, "sd over 2 seeds")
    unclear = with_rows(results, lambda row: {"adjusted_p": dict.fromkeys(row.adjusted_p, 0.9)})
    assert "seed by seed" not in claim(unclear, "sd over 2 seeds")


def test_what_seeds_and_few_sites_cannot_say_is_said(make_results: MakeResults, results: LosoResults) -> None:
    assert "no confidence interval" in claim(results, "sd over 2 seeds")
    assert "not known" in claim(make_results(seeds=(3,)), "One seed")
    assert "(the smallest two-sided p-value of a sign test on 4 is 0.125)" in claim(results, "4 sites are too few for")
    assert "is 0.0312" in claim(make_results(sites=("A", "B", "C", "D", "E", "F")), "6 sites are few for")
    assert claim(results, "a vendor is not a hospital")


def test_missing_runs_few_patients_and_bad_calibration_are_told(results: LosoResults) -> None:
    assert "1 of 2 runs of the plan have no result" in claim(results, "no result")
    assert "other than 1 at GE (0.9" in claim(results, "calibration slope")
    small = {site: size.model_copy(update={"num_patients": 12}) for site, size in results.sites.items()}
    assert "GE (12)" in claim(results.model_copy(update={"sites": small}), "Fewer than 20 patients at")


def test_a_difference_that_does_not_outlive_the_correction_is_none(results: LosoResults) -> None:
    unclear = with_rows(results, lambda row: {"adjusted_p": dict.fromkeys(row.to_reference, 0.06)})
    assert results.tables["auc"].rows[1].to_reference["mean"].p_value < 0.05
    assert claim(unclear, "nothing differs from fedavg in the mean over the unseen sites")
    assert claim(unclear, "nothing differs from fedavg at a single site")


def test_a_row_that_is_told_the_measured_diameter_is_said_to_be(results: LosoResults) -> None:
    assert "as the readers measured it" not in " ".join(plain_words(results))
    told = with_rows(results, lambda row: {"settings": {"model.size-weight": 0.3}} if row.name == "fedprox" else {})
    assert claim(told, "as the readers measured it").startswith("The scores of fedprox hold")
