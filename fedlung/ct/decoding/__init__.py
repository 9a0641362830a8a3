"""Compressed and deflated slices -> their stored values, in processes that may die without harm.

A codec is the one part of reading that runs foreign machine code on a file's own say, so it runs in child processes
with limits on memory and time. A bomb, a hang or a crash costs its series, and the next one gets a fresh decoder.

    transfer syntaxes                       codec
    JPEG-LS (.80, .81)                      CharLS by pyjpegls
    JPEG (.50, .51, .57, .70)               SimpleITK's GDCM, as a codec alone
    JPEG 2000 and HTJ2K (.90, .91, .201-3)  the same
    RLE (.5), deflated, encapsulated plain  this package

Where there are no POSIX processes (Windows) slices are decoded in this process and only declared sizes are limited;
macOS has no limit on memory.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Protocol

import numpy.typing as npt
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from fedlung.ct.decoding.limits import check_series, check_slice
from fedlung.ct.decoding.task import DecodingError, Task
from fedlung.ct.dicom.header import Header
from fedlung.errors import SeriesError

__all__ = ["decode_stored"]

_REMEDIES = {
    "UNDECODABLE": "Copy or export the series again.",
    "DECODER_CRASHED": "Copy the series again; if that does not help, export it without compression.",
    "DECODER_TIMEOUT": "Copy the series again; if that does not help, export it without compression.",
    "DECODER_OUT_OF_MEMORY": "Copy the series again; if that does not help, export it without compression.",
    "DECOMPRESSION_BOMB": "Do not use these files before it is clear where they come from.",
    "FILES_CHANGED": "Find the series anew.",
}


class Decode(Protocol):
    """What turns tasks into slices; their place may be in ``rooms``, or an array of its own."""

    def __call__(self, tasks: Sequence[Task], rooms: Sequence[npt.NDArray] = ()) -> Iterator[npt.NDArray]:
        """(H, W) of each slice in order."""


def decode_stored(headers: Sequence[Header], rooms: Sequence[npt.NDArray] = ()) -> Iterator[npt.NDArray]:
    """(H, W) the stored values of each slice, in order: no rescale, no padding, no inversion.

    int8, uint8, int16 or uint16 as the header says, with all allocated bits: those above BitsStored are as they were
    written. Each array is the caller's own. For compressed and deflated slices; one header may be a frame of a file
    with several. ``rooms`` are arrays of the slices' types and shapes that may be written to in place of new ones,
    some slices before they are given.

    Raises SeriesError: UNDECODABLE, DECODER_CRASHED, DECODER_TIMEOUT, DECODER_OUT_OF_MEMORY, DECOMPRESSION_BOMB,
    FILES_CHANGED.
    """
    yield from decode_with(_pool(), headers, rooms)


def decode_with(decode: Decode, headers: Sequence[Header], rooms: Sequence[npt.NDArray] = ()) -> Iterator[npt.NDArray]:
    """As ``decode_stored``, by a given pool's ``decode``."""
    tasks = [_task(number, header) for number, header in enumerate(headers)]
    number = 0
    try:
        for task in tasks:
            number = task.number
            check_slice(task)
        check_series(tasks)
        number = 0
        for stored_HW in decode(tasks, rooms):
            yield stored_HW
            number += 1
    except DecodingError as error:
        raise _series_error(error, headers[number], f"slice {number + 1} of {len(headers)}") from error


def _task(number: int, header: Header) -> Task:
    is_deflated = header.transfer_syntax == DeflatedExplicitVRLittleEndian
    return Task(
        number=number,
        place=0,
        path=os.fsdecode(header.path),
        file_stamp=header.file_stamp,
        offset=None if is_deflated or header.pixels is None else header.pixels.offset,
        frame=header.frame,
        num_frames=header.num_frames,
        transfer_syntax=str(header.transfer_syntax),
        shape_HW=header.shape_HW,
        bits_allocated=header.bits_allocated,
        bits_stored=header.bits_stored,
        signed=header.signed,
    )


def _series_error(error: DecodingError, header: Header, which: str) -> SeriesError:
    syntax = UID(header.transfer_syntax)
    named = syntax.name if syntax.name != syntax else "an unknown transfer syntax"  # its text may be anything
    sentence = f"{which} ({named}) cannot be decoded: {error.reason}."
    return SeriesError(error.code, sentence, remedy=_REMEDIES[error.code])


@cache
def _pool() -> Decode:
    """The one of this process, made when the first slice is decoded."""
    if os.name != "posix":
        from fedlung.ct.decoding.codecs import decode_slice

        return lambda tasks, rooms=(): map(decode_slice, tasks)
    from fedlung.ct.decoding.pool import DecoderPool

    pool = DecoderPool()
    atexit.register(pool.close)
    os.register_at_fork(after_in_child=partial(_renew, pool.forget))
    return pool.decode


def _renew(forget: Callable[[], None]) -> None:
    """In a forked child: the decoders are the parent's, this process gets its own."""
    forget()
    _pool.cache_clear()
