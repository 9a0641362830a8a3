"""What a judgement's numbers allow one to say, in plain words, and what they do not."""

from __future__ import annotations

from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.intervals import why_no_interval
from fedlung.evaluation.judgement import Judgement, SiteRow
from fedlung.evaluation.power import detectable_difference, half_width

FEW_PATIENTS = 20


def plain_words(judgement: Judgement) -> tuple[str, ...]:
    """One sentence or two for each thing that a reader could take from the numbers and should weigh first."""
    said = [
        _about_data(judgement),
        *(_about_held_out(row, judgement.confidence) for row in judgement.sites if row.role == "held-out"),
        _about_gap(judgement),
        _about_sizes(judgement),
        _about_rescanned(judgement),
        _about_detection(judgement),
        *(_about_calibration(row) for row in judgement.sites if row.role == "held-out"),
        *(_about_size(row) for row in judgement.sites),
        _about_measured_size(judgement),
        *(_about_adaptation(row, judgement) for row in judgement.sites),
        _about_perfection(judgement),
        _about_few_patients(judgement),
        "One run with one seed and one choice of the held-out site: another seed, another split or another held-out "
        "site would give other numbers. A difference between sites is not yet a difference between scanners; patients, "
        "prevalence and reading habits differ too.",
    ]
    return tuple(text for text in said if text)


def _about_data(judgement: Judgement) -> str:
    synthetic = [row.name for row in judgement.sites if row.synthetic]
    if not synthetic:
        return ""
    which = "All data are" if len(synthetic) == len(judgement.sites) else f"The data of {', '.join(synthetic)} are"
    return (
        f"{which} synthetic: generated chest CT, no patient. The numbers show that the software does what it should; "
        "they say nothing about how well nodules are found in people, nor about any hospital or vendor by whose name a "
        "site goes."
    )


def _about_held_out(row: SiteRow, confidence: float) -> str:
    if row.auc.value is None:
        return f"{row.name} was held out, and its AUC is undefined: {row.auc.reason}."
    patients = f"{row.num_patients} test patient{'s' * (row.num_patients != 1)}"
    told = f"{row.name} trained nowhere and was used to choose nothing. On its {patients} the AUC is {_says(row.auc)}"
    if row.auc.low is None or row.auc.high is None:
        return f"{told}, with no interval ({why_no_interval(row.auc)}): nothing can be claimed from it."
    examples = (row.num_positive, row.num_negative)
    planned, detectable = half_width(0.9, *examples), detectable_difference(0.9, *examples)
    return (
        f"{told} ({confidence:.0%} interval). {row.num_positive} positive and {row.num_negative} negative examples let "
        f"an AUC near .9 be known to about ±{planned:.2f} at best (Hanley and McNeil, examples taken as independent); "
        "a smaller difference cannot be claimed. Two models compared on these same examples (estimates correlated at "
        f".8) would have to differ by {detectable:.3f} to be told apart with 80 % power."
    )


def _about_gap(judgement: Judgement) -> str:
    gap = judgement.gap.auc
    if gap.value is None:
        return f"The gap is undefined: {gap.reason}."
    if gap.low is None or gap.high is None:
        return f"The gap in AUC is {gap.value:+.3f}, without an interval ({why_no_interval(gap)})."
    if gap.low <= 0.0 <= gap.high:
        meaning = "it includes 0, so neither a loss nor a gain at the held-out site is shown, and neither is ruled out"
    else:
        meaning = "it excludes 0" + (
            ": the held-out site does worse" if gap.low > 0 else ": the held-out site does better"
        )
    return (
        f"The gap in AUC (source mean minus held out) is {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]; "
        f"{meaning}. Whether the model fails there or the site is harder is not told apart: that takes a model that "
        "was trained with the site."
    )


def _about_sizes(judgement: Judgement) -> str:
    """The gap with one mix of sizes, beside the gap as it is."""
    found, plain = judgement.size_standardised, judgement.gap.auc
    if found is None or found.gap.value is None or plain.value is None:
        return ""
    return (
        f"With one mix of nodule sizes at every site the gap in AUC would be {found.gap.value:+.3f}"
        f"{_interval(found.gap)}, {plain.value:+.3f} as it is; the difference is what sizes account for"
        + ("." if found.share > 0.9 else f", over strata that hold {found.share:.0%} of the sources' mix.")
    )


