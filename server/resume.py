"""Going on with a run that was stopped, at the round where it stopped: what was done of it, and whether it is the same.

The rounds are those with a line in rounds.jsonl. Roll call and preparation happen again; sites keep nothing between
rounds, so that the same weights, data and settings give the same next round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import fedlung
from fedlung.errors import RunError
from fedlung.evaluation.judgement import Absence
from fedlung.evaluation.runrecord import CONFIG_FILE, EVENTS_FILE, Event, RunRecord, load_run
from fedlung.protocol import SiteLedger
from server.keeping import load_replies, replies_path
from server.rounds import MAX_FAILED_ROUNDS, Course
from server.rundir import RunDir

NEWCOMER = "was not in the run when it began; it can take part in a new one"


@dataclass(frozen=True)
class Past:
    """What was done of a run before. ``started``: when it began, empty for a new run; fingerprints are by site."""

    course: Course
    started: str = ""
    warnings: tuple[str, ...] = ()
    data_fingerprints: Mapping[str, str] | None = None  # None: no round was done with any data


def has_rounds(folder: Path) -> bool:
    """Whether the folder is that of an unfinished run with a round to go on from."""
    if not ((folder / CONFIG_FILE).is_file() and (folder / EVENTS_FILE).is_file()):
        return False
    record = load_run(folder)
    kept = [replies_path(folder, int(event["round"])).is_file() for event in record.rounds]
    return bool(kept) and all(kept) and not record.is_finished


def load_past(run: RunDir) -> Past:
    """The whole rounds of a run. Raises RunError where what they have brought cannot be read."""
    record = load_run(run.folder)
    course = Course()
    if not record.events:
        return Past(course)
    fingerprints = None
    for event in worth_keeping(record.rounds, num_rounds=run.config.federation.rounds):
        replies, fingerprints = load_replies(run, int(event["round"]))
        absences = [Absence.model_validate(row) for row in event["absences"]]
        course.take(replies, absences, is_committed=bool(event["committed"]))
    started = datetime.fromisoformat(record.events[0]["time"]).isoformat(timespec="seconds")
    return Past(course, started, _warnings(record), fingerprints)


def worth_keeping(rounds: Sequence[Event], *, num_rounds: int) -> Sequence[Event]:
    """The rounds to go on from. Those that can only fail the run once more are done again.

    They are the last ones where as many in a row did not count as end a run, or none of them all did; and all of them
    where the last is done and no source site could be validated after any.
    """
    committed = [number for number, event in enumerate(rounds, start=1) if event["committed"]]
    num_counted = committed[-1] if committed else 0
    is_over = len(rounds) == num_rounds
    if is_over and not any(event["curve"]["validation"] for event in rounds):
        return ()
    if len(rounds) - num_counted >= MAX_FAILED_ROUNDS or (is_over and not committed):
        return rounds[:num_counted]
    return rounds


def those_of_before(
    past: Past, ledgers: Mapping[str, SiteLedger], absences: Sequence[Absence]
) -> tuple[dict[str, SiteLedger], list[Absence]]:
    """The ledgers of the sites that the rounds were done with, and a row for each site that was not there then.

    Raises RunError where one of those sites is missing or has other data: what followed would be another run.
    """
    before = past.data_fingerprints
    if before is None:
        return dict(ledgers), []
    reasons = {row.site: row.reason for row in absences}
    for site, fingerprint in before.items():
        if site not in ledgers:
            raise RunError(
                f"the run cannot go on without {site}, which was in its rounds so far and is missing now "
                f"({reasons.get(site, 'it did not answer')}). Start the site and resume again."
            )
        if ledgers[site].data_fingerprint != fingerprint:
            raise RunError(
                f"the run cannot go on: {site} has other data than in its rounds so far. Have the site put back its "
                "images, annotations and prepared cases as they were, or begin a new run under another name."
            )
    same = {site: ledger for site, ledger in ledgers.items() if site in before}
    return same, [Absence(site=site, stage="prepare", reason=NEWCOMER) for site in ledgers if site not in before]


def _warnings(record: RunRecord) -> tuple[str, ...]:
    versions = {str(event["fedlung_version"]) for event in record.events if "fedlung_version" in event}
    others = ", ".join(sorted(versions - {fedlung.__version__}))
    if not others:
        return ()
    return (f"earlier rounds were run by fedlung {others}, later ones by {fedlung.__version__}: digits may differ",)
