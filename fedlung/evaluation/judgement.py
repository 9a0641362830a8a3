"""The types of report.json: what a run has shown, site by site.

A number that is undefined is null with its reason, never 0 or 0.5. All that may differ between two runs of one seed on
one machine (clock times, the run's name) is under ``timings``, so that everything else can be compared to the last
digit.
"""

from __future__ import annotations

from typing import Literal

from fedlung.config import SelectionRule
from fedlung.evaluation.estimates import Comparison, Estimate, Metrics, Record, Scores

FORMAT_VERSION = 3

Role = Literal["source", "held-out"]
Rule = SelectionRule


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


class SubgroupRow(Record):
    """The model's scores of a part of the test examples; ``site`` null: of all ``sites`` that tell of it.

    Sensitivity and specificity are at the threshold of the whole. A part that a site keeps to itself, for it has too
    few patients, or that it does not have, has a row with the reason.
    """

    variable: str
    level: str
    site: str | None
    sites: tuple[str, ...]
    num_patients: int
    num_positive: int
    num_negative: int
    auc: Estimate
    sensitivity: Estimate
    specificity: Estimate


class SizeStandardised(Record):
    """AUC as it would be with one mix of nodule sizes at every site, and its gap.

    ``weights``: of the strata that have both classes at every site; ``share``: their part of the source sites' mix. A
    share far below 1 says that the mix is another one.
    """

    definition: str
    weights: dict[str, float]
    share: float
    sites: dict[str, Estimate]
    gap: Estimate


class RescannedRow(Record):
    """A source site's AUC as its patients were scanned, as through another scanner, and the paired difference."""

    site: str
    auc: Estimate
    rescanned: Estimate
    cost: Comparison


class Counterfactual(Record):
    """What another scanner would cost the source sites, and how much of the gap in AUC that is.

    ``share`` is undefined wherever the gap is not shown to be above 0.
    """

    definition: str
    rows: tuple[RescannedRow, ...]
    cost: Estimate
    share: Estimate


class DetectionRow(Record):
    """Nodules found in whole scans; ``site`` null: of all ``sites`` that tell of theirs.

    ``reason``: why there is nothing to tell. ``sensitivities`` are by false positives a scan, as text ("0.125").
    """

    site: str | None
    sites: tuple[str, ...]
    num_patients: int
    num_scans: int
    num_nodules: int
    num_never_found: int  # at no threshold: no candidate lies in them
    cpm: Estimate
    sensitivities: dict[str, Estimate]
    froc: tuple[tuple[float, float], ...]  # (false positives a scan, sensitivity), thinned for drawing
    reason: str | None = None


class Detection(Record):
    """Of whole test scans: who was searched how, and the free-response ROC by site and pooled."""

    definition: str
    rows: tuple[DetectionRow, ...]


class Threshold(Record):
    """Frozen before any test example was scored."""

    probability: float | None
    rule: str
    frozen_on: str
    num_patients: int
    reason: str | None = None


class OperatingPoints(Record):
    """The thresholds for a specificity and for a sensitivity of .90, each frozen as the chosen one is."""

    spec90: Threshold
    sens90: Threshold


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
    num_bytes: int = 0  # of weights and what travels with them, to the site and from it


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
    subgroups: tuple[SubgroupRow, ...] = ()
    size_standardised: SizeStandardised | None = None  # null: no site knows sizes
    rescanned: Counterfactual | None = None  # null: nothing is rescanned in this run
    detection: Detection | None = None  # null: scans are not searched in this run
    threshold: Threshold
    operating_points: OperatingPoints
    reference_prevalence: float | None  # of the source sites' pooled validation
    selection: Selection
    curves: tuple[CurvePoint, ...]
    participation: tuple[Participation, ...]
    absences: tuple[Absence, ...]
    ledgers: tuple[LedgerRow, ...]
    provenance: Provenance
    claims: tuple[str, ...] = ()
    timings: Timings
