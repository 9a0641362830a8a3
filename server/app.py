"""The ServerApp: from a run's configuration to its report. Flower calls ``main``; everything else is in the rooms."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

import fedlung
from fedlung.config import RunConfig
from fedlung.errors import FedlungError
from fedlung.evaluation.judgement import Judgement
from fedlung.evaluation.report import render_report
from server.evidence import Evidence
from server.generalization import judge
from server.preparation import check_teachable, prepare
from server.rollcall import Roster, roll_call
from server.rounds import final_evaluation, run_rounds
from server.rundir import RunDir
from server.selection import select_round
from server.strategies import STRATEGIES

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """One run. An error is written into the run's lines and raised again, so that Flower calls the run failed."""
    show_log()
    config = RunConfig.from_run_config(context.run_config)
    run = RunDir.create(Path(config.folder or "runs").resolve(), config.name, config)
    try:
        federate(grid, run)
    except BaseException as error:
        run.append("failed", reason=str(error) if isinstance(error, FedlungError) else repr(error))
        raise


def federate(grid: Grid, run: RunDir) -> Judgement:
    """Roll call, preparation, rounds, selection, final evaluation, judgement, report."""
    config, started = run.config, _now()
    run.append("run-started", name=run.name, fedlung_version=fedlung.__version__, fingerprint=config.fingerprint())
    roster = roll_call(grid, config)
    _record_roll_call(run, roster)
    ledgers, unprepared = prepare(grid, roster, run)
    check_teachable(ledgers, roster, config)
    strategy = STRATEGIES[config.federation.strategy](config, roster, ledgers)
    run.append("training", sources=strategy.sources)
    course = run_rounds(grid, strategy, run)
    selection = select_round(course.rounds, config.evaluate.select)
    run.append("selected", round=selection.server_round, selection=selection.model_dump(mode="json"))
    tests, unjudged = final_evaluation(grid, strategy, run, selection.server_round)
    evidence = Evidence(
        cards=roster.cards,
        ledgers=ledgers,
        rounds=course.rounds,
        tests=tests,
        absences=(*roster.absences, *unprepared, *course.absences, *unjudged),
        run=run.name,
        started=started,
        finished=_now(),
    )
    judgement = judge(config, evidence, selection)
    run.append("judged", judgement=judgement.model_dump(mode="json"))
    render_report(run.folder)
    run.append("finished")
    return judgement


def show_log() -> None:
    """Put the server's own lines where Flower shows a ServerApp's output. Nothing else gains a handler."""
    logger = logging.getLogger("server")
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)


def _record_roll_call(run: RunDir, roster: Roster) -> None:
    run.append(
        "roll-call",
        sources=roster.sources,
        held_out=roster.held_out,
        missing=roster.missing,
        synthetic=roster.synthetic,
        absences=[row.model_dump(mode="json") for row in roster.absences],
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
