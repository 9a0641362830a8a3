"""Ways to do one thing, timed in turn in one process, as a table of medians and of ratios to one of them.

Each round runs every way once, each round in another order, so that whatever else the machine does falls on all of
them. A ratio is taken within a round; what is printed is the median of these, with the middle half of them.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import importlib.util
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

PEERS = (
    "SimpleITK",
    "monai",
    "torchio",
    "itk",
    "batchgeneratorsv2",
    "flwr",
    "nvflare",
    "pydicom",
    "scipy",
    "numpy",
    "torch",
)


@dataclass(frozen=True)
class Way:
    """One way to do the job.

    needs   modules that it cannot do without; where one is not installed, its row says so
    before  done before each run, and not timed
    """

    name: str
    run: Callable[[], object]
    needs: tuple[str, ...] = ()
    before: Callable[[], object] = field(default=lambda: None)

    @property
    def missing(self) -> list[str]:
        """Modules that are not installed."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


def parser(description: str) -> argparse.ArgumentParser:
    """The options of every benchmark."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--rounds", type=int, default=9, help="how often each way is run")
    made.add_argument("--threads", type=int, default=2, help="of every library that takes a number")
    made.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, measures nothing")
    made.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with lidc-idri/, for real CT")
    return made


def begin(options: argparse.Namespace) -> None:
    """Set the number of threads, and print the machine and the versions."""
    torch.set_num_threads(options.threads)
    if importlib.util.find_spec("SimpleITK"):
        import SimpleITK

        SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(options.threads)
    found = [f"{name} {importlib.metadata.version(name)}" for name in PEERS if importlib.util.find_spec(name)]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {options.threads} threads, Python {platform.python_version()}"
    )
    print(", ".join(found))


def race(
    title: str,
    ways: Sequence[Way],
    *,
    base: str,
    rounds: int,
    target: float | None = None,
    things: tuple[int, str] | None = None,
) -> dict[str, tuple[float, float]]:
    """Time the ways, print their table and give the ratio of each to the base: (wall, cpu), medians.

    ``target`` is what the first way should stay below; ``things`` is how many of what a run does, for a rate. Without
    the base, its row says why and there are no ratios.
    """
    print(f"\n{title}")
    there = [way for way in ways if not way.missing]
    for way in ways:
        if way.missing:
            print(f"  {way.name}: not installed ({', '.join(way.missing)}); pip install 'fedlung[bench]' brings it")
    seconds = _seconds(there, rounds)
    ratios = {}
    print(f"  {'':46} {'wall ms':>9} {'cpu ms':>9} {'wall ratio':>11} {'middle half':>13} {'cpu ratio':>10}")
    for name, taken in seconds.items():
        wall_ms, cpu_ms = (1e3 * statistics.median(one[axis] for one in taken) for axis in (0, 1))
        row = f"  {name:46} {wall_ms:9.1f} {cpu_ms:9.1f}"
        if base in seconds:
            walls, cpus = ([a[axis] / b[axis] for a, b in zip(taken, seconds[base], strict=True)] for axis in (0, 1))
            low, middle, high = _quartiles(walls)
            ratios[name] = middle, statistics.median(cpus)
            row += f" {middle:11.3f} {f'{low:.3f}-{high:.3f}':>13} {ratios[name][1]:10.3f}"
        print(row if things is None else f"{row}  {1e3 * things[0] / wall_ms:,.0f} {things[1]}/s")
    if target is not None:
        print(f"  target: at most {target:g} of {base}")
    return ratios


def cpu_seconds() -> float:
    """Of this process, its threads, and its children, those that still run included (on Linux)."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system + _living_children_seconds()


def _seconds(ways: Sequence[Way], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """(wall, cpu) of every run by the way's name, after one run of each that does not count."""
    taken: dict[str, list[tuple[float, float]]] = {way.name: [] for way in ways}
    for number in range(rounds + 1):
        turn = number % len(ways)
        for way in (*ways[turn:], *ways[:turn]):
            way.before()
            gc.collect()
            cpu, wall = cpu_seconds(), time.perf_counter()
            way.run()
            if number:
                taken[way.name].append((time.perf_counter() - wall, max(cpu_seconds() - cpu, 1e-9)))
    return taken


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _living_children_seconds() -> float:
    """User and system time of all living descendants, from /proc; 0 where there is none."""
    total = 0.0
    for child in living_descendants(os.getpid()):
        stat = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        total += (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    return total


def living_descendants(pid: int) -> Iterator[int]:
    """Children of a process, their children and so on, from /proc; none where there is none."""
    waiting = [pid]
    while waiting:
        for tasks in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            children = list(map(int, tasks.read_text().split()))
            waiting += children
            yield from children
