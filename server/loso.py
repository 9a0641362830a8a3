"""Leave-one-site-out on a running federation: the folds of the plan, one after the other, each a run of its own."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

from flwr.serverapp import Grid

from fedlung.config import RunConfig
from fedlung.errors import FedlungError
from fedlung.evaluation.runrecord import has_finished
from fedlung.loso.folder import folds_folder
from fedlung.loso.plan import Fold, fold_named, plan
from fedlung.loso.results import write_results
from server.course import federate
from server.ensemble import judge_ensemble
from server.foldgrid import FoldGrid
from server.resume import has_rounds
from server.rundir import RunDir

logger = logging.getLogger(__name__)


def run_plan(grid: Grid, config: RunConfig) -> None:
    """Run whatever the plan has and the folder has not, and write the results of all.

    A fold that fails leaves its reason in its own lines, and in the results; the others go on. Raises RunError where
    none has finished. With ``loso.fold`` there is that fold and nothing else, and its error is raised.
    """
    base = Path(config.folder or "runs").resolve()
    if config.loso.fold:
        run_fold(grid, config, fold_named(config.loso.fold, config), base / config.name)
        return
    run = RunDir.open_plan(base, config.name, config)
    with run.alone():
        _run_all(grid, run)


def _run_all(grid: Grid, run: RunDir) -> None:
    folds = plan(run.config)
    run.append("run-started", name=run.name, num_folds=len(folds))
    try:
        for fold in folds:
            _tried(grid, run, fold)
        write_results(run.folder)
    except BaseException as error:
        run.append("failed", reason=str(error) if isinstance(error, FedlungError) else repr(error))
        raise
    run.finish()


def run_fold(grid: Grid, config: RunConfig, fold: Fold, folder: Path) -> None:
    """One fold in a folder of its own below the plan's; what an earlier try has left unfinished is gone on with."""
    base = folds_folder(folder)
    run = _opened(base, fold.name, fold.config(config))
    members = [base / member.name for member in fold.members(config)]
    marked = FoldGrid(grid, fold.name)
    with run.alone():
        try:
            if members:
                judge_ensemble(marked, run, members)
            else:
                federate(marked, run)
        except BaseException as error:
            run.append("failed", reason=str(error) if isinstance(error, FedlungError) else repr(error))
            raise
        run.finish()


def _opened(base: Path, name: str, config: RunConfig) -> RunDir:
    """The fold's folder: as it is where a round of it is there, else made anew."""
    if has_rounds(base / name):
        return RunDir.resume(base, name, config)
    shutil.rmtree(base / name, ignore_errors=True)
    return RunDir.create(base, name, config)


def _tried(grid: Grid, run: RunDir, fold: Fold) -> None:
    """One fold, unless it is there; its failure is a line."""
    if has_finished(folds_folder(run.folder) / fold.name):
        run.append("fold", name=fold.name, state="kept")
        return
    started = time.monotonic()
    try:
        run_fold(grid, run.config, fold, run.folder)
    except FedlungError as error:
        logger.error("%s failed: %s", fold.name, error)
        run.append("fold", name=fold.name, state="failed", reason=str(error))
        return
    logger.info("%s: %.0f s", fold.name, time.monotonic() - started)
    run.append("fold", name=fold.name, state="finished", seconds=time.monotonic() - started)
