"""The events of a run, as they come, as progress on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich.progress import Progress, TaskID

from fedlung.config import RunConfig

Event = Mapping[str, Any]


class RunFollower:
    """Draws a bar for the preparation and one for the rounds from the lines of ``rounds.jsonl``."""

    def __init__(self, progress: Progress, config: RunConfig) -> None:
        self.progress = progress
        self.num_prepared = self.num_done = 0
        self.num_rounds = config.federation.rounds
        self.start = progress.add_task("Starting Flower", total=1)
        self.prepare: TaskID | None = None
        self.rounds: TaskID | None = None
        self.judging: TaskID | None = None
        self.folds: TaskID | None = None

    def __call__(self, event: Event) -> None:
        """Draw one event; one that is unknown, or has nothing to be drawn, is passed over."""
        draw = DRAWN.get(str(event["event"]))
        if draw is not None:
            draw(self, event)

    def listening(self, event: Event) -> None:
        self.progress.update(self.start, description=f"Waiting for the sites at {event['address']}")

    def run_started(self, event: Event) -> None:
        self.progress.update(self.start, completed=1)
        if "num_folds" in event:
            self.folds = self.progress.add_task("Folds", total=int(event["num_folds"]))

    def resumed(self, event: Event) -> None:
        """The rounds that are there are done."""
        self.run_started(event)
        self.num_done = int(event["round"])

    def fold(self, event: Event) -> None:
        """One run of a leave-one-site-out run has ended, or was there already."""
        if self.folds is not None:
            self.progress.advance(self.folds)

    def roll_call(self, event: Event) -> None:
        num_present = len(event["sources"]) + len(event["held_out"])
        self.prepare = self.progress.add_task("Sites prepare their CT", total=num_present)

    def prepared(self, event: Event) -> None:
        self.num_prepared += 1
        if self.prepare is not None:
            self.progress.update(self.prepare, completed=self.num_prepared)

    def training(self, event: Event) -> None:
        """Whoever has not prepared by now is out of the run."""
        if self.prepare is not None:
            self.progress.update(self.prepare, total=self.num_prepared)
        self.rounds = self.progress.add_task("Rounds", total=self.num_rounds, completed=self.num_done)

    def round(self, event: Event) -> None:
        if self.rounds is not None:
            self.progress.update(self.rounds, completed=int(event["round"]))

    def selected(self, event: Event) -> None:
        self.judging = self.progress.add_task(f"Judging round {event['round']} at every site", total=None)

    def judged(self, event: Event) -> None:
        if self.judging is not None:
            self.progress.update(self.judging, description="Writing the report")

    def finished(self, event: Event) -> None:
        if self.judging is not None:
            self.progress.update(self.judging, total=1, completed=1)


DRAWN: dict[str, Callable[[RunFollower, Event], None]] = {
    "listening": RunFollower.listening,  # of a server between machines, before the run itself
    "run-started": RunFollower.run_started,
    "resumed": RunFollower.resumed,
    "roll-call": RunFollower.roll_call,
    "prepared": RunFollower.prepared,
    "training": RunFollower.training,
    "round": RunFollower.round,
    "selected": RunFollower.selected,
    "judged": RunFollower.judged,
    "fold": RunFollower.fold,
    "finished": RunFollower.finished,
}
