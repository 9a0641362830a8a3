"""What a JPEG, JPEG-LS or JPEG 2000 stream says of itself, read before any decoder sees it.

Frame headers: ITU-T T.81 table B.2 (JPEG), T.87 annex C (JPEG-LS), T.800 annex A (JPEG 2000).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from fedlung.ct.decoding.task import DecodingError, Task, undecodable

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
SOC_SIZ = b"\xff\x4f\xff\x51"
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEGLS_FRAME = 0xF7
START_OF_SCAN = 0xDA
START_OF_TILE_PART = 0xFF90
END_OF_CODESTREAM = EOI
PADDING = b"\0\xff"
"""Real files end an odd stream with either."""


@dataclass(frozen=True)
class StreamFormat:
    """Of a codestream's samples: ``precision`` in bits."""

    shape_HW: tuple[int, int]
    num_components: int
    precision: int
    signed: bool


def check_format(found: StreamFormat, task: Task) -> None:
    """Raise DecodingError where a codestream is not the slice that its header declares."""
    rows, columns = found.shape_HW
    if found.shape_HW != task.shape_HW:
        code = "DECOMPRESSION_BOMB" if rows * columns > task.num_pixels else "UNDECODABLE"
        said = f"{task.shape_HW[0]} x {task.shape_HW[1]}"
        raise DecodingError(code, f"the codestream has {rows} x {columns} pixels, the header says {said}")
    if found.num_components != 1:
        raise undecodable(f"the codestream has {found.num_components} components, CT has one")
    # An eight bit picture of a slice is none of its values; other differences are encoders' habits.
    if not 1 <= found.precision <= task.bits_allocated or found.precision <= 8 < task.bits_stored:
        raise undecodable(f"the codestream has {found.precision} bits a pixel, the header {task.bits_allocated}")


def jpeg_format(stream: bytes, *, is_jpegls: bool) -> StreamFormat:
    """Of a whole JPEG or JPEG-LS stream. Raises DecodingError.

    Decoders fill what a stream cut short does not hold with grey, so its end is looked for here.
    """
    if not stream.startswith(SOI):
        raise undecodable("the codestream does not begin as JPEG")
    if not stream[-64:].rstrip(PADDING).endswith(EOI):
        raise undecodable("the codestream ends early")
    position = 2
    while position + 4 <= len(stream):
        fill, marker, length = struct.unpack_from(">BBH", stream, position)
        if fill != 0xFF or marker == START_OF_SCAN:
            break
        if marker == 0xFF:
            position += 1
            continue
        if marker == JPEGLS_FRAME if is_jpegls else marker in JPEG_FRAMES:
            return _jpeg_frame(stream, position + 4)
        position += 2 + length
    raise undecodable("the codestream has no frame header")


def jpegls_near(stream: bytes) -> int:
    """By how much a JPEG-LS codestream's values may be off: NEAR of its scan (T.87 C.2.3); 0 is lossless."""
    position = 2
    while position + 6 <= len(stream):
        _, marker, length, num_components = struct.unpack_from(">BBHB", stream, position)
        if marker == START_OF_SCAN:
            near = stream[position + 5 + 2 * num_components : position + 6 + 2 * num_components]
            return near[0] if near else 0
        position += 1 if marker == 0xFF else 2 + length
    return 0


def _jpeg_frame(stream: bytes, position: int) -> StreamFormat:
    if position + 6 > len(stream):
        raise undecodable("the codestream ends early")
    precision, rows, columns, num_components = struct.unpack_from(">BHHB", stream, position)
    return StreamFormat((rows, columns), num_components, precision, signed=False)


def jpeg2000_stream(frame: bytes) -> bytes:
    """The bare codestream: some writers leave the boxes of a .jp2 file around it."""
    start = frame.find(SOC_SIZ)
    if start < 0:
        raise undecodable("the codestream does not begin as JPEG 2000")
    return frame[start:] if start else frame


def jpeg2000_format(stream: bytes) -> StreamFormat:
    """Of a whole, bare JPEG 2000 stream. Raises DecodingError."""
    if len(stream) < 45:
        raise undecodable("the codestream ends early")
    x_end, y_end, x_start, y_start = struct.unpack_from(">4I", stream, 8)
    num_components, depth, x_step, y_step = struct.unpack_from(">HBBB", stream, 40)
    if (x_step, y_step) != (1, 1):
        raise undecodable("the codestream's samples are not its pixels")
    _check_tile_parts(stream)
    # Ssiz: the sign in the top bit, the precision less one in the others.
    signed, precision = bool(depth & 0x80), (depth & 0x7F) + 1
    return StreamFormat((y_end - y_start, x_end - x_start), num_components, precision, signed)


def _check_tile_parts(stream: bytes) -> None:
    """Raise DecodingError unless every tile-part is there to its end.

    A tile-part says its length; the last may leave it open, and is whole only where the stream's end follows.
    """
    position = _first_tile_part(stream)
    while position + 12 <= len(stream) and struct.unpack_from(">H", stream, position)[0] == START_OF_TILE_PART:
        length = struct.unpack_from(">I", stream, position + 6)[0]
        if length == 0 and stream[-64:].rstrip(PADDING).endswith(END_OF_CODESTREAM):
            return
        if length < 14 or position + length > len(stream):
            raise undecodable("the codestream ends early")
        position += length


def _first_tile_part(stream: bytes) -> int:
    position = 2
    while position + 4 <= len(stream):
        marker, length = struct.unpack_from(">HH", stream, position)
        if marker == START_OF_TILE_PART:
            return position
        position += 2 + length
    raise undecodable("the codestream has no tiles")
