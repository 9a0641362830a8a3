"""Bars with an end time for whatever takes longer than a few seconds; nothing when no one looks on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


class EndTimeColumn(ProgressColumn):
    """When it will be done, by the clock on the wall."""

    def render(self, task: Task) -> Text:
        if task.finished and task.finished_time is not None:
            return Text(f"{task.finished_time:.0f} s")
        if task.time_remaining is None:
            return Text("--:--")
        end = datetime.now().astimezone() + timedelta(seconds=task.time_remaining)
        return Text(f"{task.time_remaining:.0f} s left, done at {end:%H:%M:%S}")


def new_progress() -> Progress:
    """A display that shows nothing unless it is on a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), EndTimeColumn())
    return Progress(*columns, console=errors, disable=not errors.is_terminal)


@contextmanager
def bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """A callback ``(done, total)`` that draws one bar while the block runs."""
    with bars(description) as (update,):
        yield update


@contextmanager
def bars(*descriptions: str) -> Iterator[list[Callable[[int, int], None]]]:
    """A callback for each of several bars in one display; a bar appears, and its clock runs, from its first call on."""
    with new_progress() as progress:
        yield [_update_of(progress, description) for description in descriptions]


def _update_of(progress: Progress, description: str) -> Callable[[int, int], None]:
    task = progress.add_task(description, total=None, start=False, visible=False)

    def update(done: int, total: int) -> None:
        progress.start_task(task)  # does nothing the second time
        progress.update(task, completed=done, total=total, visible=True)

    return update
