"""The folds of a plan as they lie on the disk: which have finished, and the values that they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fedlung.config import RunConfig
from fedlung.evaluation.judgement import Judgement
from fedlung.evaluation.kept import KeptTests, load_tests
from fedlung.evaluation.runrecord import CONFIG_FILE, EVENTS_FILE, RunRecord, load_run
from fedlung.loso.folder import folds_folder
from fedlung.loso.plan import Fold, plan
from fedlung.loso.record import FoldRow


@dataclass(frozen=True)
class FinishedFold:
    """A fold that came to its end, and what was measured in it."""

    fold: Fold
    record: RunRecord

    @cached_property
    def judgement(self) -> Judgement:
        return self.record.judgement

    @cached_property
    def tests(self) -> KeptTests:
        return load_tests(self.record.folder)


@dataclass(frozen=True)
class Folds:
    """All folds of a plan: the finished ones, and why there is nothing of the others."""

    config: RunConfig
    finished: Mapping[Fold, FinishedFold]
    absent: Mapping[Fold, str]

    @property
    def sites(self) -> tuple[str, ...]:
        return self.config.federation.site_names

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.config.seed + number for number in range(self.config.loso.seeds))


def load_folds(run: Path, config: RunConfig) -> Folds:
    """The folds below a run's folder. A fold of which there is nothing, or nothing whole, is absent with its reason."""
    finished, absent = {}, {}
    for fold in plan(config):
        folder = folds_folder(run) / fold.name
        if not (folder / CONFIG_FILE).is_file() or not (folder / EVENTS_FILE).is_file():
            absent[fold] = "was not run"
            continue
        record = load_run(folder)
        if record.is_finished:
            finished[fold] = FinishedFold(fold, record)
        else:
            failed = record.last("failed")
            absent[fold] = "did not end" if failed is None else str(failed.get("reason", "failed"))
    return Folds(config, finished, absent)


def fold_rows(folds: Folds) -> tuple[FoldRow, ...]:
    """A row for every fold of the plan, in its order."""
    return tuple(_row(fold, folds) for fold in plan(folds.config))


def _row(fold: Fold, folds: Folds) -> FoldRow:
    found = folds.finished.get(fold)
    if found is None:
        reason = folds.absent[fold]
        return FoldRow(name=fold.name, state="missing" if reason == "was not run" else "failed", reason=reason)
    selection, rounds = found.judgement.selection, found.record.rounds
    return FoldRow(
        name=fold.name,
        state="finished",
        server_round=selection.server_round,
        validation=selection.value,
        seconds=sum(float(event["seconds"]) for event in rounds),
        config_fingerprint=found.judgement.provenance.config_fingerprint,
    )
