"""The lines of ``rounds.jsonl`` as they come, and how a run ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fedlung.errors import RunError
from fedlung.evaluation.runrecord import EVENTS_FILE
from fedlung.launch.flower import Submission, SuperLink, end_of

Event = dict[str, Any]
OnEvent = Callable[[Event], None]
LOOK_EVERY_S = 0.2
LAST_WORDS_S = 5.0  # for the rest of the ServerApp's log, once it has said that it failed


class EventReader:
    """Reads a growing file of JSON lines from where it stopped; a line that is still being written waits."""

    def __init__(self, path: Path, position: int = 0) -> None:
        self.path = path
        self.position = position

    def skip(self) -> int:
        """Pass over the lines that are there; gives the position after them."""
        for _ in self.new():
            pass
        return self.position

    def new(self) -> Iterator[Event]:
        if not self.path.is_file():
            return
        with self.path.open("rb") as lines:
            lines.seek(self.position)
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                self.position += len(line)
                yield json.loads(line)


def follow(superlink: SuperLink, submission: Submission, run: Path, on_event: OnEvent | None, *, told: int = 0) -> None:
    """Pass on the events of a run until it has finished; ``told``: the position after those of an earlier process.

    Raises RunError when it failed or ended without a word.
    """
    reader = EventReader(run / EVENTS_FILE, told)
    while True:
        # ORDER: ask whether it has ended before reading, else its last lines are missed.
        ended = submission.ended or not superlink.is_running
        for event in reader.new():
            if on_event is not None:
                on_event(event)
            if event["event"] == "finished":
                return
            if event["event"] == "failed":
                submission.wait(LAST_WORDS_S)
                raise RunError(f"the run failed: {event.get('reason', 'no reason given')}\n{end_of(superlink.log)}")
        if ended:
            raise RunError(_ended_silently(superlink))
        submission.wait(LOOK_EVERY_S)


def _ended_silently(superlink: SuperLink) -> str:
    if not superlink.is_running:
        return f"Flower's SuperLink ended by itself.\n{end_of(superlink.log)}"
    status = superlink.status() or "it never started"
    return f"the run ended without a report (Flower says: {status}).\n{end_of(superlink.log)}"
