"""Leave-one-site-out on one machine: the folds of the plan side by side, each a whole federation in one process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from fedlung.config import RunConfig, Scalar
from fedlung.errors import ConfigError, FedlungError, RunError
from fedlung.evaluation.runrecord import CONFIG_FILE, EVENTS_FILE, check_same_settings, has_finished
from fedlung.files import replacing
from fedlung.launch.bundle import find_app
from fedlung.launch.events import EventReader
from fedlung.launch.inprocess import NodeConfigs, prepare_in_process, run_in_process
from fedlung.launch.run import LOG, settings_of
from fedlung.launch.simulate import site_names, usable_cores
from fedlung.loso.folder import folds_folder
from fedlung.loso.plan import Fold, plan

LOOK_EVERY_S = 0.5
NO_TRAINING = 0.3  # rounds' worth of work that judging an ensemble is, for the end time alone

Progress = Callable[[float, float, str], None]


@dataclass
class Outcome:
    """What became of the folds of a plan: finished now, found finished, or failed with the reason."""

    finished: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def run_folds(
    federation: Path,
    config: RunConfig,
    run: Path,
    *,
    app: Path | None = None,
    jobs: int = 0,
    progress: Progress | None = None,
) -> Outcome:
    """Every fold of the plan that ``run`` has not yet, ``jobs`` at a time (0: as many as there are cores).

    ``progress`` is told the work done, all work, and how many folds there are of how many. A fold that fails does not
    stop the others. Raises ConfigError where the sites are not those of the plan or ``run`` holds other settings, and
    RunError where no fold has finished.
    """
    folds, app, jobs = plan(config), find_app(app), jobs or usable_cores()
    _check_sites(federation, config)
    _claim(run, config)
    todo = _Todo(folds, config, run)
    with _pool(federation, run, jobs) as pool:
        _prepare(pool, app, federation, config, folds[0])
        running: dict[Future[None], Fold] = {}
        while todo.waiting or running:
            for fold in todo.ready(jobs - len(running)):
                future = pool.submit(run_in_process, app, _settings(config, run, fold), _nodes(federation, fold))
                running[future] = fold
            done, _ = wait(running, timeout=LOOK_EVERY_S, return_when=FIRST_COMPLETED)
            for future in done:
                todo.end(running.pop(future), future)
            if progress is not None:
                progress(*todo.work_done(running.values()))
    if not todo.outcome.finished and not todo.outcome.kept:
        reasons = "\n".join(f"{name}: {reason}" for name, reason in todo.outcome.failed.items())
        raise RunError(f"no fold of the plan has finished:\n{reasons}")
    return todo.outcome


class _Todo:
    """The folds that are still to be run, and what became of the others."""

    def __init__(self, folds: Sequence[Fold], config: RunConfig, run: Path) -> None:
        self.config, self.folder, self.folds = config, folds_folder(run), folds
        kept = [fold.name for fold in folds if has_finished(self.folder / fold.name)]
        self.outcome = Outcome(kept=kept)
        self.waiting = [fold for fold in folds if fold.name not in kept]

    def ready(self, num_free: int) -> list[Fold]:
        """The next folds to start: an ensemble only after its members, and not at all where one of them failed."""
        started: list[Fold] = []
        for fold in list(self.waiting):
            members = [member.name for member in fold.members(self.config)]
            if failed := [name for name in members if name in self.outcome.failed]:
                self.outcome.failed[fold.name] = f"{', '.join(failed)} failed"
                self.waiting.remove(fold)
            elif len(started) < num_free and set(members) <= {*self.outcome.finished, *self.outcome.kept}:
                started.append(fold)
                self.waiting.remove(fold)
        return started

    def end(self, fold: Fold, future: Future[None]) -> None:
        """Note what became of a fold. Raises what is no failure of the fold itself."""
        error = future.exception()
        if error is None:
            self.outcome.finished.append(fold.name)
        elif isinstance(error, FedlungError):
            self.outcome.failed[fold.name] = str(error)
        else:
            raise error

    def work_done(self, running: Iterable[Fold]) -> tuple[float, float, str]:
        """Work done, all work, and the count in words."""
        ended = {*self.outcome.finished, *self.outcome.kept, *self.outcome.failed}
        work = {fold.name: self._work(fold) for fold in self.folds}
        done = sum(work[name] for name in ended)
        done += sum(work[fold.name] * self._share_done(fold) for fold in running)
        return done, sum(work.values()), f"{len(ended)} of {len(self.folds)} folds"

    def _work(self, fold: Fold) -> float:
        num_sites = len(self.config.federation.site_names)
        num_training = {"alone": 1.0, "oracle": float(num_sites), "ensemble": NO_TRAINING}
        return num_training.get(fold.kind, float(num_sites - 1))

    def _share_done(self, fold: Fold) -> float:
        rounds = [event for event in EventReader(self.folder / fold.name / EVENTS_FILE).new()]
        num_done = sum(event["event"] == "round" for event in rounds)
        return min(num_done / self.config.federation.rounds, 1.0)


def _check_sites(federation: Path, config: RunConfig) -> None:
    there, planned = site_names(federation), config.federation.site_names
    if set(there) != set(planned):
        raise ConfigError(
            f"{federation} has the sites {', '.join(there)}, and federation.sites names {', '.join(planned)}; they "
            "must be the same, so that every site is held out once."
        )


def _claim(run: Path, config: RunConfig) -> None:
    """Make the folder the plan's, or see that it is."""
    if (run / CONFIG_FILE).is_file():
        check_same_settings(run, config)
        return
    run.mkdir(parents=True, exist_ok=True)
    (run / EVENTS_FILE).touch()
    with replacing(run / CONFIG_FILE) as file:
        file.write((config.model_dump_json(by_alias=True, indent=2) + "\n").encode())


@contextmanager
def _pool(federation: Path, run: Path, jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes for the folds. New ones, not copies of this: torch's threads do not survive a fork."""
    # One thread each, so that the digits depend neither on the cores of the machine nor on how many folds run at once.
    environment = {"FEDLUNG_SITES": str(federation.resolve()), "FEDLUNG_THREADS": "1"}
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_enter, initargs=(environment, run / LOG))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _enter(environment: Mapping[str, str], log: Path) -> None:
    """What a process does first: it says everything to the log, for the terminal shows the progress."""
    os.environ.update(environment)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone, however that ended: nothing trains on unseen."""
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)


def _prepare(pool: ProcessPoolExecutor, app: Path, federation: Path, config: RunConfig, fold: Fold) -> None:
    """Have each site make its cases once, before folds that want the same ones run side by side."""
    settings = config.to_run_config()
    nodes = {number: _node(number, len(site_names(federation))) for number in range(len(site_names(federation)))}
    held_out = {number: name == fold.unseen for number, name in enumerate(site_names(federation))}
    prepared = [
        pool.submit(prepare_in_process, app, settings, number, node, fold=fold.name, held_out=held_out[number])
        for number, node in nodes.items()
    ]
    for future in prepared:
        future.result()


def _settings(config: RunConfig, run: Path, fold: Fold) -> dict[str, Scalar]:
    return settings_of(run, config) | {"loso.fold": fold.name}


def _nodes(federation: Path, fold: Fold) -> NodeConfigs:
    num_sites = len(site_names(federation))
    nodes = {number + 1: _node(number, num_sites) for number in range(num_sites)}
    return nodes | ({num_sites + 1: {"pool": True, "num-partitions": num_sites}} if fold.kind == "pooled" else {})


def _node(number: int, num_sites: int) -> dict[str, Scalar]:
    return {"partition-id": number, "num-partitions": num_sites}
