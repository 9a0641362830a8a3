"""What a run folder is called and holds: config.json, checkpoints, and the events of rounds.jsonl, one line each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationError

from fedlung.config import RunConfig
from fedlung.errors import ConfigError, RunError
from fedlung.evaluation.judgement import Judgement

EventName = Literal[
    "run-started",
    "resumed",  # instead of it, each time that a run goes on; "round" is the last one that is kept
    "roll-call",
    "prepared",  # one for each site
    "training",
    "round",  # one for each round
    "selected",
    "judged",
    "fold",  # one for each run of a leave-one-site-out run
    "finished",
    "failed",  # instead of the rest
]
EVENTS: tuple[EventName, ...] = get_args(EventName)

CONFIG_FILE = "config.json"
EVENTS_FILE = "rounds.jsonl"
CHECKPOINTS_FOLDER = "checkpoints"
RESUME_FOLDER = "resume"  # what an unfinished run goes on from

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

Event = Mapping[str, Any]


@dataclass(frozen=True)
class RunRecord:
    """What a run has written of itself. ``truncated``: the last line was cut short (the run was killed in it)."""

    folder: Path
    config: RunConfig
    events: tuple[Event, ...]
    truncated: bool

    def last(self, name: EventName) -> Event | None:
        """The newest event of that name."""
        return next((event for event in reversed(self.events) if event["event"] == name), None)

    @property
    def judgement(self) -> Judgement:
        """What the run was judged to have shown. Raises RunError for a run that did not come so far."""
        event = self.last("judged")
        if event is None:
            raise RunError(self._not_judged())
        try:
            return Judgement.model_validate(event["judgement"])
        except (KeyError, ValidationError) as error:
            raise RunError(
                f"{self.folder / EVENTS_FILE}: the judgement is not in the form of this version of fedlung ({error}); "
                "render it with the version that wrote it (its event 'run-started' may name it)"
            ) from error

    @property
    def rounds(self) -> tuple[Event, ...]:
        """The events of the rounds, each round once: those after which a run went on from an earlier one are void."""
        kept: list[Event] = []
        for event in self.events:
            if event["event"] == "round":
                kept.append(event)
            elif event["event"] == "resumed":
                del kept[int(event["round"]) :]
        return tuple(kept)

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end."""
        return self.last("finished") is not None

    def _not_judged(self) -> str:
        failed = self.last("failed")
        newest = self.events[-1]["event"] if self.events else "none"
        why = f"it failed: {failed.get('reason', 'no reason given')}" if failed else f"its last event is {newest!r}"
        return f"run {self.folder.name} has no judgement to report: {why}. Run it again under another name."


def run_name(name: str, config: RunConfig, now: datetime) -> str:
    """``name``; an empty one becomes ``<task>-<YYYYmmdd-HHMMSS>``. Raises ConfigError for no plain folder name."""
    name = name or f"{config.task.name}-{now:%Y%m%d-%H%M%S}"
    if not RUN_NAME.fullmatch(name):
        raise ConfigError(f"a run's name is made of letters, digits, '.', '_' and '-' (at most 100), not {name!r}.")
    return name


def what_numbers_depend_on(config: RunConfig) -> RunConfig:
    """The configuration without the run's place and how it was begun: equal where numbers ought to be equal."""
    loso = config.loso.model_copy(update={"fold": ""})
    return config.model_copy(update={"name": "", "folder": "", "resume": False, "loso": loso})


def check_same_settings(folder: Path, config: RunConfig) -> None:
    """Raises ConfigError unless the run in ``folder`` may be gone on with under ``config``."""
    if what_numbers_depend_on(load_run(folder).config) != what_numbers_depend_on(config):
        raise ConfigError(
            f"{folder} holds a run with other settings, and nothing was changed in it. Go on with its own settings "
            f"(see its {CONFIG_FILE}), or give another name."
        )


def unfinished_run(folder: Path) -> RunRecord:
    """The record of a run that can be gone on with. Raises RunError where there is none, or it has finished."""
    if not (folder / CONFIG_FILE).is_file():
        raise RunError(
            f"there is no run {folder.name!r} in {folder.parent} to go on with. Check the name and the folder of the "
            "runs, or begin the run without resume."
        )
    record = load_run(folder)
    if record.is_finished:
        raise RunError(
            f"run {folder.name!r} in {folder.parent} has finished; nothing is left to go on with. `fedlung report` "
            "renders its report again; for a new run, give another name and no resume."
        )
    return record


def has_finished(folder: Path) -> bool:
    """Whether the folder is that of a run which came to its end."""
    return (folder / CONFIG_FILE).is_file() and (folder / EVENTS_FILE).is_file() and load_run(folder).is_finished


def load_run(folder: Path) -> RunRecord:
    """The record of a run. A last line that was cut short is left out; any other damaged line is a RunError."""
    config_path, events_path = folder / CONFIG_FILE, folder / EVENTS_FILE
    for path in (config_path, events_path):
        if not path.is_file():
            raise RunError(f"{folder} is no run folder: it has no {path.name}. Give a folder runs/<name> of a run.")
    events, truncated = _read_events(events_path)
    try:
        config = RunConfig.model_validate_json(config_path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise RunError(f"{config_path} is not a run's configuration: {error}") from error
    return RunRecord(folder=folder, config=config, events=events, truncated=truncated)


def _read_events(path: Path) -> tuple[tuple[Event, ...], bool]:
    lines = path.read_bytes().split(b"\n")
    # Every complete line ends with a line feed, so what follows the last one is empty or cut short.
    complete, rest = lines[:-1], lines[-1]
    events = tuple(_event(line, f"{path}, line {number}") for number, line in enumerate(complete, start=1))
    return events, bool(rest)


def _event(line: bytes, where: str) -> Event:
    try:
        event = json.loads(line)
    except ValueError as error:
        raise RunError(f"{where}: not a line of JSON ({error}); restore the file from a copy") from error
    if not isinstance(event, dict) or "event" not in event:
        raise RunError(f"{where}: expected an object with an 'event'; restore the file from a copy")
    return event
