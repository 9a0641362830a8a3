"""Reading the next series while this one is worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from fedlung.ct.series import Series

R = TypeVar("R")


def read_ahead(series: Sequence[Series], read: Callable[[Series], R]) -> Iterator[tuple[Series, Future[R]]]:
    """Each series with what ``read`` makes of it, while the next one is being read: two volumes in memory at most.

    An error of ``read`` is raised where its result is asked for.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as pool:
        pending = [pool.submit(read, first) for first in series[:1]]
        for number, one in enumerate(series, start=1):
            reading = pending.pop()
            wait([reading])  # ORDER: not before this volume is there and the last one gone.
            pending += [pool.submit(read, following) for following in series[number : number + 1]]
            yield one, reading
            del reading
