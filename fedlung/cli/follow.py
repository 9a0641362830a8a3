"""The events of a run, as they come, as progress on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.progress import Progress, TaskID

from fedlung.config import RunConfig

Event = Mapping[str, Any]


class RunFollower:
    """Draws a bar for the preparation and one for the rounds from the lines of ``rounds.jsonl``."""

    def __init__(self, progress: Progress, config: RunConfig, *, num_sites: int) -> None:
        self.progress = progress
        self.num_sites = num_sites
        self.num_rounds = config.federation.rounds
        self.start: TaskID | None = progress.add_task("Starting Flower", total=1)
        self.prepare: TaskID | None = None
        self.rounds: TaskID | None = None

    def __call__(self, event: Event) -> None:
        handle = getattr(self, "_" + str(event["event"]).replace("-", "_"), None)
        if handle is not None:
            handle(event)

    def _run_started(self, event: Event) -> None:
        if self.start is not None:
            self.progress.update(self.start, completed=1)

    def _roll_call(self, event: Event) -> None:
        self.prepare = self.progress.add_task("Sites prepare their CT", total=self.num_sites)

    def _prepared(self, event: Event) -> None:
        if self.prepare is not None:
            self.progress.advance(self.prepare)

    def _training(self, event: Event) -> None:
        if self.prepare is not None:
            self.progress.update(self.prepare, completed=self.num_sites)
        self.rounds = self.progress.add_task("Rounds", total=self.num_rounds)

    def _round(self, event: Event) -> None:
        if self.rounds is None:
            self._training(event)
        assert self.rounds is not None
        self.progress.update(self.rounds, completed=int(event["round"]))

    def _selected(self, event: Event) -> None:
        self.progress.add_task(f"Judging round {event['round']} at every site", total=None)
