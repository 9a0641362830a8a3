"""One series going through several decoders, and coming out in order."""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from fedlung.ct.decoding.process import Decoder
from fedlung.ct.decoding.task import DecodingError, Task

LOOK_AHEAD = 32
"""Slices decoded before the one that is waited for, at most: 16 MiB of 512 x 512."""

GRACE_SECONDS = 1.0
"""To answer after all: the whole machine may have been suspended."""


class SeriesRun:
    """Iterates over the slices of ``tasks`` once.

    A decoder that fails is killed, and the slice that it had is the error. Whoever takes the slices may be slow: the
    decoders then wait with full queues, and no time is held against them.
    """

    def __init__(self, tasks: Sequence[Task], decoders: Sequence[Decoder], rooms: Sequence[npt.NDArray] = ()) -> None:
        """rooms: (H, W) arrays that the slices are written to, if they are not to be arrays of their own."""
        self._num_slices = len(tasks)
        self._rooms = rooms
        self._waiting = deque(tasks)
        self._decoders = list(decoders)
        self._done: dict[int, npt.NDArray | DecodingError] = {}

    def __iter__(self) -> Iterator[npt.NDArray]:
        """(H, W) of each slice in order. Raises DecodingError at the first that cannot be had."""
        with selectors.DefaultSelector() as selector:
            for decoder in self._decoders:
                selector.register(decoder.channel, selectors.EVENT_READ, decoder)
            for number in range(self._num_slices):
                self._hand_out(number)
                while number not in self._done:
                    self._take_in(selector)
                    self._hand_out(number)
                result = self._done.pop(number)
                if isinstance(result, DecodingError):
                    raise result
                yield result

    def _hand_out(self, waited_for: int) -> None:
        """Fill the queues, the shortest first."""
        while self._waiting and self._waiting[0].number < waited_for + LOOK_AHEAD:
            decoder = min(self._decoders, key=lambda decoder: len(decoder.in_flight))
            if decoder.is_full:
                return
            decoder.hand(self._waiting.popleft())

    def _take_in(self, selector: selectors.BaseSelector) -> None:
        """Wait for answers, as long as the decoder that has waited longest may take."""
        busy = [decoder for decoder in self._decoders if decoder.in_flight]
        next_due = min(busy, key=lambda decoder: decoder.deadline)
        ready = selector.select(max(GRACE_SECONDS, next_due.deadline - time.monotonic()))
        for key, _ in ready:
            self._hear(key.data, selector)
        if not ready:
            self._drop(next_due, selector, "DECODER_TIMEOUT", "a slice takes longer than its decoder may")

    def _hear(self, decoder: Decoder, selector: selectors.BaseSelector) -> None:
        try:
            for number, result in decoder.answers():
                if not isinstance(result, DecodingError):
                    self._done[number] = self._taken(number, result)
                    continue
                self._done[number] = result
                self._waiting.clear()
                if result.code == "DECODER_OUT_OF_MEMORY":
                    self._drop(decoder, selector, result.code, result.reason)
                    return
        except EOFError:
            self._drop(decoder, selector, "DECODER_CRASHED", "the decoder died")

    def _taken(self, number: int, shared_HW: npt.NDArray) -> npt.NDArray:
        """A copy of what lies in the shared memory."""
        if not self._rooms:
            return shared_HW.copy()
        np.copyto(self._rooms[number], shared_HW)
        return self._rooms[number]

    def _drop(self, decoder: Decoder, selector: selectors.BaseSelector, code: str, reason: str) -> None:
        """The slices that a decoder has are lost with it, and so is the series."""
        selector.unregister(decoder.channel)
        self._decoders.remove(decoder)
        status = decoder.kill()
        if code == "DECODER_CRASHED" and status < 0:
            reason = f"{reason} of signal {-status}"
        lost = decoder.in_flight if self._decoders else [*decoder.in_flight, *self._waiting]
        if lost:
            self._done |= {task.number: DecodingError(code, reason) for task in lost}
            self._waiting.clear()
