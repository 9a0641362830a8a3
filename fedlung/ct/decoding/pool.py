"""Decoders kept warm between series. Safe for threads and for forks."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence

import numpy.typing as npt

from fedlung.ct.decoding.limits import Limits
from fedlung.ct.decoding.process import Decoder
from fedlung.ct.decoding.run import SeriesRun
from fedlung.ct.decoding.task import DecodingError, Task

MAX_DECODERS = 4
SETTLE_SECONDS = 1.0
"""For the slices still in flight when a series ends early; a decoder that takes longer is not kept."""


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class DecoderPool:
    """Starts decoders when they are first needed: as many as cores, at most four.

    A series takes those that are idle and never none, if need be one more, so that two iterators in one thread cannot
    wait for each other.
    """

    def __init__(self, limits: Limits | None = None, *, size: int | None = None) -> None:
        self._limits = limits or Limits()
        self._size = size or min(MAX_DECODERS, num_cores())
        self._lock = threading.Lock()
        self._idle: list[Decoder] = []
        self._leased: list[Decoder] = []

    @property
    def pids(self) -> list[int]:
        """Of all decoders, idle or not."""
        return [decoder.pid for decoder in (*self._idle, *self._leased)]

    def decode(self, tasks: Sequence[Task], rooms: Sequence[npt.NDArray] = ()) -> Iterator[npt.NDArray]:
        """(H, W) of each slice in order, in its room if there are any.

        Raises DecodingError at the first that cannot be had.
        """
        decoders = self._lease(len(tasks))
        try:
            yield from SeriesRun(tasks, decoders, rooms)
        finally:
            self._give_back(decoders)

    def close(self) -> None:
        """End the idle decoders."""
        with self._lock:
            while self._idle:
                self._idle.pop().kill()

    def forget(self) -> None:
        """In a forked child, where the decoders are the parent's: close this side of them."""
        for decoder in (*self._idle, *self._leased):
            decoder.close_ends()

    def _lease(self, num_slices: int) -> tuple[Decoder, ...]:
        with self._lock:
            wanted = max(1, min(self._size - len(self._leased), num_slices))
            taken: list[Decoder] = []
            while len(taken) < wanted and (decoder := self._next(may_fail=bool(taken))):
                taken.append(decoder)
            self._leased += taken
            return tuple(taken)

    def _next(self, *, may_fail: bool) -> Decoder | None:
        """An idle decoder that lives, or a new one."""
        while self._idle:
            decoder = self._idle.pop()
            if decoder.is_alive:
                return decoder
            decoder.kill()
        try:
            return Decoder(self._limits)
        except OSError as error:
            if may_fail:
                return None
            raise DecodingError("DECODER_CRASHED", f"no decoder could be started ({error.strerror})") from error

    def _give_back(self, decoders: tuple[Decoder, ...]) -> None:
        fit = [decoder for decoder in decoders if decoder.is_alive and decoder.settle(SETTLE_SECONDS)]
        with self._lock:
            for decoder in decoders:
                self._leased.remove(decoder)
                if decoder in fit and len(self._idle) < self._size:
                    self._idle.append(decoder)
                else:
                    decoder.kill()
