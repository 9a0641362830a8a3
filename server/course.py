"""One run, from the roll call to its judgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flwr.serverapp import Grid

import fedlung
from fedlung.evaluation.judgement import Absence, Judgement, Selection
from fedlung.evaluation.kept import KeptTests, SiteTests, save_tests
from fedlung.protocol import EvaluateReply, SiteLedger
from server.evidence import Evidence, RoundReplies
from server.generalization import judge
from server.preparation import check_teachable, prepare
from server.rollcall import Roster, roll_call
from server.rounds import final_evaluation, run_rounds
from server.rundir import RunDir
from server.selection import freeze, select_round
from server.strategies import STRATEGIES


@dataclass(frozen=True)
class Assembly:
    """Who is there with what."""

    roster: Roster
    ledgers: Mapping[str, SiteLedger]
    absences: tuple[Absence, ...]
    started: str


def federate(grid: Grid, run: RunDir) -> Judgement:
    """Roll call, preparation, rounds, selection, final evaluation, judgement."""
    config, assembly = run.config, assemble(grid, run)
    check_teachable(assembly.ledgers, assembly.roster, config)
    strategy = STRATEGIES[config.federation.strategy](config, assembly.roster, assembly.ledgers)
    run.append("training", sources=strategy.sources)
    course = run_rounds(grid, strategy, run)
    selection = select_round(course.rounds, config.evaluate.select)
    run.append("selected", round=selection.server_round, selection=selection.model_dump(mode="json"))
    tests, unjudged = final_evaluation(grid, strategy, run, selection.server_round)
    return conclude(run, assembly, course.rounds, selection, tests, [*course.absences, *unjudged])


def assemble(grid: Grid, run: RunDir) -> Assembly:
    """Roll call and preparation."""
    started = _now()
    fingerprint = run.config.fingerprint()
    run.append("run-started", name=run.name, fedlung_version=fedlung.__version__, fingerprint=fingerprint)
    roster = roll_call(grid, run.config)
    _record_roll_call(run, roster)
    ledgers, unprepared = prepare(grid, roster, run)
    return Assembly(roster, ledgers, (*roster.absences, *unprepared), started)


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
    kept = {site: SiteTests(reply.scores, reply.subgroups) for site, reply in sorted(tests.items())}
    save_tests(run.folder, KeptTests(kept, frozen))
    run.append("judged", judgement=judgement.model_dump(mode="json"))
    return judgement


def _selected(rounds: Sequence[RoundReplies], selection: Selection) -> RoundReplies:
    return next(replies for replies in rounds if replies.server_round == selection.server_round)


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
