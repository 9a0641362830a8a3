"""The numbers of report.json: an estimate with its interval, and all that is said of one sample.

A number that is undefined is null with its reason, never 0 or 0.5.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Frozen, closed, and JSON as the standard has it (no NaN)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(Record):
    """A number with its percentile interval over patient bootstrap replicates.

    ``reason`` says why there is no value or no interval, why one has to be doubted, or which sites a mean is without.
    ``num_undefined`` counts the replicates in which the metric was undefined.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    num_undefined: int = 0


class Comparison(Record):
    """A paired difference; ``p_value`` is null wherever the interval is."""

    difference: Estimate
    p_value: float | None = None


class SeedSpread(Record):
    """One number over runs that differ in their seed only; ``sd`` needs two. There is no best one on purpose."""

    num_seeds: int
    num_undefined: int
    mean: float | None
    sd: float | None
    lowest: float | None
    highest: float | None


class Metrics(Record):
    """One estimate for each metric.

    Those that need a threshold are at the one by the run's own rule, or at the operating point in their name;
    ``_adjusted``: carried over to the reference prevalence.
    """

    auc: Estimate
    auprc: Estimate
    sensitivity: Estimate
    specificity: Estimate
    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    sensitivity_at_spec90: Estimate
    specificity_at_spec90: Estimate
    sensitivity_at_sens90: Estimate
    specificity_at_sens90: Estimate
    precision_adjusted: Estimate
    auprc_adjusted: Estimate
    brier: Estimate
    ece: Estimate
    calibration_slope: Estimate
    calibration_intercept: Estimate


class ReliabilityPoint(Record):
    """A group of test examples with neighbouring scores.

    Its counts may be of fewer than 11 patients, and so may those of a confusion matrix. The coordinator can see them in
    the histograms that it is sent; before a report leaves the coordinator, such cells are a matter for the sites' own
    rules of disclosure.
    """

    predicted: float  # mean probability
    observed: Estimate  # share of positives
    num_positive: int
    num_negative: int


class Constant(Record):
    """What one gets for a constant answer, knowing the prevalence: any model's accuracy and F1 stand beside it."""

    answer: Literal["positive", "negative"] | None  # the more frequent one
    accuracy: float | None  # of the more frequent answer
    f1_of_always_positive: float | None


class ConfusionCounts(Record):
    """Examples at the frozen threshold."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


class Scores(Metrics):
    """The test examples of one or several sites, and how the model scored them."""

    num_patients: int
    num_positive: int
    num_negative: int
    prevalence: float | None
    confusion: ConfusionCounts | None
    roc: tuple[tuple[float, float], ...]  # (false positive rate, sensitivity), thinned for drawing
    reliability: tuple[ReliabilityPoint, ...]
    ece_floor: float | None  # what a calibrated model with these scores would have by chance
    auc_delong: Estimate = Estimate()  # DeLong's interval, which takes examples as independent: a cross-check
    baselines: dict[str, Estimate]  # AUC of each score beside the model's: "size" needs no network; others do
    advantages: dict[str, Estimate]  # the model's AUC minus that score's, paired by replicate
    constant: Constant
