"""What the numbers of a leave-one-site-out run allow one to say, in plain words, and what they do not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from fedlung.evaluation.claims import FEW_PATIENTS
from fedlung.evaluation.estimates import Comparison, Estimate
from fedlung.evaluation.power import detectable_difference
from fedlung.evaluation.report.words import UNDEFINED
from fedlung.loso.record import LosoResults, Row
from fedlung.loso.withoutpixels import PROTOCOL

# The standard error of an AUC goes to 0 at 1, and below a half a model has nothing to lose: planned for in between.
LEAST_AUC, MOST_AUC = 0.5, 0.98


def plain_words(results: LosoResults) -> tuple[str, ...]:
    """One sentence or two for each thing that a reader could take from the numbers and should weigh first."""
    said = [
        _about_data(results),
        *_about_missing_folds(results),
        _about_choices(results),
        _about_reference(results),
        _about_means(results),
        _about_single_sites(results),
        _about_power(results),
        *_about_gaps(results),
        _about_oracle(results),
        *_about_size(results),
        _about_protocol(results),
        _about_calibration(results),
        _about_seeds(results),
        _about_number_of_sites(results),
        _about_perfection(results),
        _about_few_patients(results),
        "Sites differ in patients, prevalence, nodule sizes and reading habits as well as in scanners. Where they are "
        "told apart by vendor, a vendor is not a hospital, and a difference between them is not the scanner's alone.",
    ]
    return tuple(text for text in said if text)


def _about_data(results: LosoResults) -> str:
    if not results.synthetic:
        return ""
    return (
        "Data in these numbers are synthetic: generated chest CT, no patient. The numbers show that the software does "
        "what it should; they say nothing about how well nodules are found in people, nor about any hospital or "
        "vendor by whose name a site goes."
    )


def _about_missing_folds(results: LosoResults) -> Iterable[str]:
    num_absent = sum(fold.state != "finished" for fold in results.folds)
    if num_absent:
        yield (
            f"{num_absent} of {len(results.folds)} runs of the plan have no result. A number that is made of fewer "
            "runs than it should be says so, and a comparison of rows with different runs missing is not a fair one."
        )


def _about_choices(results: LosoResults) -> str:
    """Which methods had settings to choose from; the others had one try."""
    if not results.tried:
        return ""
    choices: dict[str, set[str]] = {}
    for tried in results.tried:
        choices.setdefault(tried.method, set()).add(str(tried.settings))
    told = ", ".join(f"{method} (of {len(settings)})" for method, settings in choices.items())
    return (
        f"Settings were chosen for each unseen site, on the validation patients of the other sites alone: {told}. Rows "
        "that chose among more settings had more tries, so that a difference to them is the search's as well as the "
        "method's."
    )


def _about_reference(results: LosoResults) -> str:
    row = _reference(results)
    mean = row.unseen_mean.estimate
    if mean.value is None:
        return f"The mean AUC of {row.name} over the unseen sites is undefined: {mean.reason}."
    worst = f"; lowest at {row.worst_site}, {_says(row.worst)}" if row.worst_site else ""
    return (
        f"At sites that trained nothing and chose nothing, {row.name} has AUC {_says(mean)} in the mean over "
        f"{len(results.sites)} sites{worst}. The lowest of several noisy numbers is too low on average."
    )


def _about_means(results: LosoResults) -> str:
    found = {row.name: (row.to_reference["mean"], row.adjusted_p["mean"]) for row in _compared(results)}
    return _differences(found, results, "in the mean over the unseen sites")


def _about_single_sites(results: LosoResults) -> str:
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
    level, tests = 1.0 - results.confidence, _count(len(found), "comparison")
    shown = [
        f"{name} ({_signed(comparison.difference)}, adjusted p {adjusted:.3f})"
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


def _about_power(results: LosoResults) -> str:
    """What a paired comparison of two models could have shown at each site, and in the mean."""
    row = _reference(results)
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


def _about_gaps(results: LosoResults) -> Iterable[str]:
    """Of every federated method, whether its gap's interval holds 0: one sentence for those of which the same holds."""
    methods: dict[str, list[str]] = {}
    for row in (row for row in _auc(results) if row.kind == "method"):
        told = row.name if row.gap.value is None else f"{row.name} ({_signed(row.gap)})"
        methods.setdefault(_meaning(row.gap), []).append(told)
    for meaning, names in methods.items():
        yield f"The gap in AUC (sources minus unseen) {meaning}: {', '.join(names)}."


def _meaning(gap: Estimate) -> str:
    if gap.value is None:
        return f"is undefined ({gap.reason})"
    if gap.low is None or gap.high is None:
        return f"has no interval ({gap.reason}), so that nothing is shown by it"
    if gap.low <= 0.0 <= gap.high:
        return "includes 0, so that neither a loss nor a gain at unseen sites is shown, and neither is ruled out"
    how = "worse" if gap.low > 0.0 else "better"
    return f"excludes 0: unseen sites do {how} than the sites that trained"


