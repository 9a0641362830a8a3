"""What the numbers show of the reference and of single rows: at unseen sites, beside the oracle, beside no pixel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.intervals import why_no_interval
from fedlung.loso.claims.wording import auc_rows, leaves_out, reference_row, row_named, says, signed
from fedlung.loso.record import LosoResults
from fedlung.loso.withoutpixels import PROTOCOL


def about_reference(results: LosoResults) -> str:
    row = reference_row(results)
    mean = row.unseen_mean.estimate
    if mean.value is None:
        return f"The mean AUC of {row.name} over the unseen sites is undefined: {mean.reason}."
    worst = f"; lowest at {row.worst_site}, {says(row.worst)}" if row.worst_site else ""
    return (
        f"At sites that trained nothing and chose nothing, {row.name} has AUC {says(mean)} in the mean over "
        f"{len(results.sites)} sites{worst}. The lowest of several noisy numbers is too low on average."
    )


def about_gaps(results: LosoResults) -> Iterable[str]:
    """Of every federated method, whether its gap's interval holds 0: one sentence for those of which the same holds."""
    methods: dict[str, list[str]] = {}
    for row in (row for row in auc_rows(results) if row.kind == "method"):
        told = row.name if row.gap.value is None else f"{row.name} ({signed(row.gap)})"
        methods.setdefault(_meaning(row.gap), []).append(told)
    for meaning, names in methods.items():
        yield f"The gap in AUC (sources minus unseen) {meaning}: {', '.join(names)}."


def _meaning(gap: Estimate) -> str:
    if gap.value is None:
        return f"is undefined ({gap.reason})"
    if gap.low is None or gap.high is None:
        return f"has no interval ({why_no_interval(gap)}), so that nothing is shown by it"
    if gap.low <= 0.0 <= gap.high:
        return "includes 0, so that neither a loss nor a gain at unseen sites is shown, and neither is ruled out"
    how = "worse" if gap.low > 0.0 else "better"
    return f"excludes 0: unseen sites do {how} than the sites that trained"


def about_oracle(results: LosoResults) -> str:
    """Where a model that was trained with the site does better than the reference, which was not."""
    row = reference_row(results)
    found = {site: gap for site, gap in row.to_oracle.items() if gap.value is not None}
    if not found:
        return ""
    better = [f"{site} ({signed(gap)})" for site, gap in found.items() if gap.low is not None and gap.low > 0.0]
    told = (
        f"does better than {row.name} at {', '.join(better)}: there, training without the site costs something"
        if better
        else f"is at no site shown to do better than {row.name}: a loss from training without the site is not shown"
    )
    return (
        f"The oracle, a model that was trained with every site, {told}. It is an upper bound on the same test "
        "patients and no generalization; a site that is hard for the oracle too is simply harder."
    )


def about_size(results: LosoResults) -> Iterable[str]:
    """At which sites a method ranks better or worse than the diameter, and at which it cannot be said."""
    for row in (row for row in auc_rows(results) if row.kind == "method"):
        found = {site: told.difference for site, told in row.to_size.items() if told.difference.value is not None}
        if not found:
            continue
        better = [site for site, gap in found.items() if gap.low is not None and gap.low > 0.0]
        worse = [site for site, gap in found.items() if gap.high is not None and gap.high < 0.0]
        lists = {
            "is shown to rank better at": better or ["no site"],
            "worse at": worse,
            "neither is shown at": [site for site in found if site not in (*better, *worse)],
        }
        told = "; ".join(f"{what} {', '.join(_with(found, sites))}" for what, sites in lists.items() if sites)
        yield f"Against the nodules' diameter alone, {row.name} {told}."


def _with(found: Mapping[str, Estimate], sites: Sequence[str]) -> list[str]:
    """The sites' names with what was found there."""
    return [f"{site} ({signed(found[site])})" if site in found else site for site in sites]


def about_one_mix_of_sizes(results: LosoResults) -> str:
    """How the reference ranks where no site has larger nodules than another."""
    if results.size_strata is None:
        return ""
    found = row_named(results.reference, results.size_strata.standardised).unseen_mean.estimate
    if found.value is None:
        return ""
    no_interval = "" if found.low is not None else f" ({found.reason})"
    return (
        f"With one mix of nodule sizes at every site, of strata that hold {results.size_strata.share:.0%} of it, "
        f"{results.reference} has AUC {says(found)}{no_interval} in the mean over the unseen sites, beside "
        f"{says(reference_row(results).unseen_mean.estimate)} with sizes as they are."
    )


def about_scans(results: LosoResults) -> str:
    """How the reference finds nodules in whole scans."""
    if results.searched is None:
        return ""
    row = row_named(results.reference, results.searched.tables["cpm"])
    found = row.unseen_mean.estimate
    if found.value is None:
        return ""
    worst = f"; lowest at {row.worst_site}, {says(row.worst)}" if row.worst_site else ""
    return (
        f"Searching whole scans of unseen sites, {row.name} has CPM {says(found)} in the mean{worst}. Nodules at which "
        "there was no candidate count as missed; the AUC of patches that were cut around nodules knows nothing of them."
    )


def about_protocol(results: LosoResults) -> str:
    """Where the protocol alone gives the label away."""
    rows = [row for row in auc_rows(results) if row.name == PROTOCOL]
    told = [
        f"{site} ({says(cell.estimate)})"
        for row in rows
        for site, cell in row.unseen.items()
        if leaves_out(0.5, cell.estimate)
    ]
    if not told:
        return ""
    return (
        "The protocol alone (slice thickness and kernel), without a pixel, has an AUC other than one half at "
        f"{', '.join(told)}: there the way of scanning goes with the label, and a model may have learned it."
    )


def about_calibration(results: LosoResults) -> str:
    """Where the reference's probabilities are off."""
    if "calibration_slope" not in results.tables:
        return ""
    row = row_named(results.reference, results.tables["calibration_slope"])
    off = [f"{site} ({says(cell.estimate)})" for site, cell in row.unseen.items() if leaves_out(1.0, cell.estimate)]
    if not off:
        return ""
    return (
        f"The calibration slope of {row.name} is shown to be other than 1 at {', '.join(off)}: a probability does not "
        "mean there what it says, and neither does a threshold that was frozen elsewhere, whatever the AUC."
    )


def about_perfection(results: LosoResults) -> str:
    perfect = [
        f"{row.name} at {site}"
        for row in auc_rows(results)
        for site, cell in row.unseen.items()
        if cell.estimate.value == 1.0
    ]
    if not perfect:
        return ""
    return (
        f"Every positive scores above every negative with {', '.join(perfect)}. The bootstrap then gives [1, 1], which "
        "is no certainty: it cannot draw a patient that the site does not have."
    )
