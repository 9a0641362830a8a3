"""Under what conditions the numbers were made: the data, the plan, its seeds and its sites."""

from __future__ import annotations

from fedlung.evaluation.claims import FEW_PATIENTS
from fedlung.loso.claims.differences import differences_by_seed
from fedlung.loso.claims.wording import auc_rows
from fedlung.loso.record import LosoResults

SIZE_WEIGHT = "model.size-weight"


def about_data(results: LosoResults) -> str:
    if not results.synthetic:
        return ""
    return (
        "Data in these numbers are synthetic: generated chest CT, no patient. The numbers show that the software does "
        "what it should; they say nothing about how well nodules are found in people, nor about any hospital or "
        "vendor by whose name a site goes."
    )


def about_missing_folds(results: LosoResults) -> str:
    """How many runs there should be and are not."""
    num_absent = sum(fold.state != "finished" for fold in results.folds)
    if not num_absent:
        return ""
    return (
        f"{num_absent} of {len(results.folds)} runs of the plan have no result. A number that is made of fewer "
        "runs than it should be says so, and a comparison of rows with different runs missing is not a fair one."
    )


def about_choices(results: LosoResults) -> str:
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


def about_measured_size(results: LosoResults) -> str:
    """Which rows were told what readers measured."""
    trained = [row for row in auc_rows(results) if row.kind != "without pixels"]
    told = [row.name for row in trained if row.settings.get(SIZE_WEIGHT, results.config.get(SIZE_WEIGHT))]
    told += [one.method for one in results.tried if one.is_chosen and one.settings.get(SIZE_WEIGHT)]
    if not told:
        return ""
    return (
        f"The scores of {', '.join(dict.fromkeys(told))} hold the nodules' diameter as the readers measured it, beside "
        "what the network sees: they are of an image and a measurement together, and of no image alone."
    )


def about_seeds(results: LosoResults) -> str:
    if len(results.seeds) == 1:
        return (
            "One seed: what another would change is not known. The intervals are of patients, and hold nothing of it."
        )
    return (
        f"The sd over {len(results.seeds)} seeds is the spread of training, and no confidence interval; the intervals "
        "and p-values are of patients, for these very models, and know nothing of another seed. No seed was picked."
        f"{differences_by_seed(results)}"
    )


def about_number_of_sites(results: LosoResults) -> str:
    num = len(results.sites)
    least = 2.0 ** (1 - num)
    few = "too few for" if least > 1.0 - results.confidence else "few for"
    return (
        f"{num} sites are {few} a test across sites (the smallest two-sided p-value of a sign test on {num} is "
        f"{least:.3g}). All p-values and intervals are of patients within these sites, and promise nothing of a site "
        "that is not among them."
    )


def about_few_patients(results: LosoResults) -> str:
    few = [f"{site} ({size.num_patients})" for site, size in results.sites.items() if size.num_patients < FEW_PATIENTS]
    if not few:
        return ""
    return f"Fewer than {FEW_PATIENTS} patients at {', '.join(few)}: bootstrap intervals of so few are too narrow."
