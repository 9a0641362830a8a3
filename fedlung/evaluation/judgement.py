"""The types of report.json: what a run has shown, site by site.

A number that is undefined is null with its reason, never 0 or 0.5. All that may differ between two runs of one seed on
one machine (clock times, the run's name) is under ``timings``, so that everything else can be compared to the last
digit.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from fedlung.config import SelectionRule

FORMAT_VERSION = 1

Role = Literal["source", "held-out"]
Rule = SelectionRule


class Record(BaseModel):
    """Frozen, closed, and JSON as the standard has it (no NaN)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(Record):
    """A number with its percentile interval over patient bootstrap replicates.

    ``reason`` says why there is no value or no interval, why one has to be doubted, or which sites a mean is without.
    ``num_undefined`` counts
    the replicates in which the metric was undefined.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    num_undefined: int = 0


class Metrics(Record):
    """One estimate for each metric; all but AUC, AUPRC and Brier are at the frozen threshold."""

    auc: Estimate
    auprc: Estimate
    sensitivity: Estimate
    specificity: Estimate
    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    brier: Estimate


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
    baselines: dict[str, Estimate]  # AUC of each score that needs no network, e.g. "size"
    advantages: dict[str, Estimate]  # the model's AUC minus that baseline's, paired by replicate
    constant: Constant


class SiteRow(Scores):
    """One site. A site that was expected and did not answer has a row too, all undefined."""

    name: str
    role: Role
    synthetic: bool | None  # None: it never said


class PooledRow(Scores):
    """Several sites' examples as one data set."""

    sites: tuple[str, ...]


class MeanRow(Metrics):
    """The unweighted mean over sites, as opposed to the pooled value, in which a large site outweighs a small one."""

    sites: tuple[str, ...]


class WorstSite(Record):
    """The site with the lowest AUC. The lowest of several noisy numbers is on average too low."""

    name: str | None
    role: Role | None
    auc: Estimate


class Gap(Metrics):
    """Mean over the source sites minus the mean over the held-out ones, metric by metric."""

    definition: str
    sources: tuple[str, ...]
    held_out: tuple[str, ...]


class Threshold(Record):
    """Frozen before any test example was scored."""

    probability: float | None
    rule: str
    frozen_on: str
    num_patients: int
    reason: str | None = None


class Selection(Record):
    """Which round's weights are judged, and by which rule they were picked."""

    server_round: int
    rule: Rule
    value: float
    sites: tuple[str, ...]
    definition: str


class CurveValue(Record):
    """One site in one round."""

    auc: float | None
    loss: float | None


class CurvePoint(Record):
    """One round: means over source sites' validation, and each site. ``held_out`` is shown, never used to choose."""

    server_round: int
    learning_rate: float | None
    mean_validation_auc: float | None
    mean_validation_loss: float | None
    validation: dict[str, CurveValue]
    held_out: dict[str, CurveValue]


class Participation(Record):
    """A site's part in one round's aggregate."""

    server_round: int
    site: str
    num_examples: int
    num_steps: int
    loss: float | None
    weight: float


class Absence(Record):
    """A site that was expected and did not take part in a step (``stage``), and why."""

    site: str
    stage: str
    reason: str


class SplitRow(Record):
    """Examples of one split of one site."""

    num_patients: int
    num_positive: int
    num_negative: int


class LedgerRow(Record):
    """What a site had, what it could use, and how much it left out by reason code.

    left_out        series that are no case; with the prepared ones they are all that were declared
    ignored_files   files that are no slices of a series
    unused_nodules  nodules of prepared cases (or cubes) that are no example of the task
    remarks         prepared cases with something odd about them; they are used
    """

    site: str
    num_declared: int
    num_readable: int
    num_prepared: int
    left_out: dict[str, int]
    ignored_files: dict[str, int]
    unused_nodules: dict[str, int]
    remarks: dict[str, int]
    splits: dict[str, SplitRow]
    data_fingerprint: str


class Provenance(Record):
    """With what the numbers were made."""

    fedlung_version: str
    config_fingerprint: str  # without the run's name and folder
    seed: int
    config: dict[str, bool | int | float | str]
    data_fingerprints: dict[str, str]
    versions: dict[str, dict[str, str]]  # by site
    devices: dict[str, str]
    sources: dict[str, str]  # "dicom" or "archive" by site


class RoundTiming(Record):
    """Seconds of one round by site, as the sites measured them."""

    server_round: int
    train_s: dict[str, float]
    evaluate_s: dict[str, float]


class Timings(Record):
    """All that may differ between two runs of one seed."""

    run: str
    started: str
    finished: str
    prepare_s: dict[str, float]
    rounds: tuple[RoundTiming, ...]


class Judgement(Record):
    """report.json."""

    format_version: int = FORMAT_VERSION
    synthetic: bool
    task: str
    task_definition: str
    held_out: tuple[str, ...]
    confidence: float
    num_replicates: int
    sites: tuple[SiteRow, ...]
    pooled: PooledRow
    pooled_sources: PooledRow
    mean_sources: MeanRow
    worst_site: WorstSite
    gap: Gap
    threshold: Threshold
    selection: Selection
    curves: tuple[CurvePoint, ...]
    participation: tuple[Participation, ...]
    absences: tuple[Absence, ...]
    ledgers: tuple[LedgerRow, ...]
    provenance: Provenance
    claims: tuple[str, ...] = ()
    timings: Timings
