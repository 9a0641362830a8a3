"""The bytes of a volume in one file, plain or deflated: exactly as many as its header declares, or an error."""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fedlung.errors import SeriesError

CHUNK_BYTES = 1 << 18
ZLIB_OR_GZIP = 47  # window bits: the stream's own header says which of the two it is
# Deflate cannot do better (zlib's technical notes); a header that declares more than this is wrong.
MAX_DEFLATE_RATIO = 1032

_AGAIN = "Copy or export it again."


@dataclass(frozen=True)
class Packed:
    """Where voxels lie: ``num_bytes`` behind the first ``offset`` bytes, and nothing after them.

    deflated   the whole file from ``start`` on is one zlib or gzip stream, and ``offset`` counts inflated bytes;
               else ``start`` is 0
    """

    path: Path
    num_bytes: int
    offset: int = 0
    start: int = 0
    deflated: bool = False

    def check_size(self) -> None:
        """Raises SeriesError where the file's size alone shows that it cannot hold these bytes; OSError."""
        status = self.path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SeriesError("NOT_A_FILE", "the voxels are not in a regular file.", remedy=_AGAIN)
        expected, found = self.offset + self.num_bytes, status.st_size - self.start
        if found < (expected / MAX_DEFLATE_RATIO if self.deflated else expected):
            raise _short(found, expected)
        if found > expected and not self.deflated:
            sentence = f"{found} bytes, expected {expected}: the header describes another image."
            raise SeriesError("PIXELDATA_LONG", sentence, remedy=_AGAIN)

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        """The voxels' bytes, ``chunk_bytes`` at a time.

        Raises SeriesError where there are fewer (PIXELDATA_SHORT) or more (PIXELDATA_LONG, DECOMPRESSION_BOMB) than
        declared, or the stream is damaged (UNDECODABLE); OSError.
        """
        self.check_size()
        with self.path.open("rb") as file:
            file.seek(self.start)
            stream: BinaryIO | Inflated = Inflated(file) if self.deflated else file
            skip(stream, self.offset)
            for done in range(0, self.num_bytes, chunk_bytes):
                expected = min(chunk_bytes, self.num_bytes - done)
                chunk = stream.read(expected)
                if len(chunk) < expected:
                    raise _short(done + len(chunk), self.num_bytes)
                yield chunk
            if isinstance(stream, Inflated):
                stream.check_end()


class Inflated:
    """A zlib or gzip stream that never inflates more than is asked for. Members of gzip in a row are one stream."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflater = zlib.decompressobj(wbits=ZLIB_OR_GZIP)
        self._packed = b""

    def read(self, num_bytes: int) -> bytes:
        """So many bytes, fewer only where the stream ends. Raises SeriesError UNDECODABLE."""
        parts, lacking = [], num_bytes
        while lacking:
            part = self._part(lacking)
            if not part:
                break
            parts.append(part)
            lacking -= len(part)
        return b"".join(parts)

    def check_end(self) -> None:
        """Raises SeriesError where the stream goes on, or breaks off before its checksum."""
        if self.read(1):
            sentence = "it inflates to more than its header declares."
            raise SeriesError("DECOMPRESSION_BOMB", sentence, remedy=_AGAIN)
        if not self._inflater.eof:
            raise SeriesError("UNDECODABLE", "the compressed voxels end before their checksum.", remedy=_AGAIN)

    def _part(self, limit: int) -> bytes:
        """Up to ``limit`` bytes; none at the end."""
        while not (part := self._inflate(limit)):
            self._packed = self._packed or self._file.read(CHUNK_BYTES)
            if not self._packed:
                return b""
            if self._inflater.eof:
                self._inflater = zlib.decompressobj(wbits=ZLIB_OR_GZIP)
        return part

    def _inflate(self, limit: int) -> bytes:
        """What comes of the packed bytes at hand; at a member's end nothing."""
        if self._inflater.eof:
            return b""
        try:
            part = self._inflater.decompress(self._packed, limit)
        except zlib.error as error:
            raise SeriesError("UNDECODABLE", "the compressed voxels are damaged.", remedy=_AGAIN) from error
        self._packed = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
        return part


def skip(stream: BinaryIO | Inflated, num_bytes: int) -> None:
    """Read past so many bytes, or to the end."""
    while num_bytes > 0 and (passed := len(stream.read(min(num_bytes, CHUNK_BYTES)))):
        num_bytes -= passed


def _short(found: int, expected: int) -> SeriesError:
    sentence = f"{found} bytes of {expected} are there: the image ends before it should."
    return SeriesError("PIXELDATA_SHORT", sentence, remedy=_AGAIN)
