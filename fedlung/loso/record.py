"""The types of loso.json: what a leave-one-site-out run has shown. An undefined number is null with its reason."""

from __future__ import annotations

from typing import Literal

from fedlung.evaluation.estimates import Comparison, Estimate, Record, SeedSpread

FORMAT_VERSION = 1

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
    settings: dict[str, bool | int | float | str]  # what it has otherwise than the run


class MatrixRow(Record):
    """One model on every site: ``seen`` are those that trained it, judged on their own test patients."""

    name: str
    seen: tuple[str, ...]
    sites: dict[str, Cell]


class Table(Record):
    """All rows in one metric. ``oracle``: by site, on its own test patients, the model trained with it."""

    metric: str
    rows: tuple[Row, ...]
    oracle: dict[str, Cell]
    matrix: tuple[MatrixRow, ...]


class SiteSize(Record):
    """What a site has to be judged on when it is the unseen one."""

    num_patients: int
    num_positive: int
    num_negative: int


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
    folds: tuple[FoldRow, ...]
    config: dict[str, bool | int | float | str]
    config_fingerprint: str
    data_fingerprints: dict[str, str]
    versions: dict[str, dict[str, str]]  # by site, of the packages that it computed with
    claims: tuple[str, ...] = ()
