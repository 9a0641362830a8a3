"""The types of loso.json: what a leave-one-site-out run has shown. An undefined number is null with its reason."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedlung.config import SelectionRule
from fedlung.evaluation.estimates import Comparison, Estimate, Record, SeedSpread

FORMAT_VERSION = 2

RowKind = Literal["method", "baseline", "without pixels"]
FoldState = Literal["finished", "failed", "missing"]


class FoldRow(Record):
    """One run of the plan. ``server_round`` and ``validation``: what was chosen, on source validation alone."""

    name: str
    state: FoldState
    reason: str = ""
    server_round: int | None = None
    validation: float | None = None
    seconds: float | None = None
    config_fingerprint: str = ""


class Cell(Record):
    """One number of a row: the mean over seeds with the interval over patients, and what the seeds did.

    The interval is of the mean over seeds: replicate b weighs the same patients alike in every seed's run.
    """

    estimate: Estimate
    seeds: SeedSpread
    values: tuple[float | None, ...]  # by seed, in the order of the results' seeds


class Tried(Record):
    """One choice of a method's settings with one site unseen, and whether it was the one to be judged there.

    ``validation`` is the mean, over seeds, of what chose the rounds of ``folds``: of the source sites' validation
    alone. By ``rule`` "auc" the highest is chosen, by "loss" the lowest; ``reason``: why it could not be chosen.
    """

    method: str  # its row
    site: str
    settings: dict[str, bool | int | float | str]
    folds: tuple[str, ...]  # one for each seed
    rule: SelectionRule
    validation: float | None
    is_chosen: bool
    reason: str = ""


class Row(Record):
    """A method or a baseline, in one metric.

    unseen            by site: all of its patients, by models that never saw it
    unseen_mean       unweighted mean over the unseen sites
    worst             the unseen site with the lowest value; the lowest of several noisy numbers is too low on average
    source_mean       the same models on the test patients of the sites that trained them: mean over sites and folds
    gap, gaps         source minus unseen; by unseen site, the source sites being those of that fold
    to_oracle         by site: the model trained with the site minus this one, on the same patients
    to_reference      by site, and "mean": this minus the reference, paired by patient
    adjusted_p        Holm's, over all methods and sites; and over all methods for "mean"
    to_size           by site: this minus the nodules' diameter alone, paired by patient
    missing           folds that it should have had, and why it has not
    chosen            of a method with choices, by unseen site: what it was judged with there
    """

    name: str
    kind: RowKind
    unseen: dict[str, Cell]
    unseen_mean: Cell
    worst_site: str | None
    worst: Estimate
    source_mean: Cell
    gap: Estimate
    gaps: dict[str, Estimate]
    to_oracle: dict[str, Estimate]
    to_reference: dict[str, Comparison]
    adjusted_p: dict[str, float | None]
    to_size: dict[str, Comparison]
    missing: dict[str, str]
    settings: dict[str, bool | int | float | str]  # what it has otherwise than the run, at every site
    chosen: dict[str, dict[str, bool | int | float | str]] = Field(default_factory=dict)


class MatrixRow(Record):
    """One model on every site: ``seen`` are those that trained it, judged on their own test patients."""

    name: str
    seen: tuple[str, ...]
    sites: dict[str, Cell]


class Table(Record):
    """All rows in one metric. ``oracle``: by site, on its own test patients, the model trained with it.

    ``matrix`` is told in AUC alone, as are the rows without pixels.
    """

    metric: str
    rows: tuple[Row, ...]
    oracle: dict[str, Cell] = Field(default_factory=dict)
    matrix: tuple[MatrixRow, ...] = ()


class SiteSize(Record):
    """What a site has to be judged on when it is the unseen one."""

    num_patients: int
    num_positive: int
    num_negative: int


class SiteStrata(Record):
    """The examples of an unseen site in one stratum or subgroup, and how the reference does on them."""

    num_patients: int
    num_positive: int
    num_negative: int
    auc: Cell


class Part(Record):
    """One level of what divides the examples (size, texture, thickness, kernel), by unseen site."""

    variable: str
    level: str
    sites: dict[str, SiteStrata]


class SizeStrata(Record):
    """AUC within strata of nodule size, and as it would be with one mix of sizes at every site.

    ``weights`` are Mantel and Haenszel's of all sites' examples, of the strata that have both classes at every unseen
    site, and ``share`` is what these hold of all. ``gap_weights`` are of those that the test patients of the sites that
    trained have as well: gaps and sources are by them.
    """

    weights: dict[str, float]
    share: float
    gap_weights: dict[str, float]
    gap_share: float
    strata: dict[str, Table]  # by level
    standardised: Table


class SiteScans(Record):
    """What an unseen site has to be searched."""

    num_patients: int
    num_scans: int
    num_nodules: int


class SearchedScans(Record):
    """Finding nodules in whole scans: CPM, and sensitivity by false positives a scan, of every row."""

    sites: dict[str, SiteScans]
    tables: dict[str, Table]  # by metric, CPM first


class AdaptedRow(Record):
    """A method's models once adapted to unlabelled patients of the unseen site: they have seen it.

    ``minus_unadapted``: by site, and "mean": this minus the same models as they came, paired by patient.
    """

    name: str
    method: str
    unseen: dict[str, Cell]
    unseen_mean: Cell
    minus_unadapted: dict[str, Comparison]


class LosoResults(Record):
    """loso.json."""

    format_version: int = FORMAT_VERSION
    fedlung_version: str
    synthetic: bool
    task: str
    task_definition: str
    sites: dict[str, SiteSize]
    seeds: tuple[int, ...]
    reference: str
    confidence: float
    num_replicates: int
    tables: dict[str, Table]  # by metric, AUC first
    size_strata: SizeStrata | None = None  # null: no site knows sizes
    parts: tuple[Part, ...] = ()  # of the reference
    searched: SearchedScans | None = None  # null: scans are not searched in this run
    adapted: tuple[AdaptedRow, ...] = ()  # empty: nothing was adapted in this run
    tried: tuple[Tried, ...] = ()  # by methods with choices
    folds: tuple[FoldRow, ...]
    config: dict[str, bool | int | float | str]
    config_fingerprint: str
    data_fingerprints: dict[str, str]
    versions: dict[str, dict[str, str]]  # by site, of the packages that it computed with
    claims: tuple[str, ...] = ()