def _about_oracle(results: LosoResults) -> str:
    """Where a model that was trained with the site does better than the reference, which was not."""
    row = _reference(results)
    found = {site: gap for site, gap in row.to_oracle.items() if gap.value is not None}
    if not found:
        return ""
    better = [f"{site} ({_signed(gap)})" for site, gap in found.items() if gap.low is not None and gap.low > 0.0]
    told = (
        f"does better than {row.name} at {', '.join(better)}: there, training without the site costs something"
        if better
        else f"is at no site shown to do better than {row.name}: a loss from training without the site is not shown"
    )
    return (
        f"The oracle, a model that was trained with every site, {told}. It is an upper bound on the same test "
        "patients and no generalization; a site that is hard for the oracle too is simply harder."
    )


def _about_size(results: LosoResults) -> Iterable[str]:
    """At which sites a method ranks better or worse than the diameter, and at which it cannot be said."""
    for row in (row for row in _auc(results) if row.kind == "method"):
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
    return [f"{site} ({_signed(found[site])})" if site in found else site for site in sites]


def _about_protocol(results: LosoResults) -> str:
    """Where the protocol alone gives the label away."""
    rows = [row for row in _auc(results) if row.name == PROTOCOL]
    told = [
        f"{site} ({_says(cell.estimate)})"
        for row in rows
        for site, cell in row.unseen.items()
        if _leaves_out(0.5, cell.estimate)
    ]
    if not told:
        return ""
    return (
        "The protocol alone (slice thickness and kernel), without a pixel, has an AUC other than one half at "
        f"{', '.join(told)}: there the way of scanning goes with the label, and a model may have learned it."
    )


def _about_calibration(results: LosoResults) -> str:
    """Where the reference's probabilities are off."""
    if "calibration_slope" not in results.tables:
        return ""
    row = next(row for row in results.tables["calibration_slope"].rows if row.name == results.reference)
    off = [f"{site} ({_says(cell.estimate)})" for site, cell in row.unseen.items() if _leaves_out(1.0, cell.estimate)]
    if not off:
        return ""
    return (
        f"The calibration slope of {row.name} is shown to be other than 1 at {', '.join(off)}: a probability does not "
        "mean there what it says, and neither does a threshold that was frozen elsewhere, whatever the AUC."
    )


def _about_seeds(results: LosoResults) -> str:
    if len(results.seeds) == 1:
        return (
            "One seed: what another would change is not known. The intervals are of patients, and hold nothing of it."
        )
    return (
        f"The sd over {len(results.seeds)} seeds is the spread of training, and no confidence interval; the intervals "
        "and p-values are of patients, for these very models, and know nothing of another seed. No seed was picked."
        f"{_differences_by_seed(results)}"
    )


def _differences_by_seed(results: LosoResults) -> str:
    """What the seeds say one by one of the differences that hold in the mean."""
    reference, level = _reference(results).unseen_mean.values, 1.0 - results.confidence
    told = []
    for row in _compared(results):
        adjusted, pairs = row.adjusted_p["mean"], zip(row.unseen_mean.values, reference, strict=True)
        by_seed = [f"{one - other:+.3f}" for one, other in pairs if one is not None and other is not None]
        if adjusted is not None and adjusted < level:
            told.append(f"{row.name} {', '.join(by_seed)}")
    return f" The differences to {results.reference} in the mean, seed by seed: {'; '.join(told)}." if told else ""


def _about_number_of_sites(results: LosoResults) -> str:
    num = len(results.sites)
    least = 2.0 ** (1 - num)
    few = "too few for" if least > 1.0 - results.confidence else "few for"
    return (
        f"{num} sites are {few} a test across sites (the smallest two-sided p-value of a sign test on {num} is "
        f"{least:.3g}). All p-values and intervals are of patients within these sites, and promise nothing of a site "
        "that is not among them."
    )


def _about_perfection(results: LosoResults) -> str:
    perfect = [
        f"{row.name} at {site}"
        for row in _auc(results)
        for site, cell in row.unseen.items()
        if cell.estimate.value == 1.0
    ]
    if not perfect:
        return ""
    return (
        f"Every positive scores above every negative with {', '.join(perfect)}. The bootstrap then gives [1, 1], which "
        "is no certainty: it cannot draw a patient that the site does not have."
    )


def _about_few_patients(results: LosoResults) -> str:
    few = [f"{site} ({size.num_patients})" for site, size in results.sites.items() if size.num_patients < FEW_PATIENTS]
    if not few:
        return ""
    return f"Fewer than {FEW_PATIENTS} patients at {', '.join(few)}: bootstrap intervals of so few are too narrow."


def _auc(results: LosoResults) -> Sequence[Row]:
    return results.tables["auc"].rows


def _reference(results: LosoResults) -> Row:
    return next(row for row in _auc(results) if row.name == results.reference)


def _compared(results: LosoResults) -> list[Row]:
    return [row for row in _auc(results) if row.to_reference]


def _leaves_out(value: float, found: Estimate) -> bool:
    """Whether there is an interval, and the value is not in it."""
    return found.low is not None and found.high is not None and not found.low <= value <= found.high


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _says(found: Estimate) -> str:
    if found.value is None:
        return UNDEFINED
    interval = "" if found.low is None else f" [{found.low:.3f}, {found.high:.3f}]"
    return f"{found.value:.3f}{interval}"


def _signed(found: Estimate) -> str:
    interval = "" if found.low is None else f" [{found.low:+.3f}, {found.high:+.3f}]"
    return f"{found.value:+.3f}{interval}"
