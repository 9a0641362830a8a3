"""One run, from the roll call to its judgement."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flwr.serverapp import Grid

import fedlung
from fedlung.evaluation.judgement import Absence, Judgement, Selection
from fedlung.evaluation.kept import KeptTests, SiteTests, save_tests
from fedlung.protocol import DETECTION, EvaluateReply, SiteLedger
from server.evidence import Evidence, RoundReplies
from server.generalization import judge
from server.preparation import check_teachable, prepare
from server.resume import Past, load_past, those_of_before
from server.rollcall import Roster, roll_call
from server.rounds import final_evaluation, run_rounds
from server.rundir import RunDir
from server.selection import freeze, select_round
from server.strategies import STRATEGIES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assembly:
    """Who is there with what."""

    roster: Roster
    ledgers: Mapping[str, SiteLedger]
    absences: tuple[Absence, ...]
    started: str


def federate(grid: Grid, run: RunDir) -> Judgement:
    """Roll call, preparation, rounds, selection, final evaluation, judgement; of a stopped run, what it has not yet."""
    config, past = run.config, load_past(run)
    assembly = assemble(grid, run, past)
    check_teachable(assembly.ledgers, assembly.roster, config)
    strategy = STRATEGIES[config.federation.strategy](config, assembly.roster, assembly.ledgers)
    run.append("training", sources=strategy.sources)
    course = run_rounds(grid, strategy, run, past.course)
    selection = select_round(course.rounds, config.evaluate.select, first_round=config.strategy.average_from)
    run.append("selected", round=selection.server_round, selection=selection.model_dump(mode="json"))
    tests, unjudged = final_evaluation(grid, strategy, run, selection.server_round)
    return conclude(run, assembly, course.rounds, selection, tests, [*course.absences, *unjudged])


def assemble(grid: Grid, run: RunDir, past: Past) -> Assembly:
    """Roll call and preparation. Raises RunError where the sites of a stopped run are not as they were."""
    started = past.started or _now()
    _record_beginning(run, past)
    roster = roll_call(grid, run.config)
    _record_roll_call(run, roster)
    prepared, unprepared = prepare(grid, roster, run)
    absences = (*roster.absences, *unprepared)
    ledgers, newcomers = those_of_before(past, prepared, absences)
    return Assembly(roster, ledgers, (*absences, *newcomers), started)


def conclude(
    run: RunDir,
    assembly: Assembly,
    rounds: Sequence[RoundReplies],
    selection: Selection,
    tests: Mapping[str, EvaluateReply],
    absences: Sequence[Absence],
) -> Judgement:
    """Judge what was gathered, and keep the statistics that other runs may be compared with."""
    evidence = Evidence(
        cards=assembly.roster.cards,
        ledgers=assembly.ledgers,
        rounds=rounds,
        tests=tests,
        absences=(*assembly.absences, *absences),
        run=run.name,
        started=assembly.started,
        finished=_now(),
    )
    judgement = judge(run.config, evidence, selection)
    frozen, _ = freeze(_selected(rounds, selection).validation, run.config.evaluate.threshold)
    kept = {
        site: SiteTests(reply.scores, reply.subgroups, reply.detection.get(DETECTION))
        for site, reply in sorted(tests.items())
    }
    save_tests(run.folder, KeptTests(kept, frozen))
    run.append("judged", judgement=judgement.model_dump(mode="json"))
    return judgement


def _selected(rounds: Sequence[RoundReplies], selection: Selection) -> RoundReplies:
    return next(replies for replies in rounds if replies.server_round == selection.server_round)


def _record_beginning(run: RunDir, past: Past) -> None:
    said = {"name": run.name, "fedlung_version": fedlung.__version__, "fingerprint": run.config.fingerprint()}
    if not past.started:
        run.append("run-started", **said)
        return
    num_done = len(past.course.rounds)
    logger.info("%s goes on after round %d", run.name, num_done)
    for warning in past.warnings:
        logger.warning("%s", warning)
    run.append("resumed", **said, round=num_done, warnings=past.warnings)


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