def _about_rescanned(judgement: Judgement) -> str:
    """What another scanner would cost the source sites, and what that does not show."""
    found = judgement.rescanned
    if found is None:
        return ""
    if found.cost.value is None:
        return f"What another scanner would cost the source sites is undefined: {found.cost.reason}."
    share = found.share
    explained = f"no share of the gap can be told ({share.reason})"
    if share.value is not None:
        interval = "" if share.low is None or share.high is None else f" [{share.low:.0%}, {share.high:.0%}]"
        explained = f"that is {share.value:.0%}{interval} of the gap"
    return (
        "On the source sites' own test patients the virtual scanner would cost the model "
        f"{found.cost.value:+.3f}{_interval(found.cost)} of AUC on average; {explained}. It says what such scanning "
        "would cost the good sites, and not that the scanner is what makes another site worse. It means nothing where "
        "the scanner set here is not like that site's, and it cannot make thin slices of thick ones or bring back what "
        "the window or 8 bits took away."
    )


def _about_detection(judgement: Judgement) -> str:
    """What whole scans showed at the held-out sites."""
    rows = judgement.detection.rows if judgement.detection else ()
    told = [
        f"{row.site}: CPM {_says(row.cpm)}, {row.num_nodules} nodules in {row.num_scans} scans"
        for row in rows
        if row.site in judgement.held_out and row.cpm.value is not None
    ]
    if not told:
        return ""
    return (
        f"Searching whole scans at what was held out ({'; '.join(told)}) is another question than telling nodules from "
        "chosen background: the AUC above does not answer it."
    )


def _about_calibration(row: SiteRow) -> str:
    """Only where the slope's interval leaves 1 out; a slope that is not shown to be off is no news."""
    slope = row.calibration_slope
    if slope.low is None or slope.high is None or slope.low <= 1.0 <= slope.high:
        return ""
    how = "too extreme" if slope.high < 1.0 else "not extreme enough"
    return (
        f"At {row.name} the probabilities are {how}: calibration slope {_says(slope)}, where 1 is right. The ranking "
        "is untouched by it; a probability, and a threshold given as one, does not mean there what it says."
    )


def _about_size(row: SiteRow) -> str:
    advantage = row.advantages.get("size")
    if advantage is None or advantage.value is None or (advantage.low is not None and advantage.low > 0.0):
        return ""
    interval = "" if advantage.low is None else f" [{advantage.low:+.3f}, {advantage.high:+.3f}]"
    difference = f"the model's AUC minus the diameter's is {advantage.value:+.3f}{interval}"
    return f"At {row.name} the model is not shown to be better than the diameter alone: {difference}."


def _about_measured_size(judgement: Judgement) -> str:
    if not judgement.provenance.config.get("model.size-weight"):
        return ""
    return (
        "The scores hold the nodule's diameter as the readers measured it, beside what the network sees: they are of "
        "an image and a measurement together, and of no image alone."
    )


def _about_adaptation(row: SiteRow, judgement: Judgement) -> str:
    """Says whose images an adapted score has seen, so that nobody takes it for the model's own."""
    adapted = row.baselines.get("adapted")
    if adapted is None or adapted.value is None:
        return ""
    num_patients = judgement.provenance.config.get("evaluate.adapt-patients", 0)
    return (
        f"At {row.name} the model was also adapted: its normalization statistics were taken anew from the unlabelled "
        f"images of {num_patients} of the site's own test patients (of all, where there are fewer), and it then has "
        f"AUC {_says(adapted)} on the same patients. That is test-time adaptation and not the model's own figure: an "
        "adapted model has seen the site."
    )


def _about_perfection(judgement: Judgement) -> str:
    perfect = [row.name for row in judgement.sites if row.auc.value == 1.0]
    if not perfect:
        return ""
    return (
        f"At {', '.join(perfect)} every positive scores above every negative. The bootstrap then gives [1, 1], which "
        "is no certainty: it cannot draw a patient that the site does not have."
    )


def _about_few_patients(judgement: Judgement) -> str:
    few = [f"{row.name} ({row.num_patients})" for row in judgement.sites if 0 < row.num_patients < FEW_PATIENTS]
    if not few:
        return ""
    return f"Fewer than {FEW_PATIENTS} test patients at {', '.join(few)}: bootstrap intervals of so few are too narrow."


def _interval(found: Estimate) -> str:
    return "" if found.low is None or found.high is None else f" [{found.low:+.3f}, {found.high:+.3f}]"


def _says(found: Estimate) -> str:
    interval = "" if found.low is None or found.high is None else f" [{found.low:.3f}, {found.high:.3f}]"
    return f"{found.value:.3f}{interval}"
