"""Which methods differ from the reference, and what could have been shown at all."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fedlung.evaluation.estimates import Comparison
from fedlung.evaluation.power import detectable_difference
from fedlung.loso.claims.wording import auc_rows, counted, reference_row, signed
from fedlung.loso.record import LosoResults, Row

# The standard error of an AUC goes to 0 at 1, and below a half a model has nothing to lose: planned for in between.
LEAST_AUC, MOST_AUC = 0.5, 0.98


def about_means(results: LosoResults) -> str:
    found = {row.name: (row.to_reference["mean"], row.adjusted_p["mean"]) for row in _compared(results)}
    return _differences(found, results, "in the mean over the unseen sites")


def about_single_sites(results: LosoResults) -> str:
    found = {
        f"{row.name} at {site}": (row.to_reference[site], row.adjusted_p[site])
        for row in _compared(results)
        for site in results.sites
    }
    return _differences(found, results, "at a single site")


def _differences(found: Mapping[str, tuple[Comparison, float | None]], results: LosoResults, where: str) -> str:
    """Which comparisons hold after Holm's correction; what it means that none does."""
    if not found:
        return ""
    level, tests = 1.0 - results.confidence, counted(len(found), "comparison")
    shown = [
        f"{name} ({signed(comparison.difference)}, adjusted p {adjusted:.3f})"
        for name, (comparison, adjusted) in found.items()
        if adjusted is not None and adjusted < level
    ]
    if shown:
        return f"After Holm's correction for {tests}, different from {results.reference} {where}: {'; '.join(shown)}."
    if not any(adjusted is not None for _, adjusted in found.values()):
        return f"No difference to {results.reference} {where} could be tested: none of {tests} has an interval."
    told = (
        f"After Holm's correction for {tests}, nothing differs from {results.reference} {where}: neither better nor "
        "worse is shown, and that is not to say that they are the same."
    )
    least = 2.0 / (1 + results.num_replicates) * len(found)
    if least < level:
        return told
    return (
        f"{told} With {results.num_replicates} bootstrap replicates none could have been found: the smallest adjusted "
        f"p-value is {min(1.0, least):.3f}."
    )


def about_power(results: LosoResults) -> str:
    """What a paired comparison of two models could have shown at each site, and in the mean."""
    row = reference_row(results)
    found: dict[str, tuple[float, float]] = {}
    for site, size in results.sites.items():
        value = row.unseen[site].estimate.value
        if value is not None and size.num_positive and size.num_negative:
            planned = min(max(value, LEAST_AUC), MOST_AUC)
            found[site] = planned, detectable_difference(planned, size.num_positive, size.num_negative)
    if not found:
        return ""
    told = ", ".join(f"{site} {least:.3f} (at AUC {planned:.2f})" for site, (planned, least) in found.items())
    mean = math.hypot(*(least for _, least in found.values())) / len(found)
    return (
        "The smallest difference in AUC between two models that these examples could have shown with 80 % power, "
        f"before any correction: {told}; {mean:.3f} in the mean over these sites. Examples are taken as independent, "
        "and the two estimates as correlated at .8 (Hanley and McNeil). A smaller difference cannot be claimed."
    )


def differences_by_seed(results: LosoResults) -> str:
    """What the seeds say one by one of the differences that hold in the mean."""
    reference, level = reference_row(results).unseen_mean.values, 1.0 - results.confidence
    told = []
    for row in _compared(results):
        adjusted, pairs = row.adjusted_p["mean"], zip(row.unseen_mean.values, reference, strict=True)
        by_seed = [f"{one - other:+.3f}" for one, other in pairs if one is not None and other is not None]
        if adjusted is not None and adjusted < level:
            told.append(f"{row.name} {', '.join(by_seed)}")
    return f" The differences to {results.reference} in the mean, seed by seed: {'; '.join(told)}." if told else ""


def _compared(results: LosoResults) -> list[Row]:
    return [row for row in auc_rows(results) if row.to_reference]
