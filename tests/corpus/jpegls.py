"""A lossless JPEG-LS encoder for one grey image (ITU-T T.87, annex A): slow, small, and as the standard has it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy.typing as npt

_RESET = 64
_RUN_ORDER = [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15]


class _Bits:
    """Bits into bytes; after a byte 0xFF comes a zero bit, so that no marker appears (A.1)."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._value, self._free = 0, 8

    def put(self, value: int, count: int) -> None:
        for shift in range(count - 1, -1, -1):
            self._free -= 1
            self._value |= ((value >> shift) & 1) << self._free
            if self._free == 0:
                self._flush()

    def _flush(self) -> None:
        self.data.append(self._value)
        self._free = 7 if self._value == 0xFF else 8
        self._value = 0

    def end(self) -> bytes:
        if self._free < 8:
            self._flush()
        return bytes(self.data)


@dataclass
class _Context:
    """What a context has seen (A.2.1): sums of errors, their bias and correction, their count."""

    magnitude: int
    bias: int = 0
    correction: int = 0
    count: int = 1
    negative: int = 0

    def halve(self) -> None:
        if self.count == _RESET:
            self.magnitude, self.bias = self.magnitude >> 1, self.bias >> 1
            self.count, self.negative = self.count >> 1, self.negative >> 1
        self.count += 1


class _Encoder:
    def __init__(self, bits: int) -> None:
        self.bits, self.range, self.top = bits, 1 << bits, (1 << bits) - 1
        self.limit = 2 * (bits + max(8, bits))
        factor = (min(self.top, 4095) + 128) >> 8
        self.thresholds = (factor + 2, 4 * factor + 3, 17 * factor + 4)
        self.contexts = [_Context(max(2, (self.range + 32) >> 6)) for _ in range(367)]
        self.run_index, self.out = 0, _Bits()

    def line(self, above: list[int], now: list[int]) -> None:
        """One row. Both have a pixel before the first; ``above`` has one after the last as well."""
        width, column = len(now) - 1, 1
        while column <= width:
            left, up, corner, right = now[column - 1], above[column], above[column - 1], above[column + 1]
            gradients = (right - up, up - corner, corner - left)
            if any(gradients):
                self._regular(now[column], left, up, corner, gradients)
                column += 1
            else:
                column = self._run(above, now, column)

    def _regular(self, value: int, left: int, up: int, corner: int, gradients: tuple[int, int, int]) -> None:
        number = sum(self._level(gradient) * weight for gradient, weight in zip(gradients, (81, 9, 1), strict=True))
        sign = -1 if number < 0 else 1
        context = self.contexts[abs(number)]
        guess = (
            min(left, up)
            if corner >= max(left, up)
            else max(left, up)
            if corner <= min(left, up)
            else left + up - corner
        )
        guess = min(max(guess + sign * context.correction, 0), self.top)
        error, order = self._wrapped(sign * (value - guess)), _order(context.magnitude, context.count)
        flipped = order == 0 and 2 * context.bias <= -context.count
        mapped = (2 * error + 1 if error >= 0 else -2 * (error + 1)) if flipped else max(2 * error, -2 * error - 1)
        self._golomb(mapped, order, self.limit)
        self._learn(context, error)

    def _level(self, gradient: int) -> int:
        level = sum(abs(gradient) >= bound for bound in (1, *self.thresholds))
        return level if gradient > 0 else -level

    def _wrapped(self, error: int) -> int:
        error %= self.range
        return error - self.range if error >= (self.range + 1) // 2 else error

    def _golomb(self, value: int, order: int, limit: int) -> None:
        """A limited-length Golomb code (A.5.3)."""
        longest = limit - self.bits - 1
        if value >> order < longest:
            self.out.put(1, (value >> order) + 1)
            self.out.put(value, order)
        else:
            self.out.put(1, longest + 1)
            self.out.put(value - 1, self.bits)

    def _learn(self, context: _Context, error: int) -> None:
        """Bias and its correction (A.6)."""
        context.bias += error
        context.magnitude += abs(error)
        context.halve()
        if context.bias <= -context.count:
            context.bias = max(context.bias + context.count, 1 - context.count)
            context.correction = max(context.correction - 1, -128)
        elif context.bias > 0:
            context.bias = min(context.bias - context.count, 0)
            context.correction = min(context.correction + 1, 127)

    def _run(self, above: list[int], now: list[int], start: int) -> int:
        """A run of equal pixels and what ends it (A.7); gives the column after it."""
        column = start
        while column < len(now) and now[column] == now[start - 1]:
            column += 1
        length = column - start
        while length >= 1 << _RUN_ORDER[self.run_index]:
            self.out.put(1, 1)
            length -= 1 << _RUN_ORDER[self.run_index]
            self.run_index = min(self.run_index + 1, 31)
        if column == len(now):
            self.out.put(1, int(length > 0))
            return column
        self.out.put(0, 1)
        self.out.put(length, _RUN_ORDER[self.run_index])
        self._interruption(now[column], now[column - 1], above[column])
        self.run_index = max(self.run_index - 1, 0)
        return column + 1

    def _interruption(self, value: int, left: int, up: int) -> None:
        same = int(left == up)
        context = self.contexts[365 + same]
        error = self._wrapped((value - up) * (-1 if left > up else 1))
        order = _order(context.magnitude + same * (context.count >> 1), context.count)
        mostly_negative = 2 * context.negative >= context.count
        mapped = (
            int(mostly_negative or order != 0) if error < 0 else int(error > 0 and order == 0 and not mostly_negative)
        )
        code = 2 * abs(error) - same - mapped
        self._golomb(code, order, self.limit - _RUN_ORDER[self.run_index] - 1)
        context.negative += error < 0
        context.magnitude += (code + 1 - same) >> 1
        context.halve()


def _median_edge(left: int, up: int, corner: int) -> int:
    """The prediction that follows an edge (A.4.1)."""
    return sorted((left, up, left + up - corner))[1]


def _order(magnitude: int, count: int) -> int:
    return next(order for order in range(32) if count << order >= magnitude)


def _lines(pixels_HW: npt.NDArray) -> Iterator[tuple[list[int], list[int]]]:
    """Pairs of the row above and a row, with the neighbours that the standard gives the edges (A.2.1)."""
    above = [0] * (pixels_HW.shape[1] + 1)
    for row in pixels_HW.tolist():
        now = [above[1], *row]
        yield [*above, above[-1]], now
        above = now


def encode_jpegls(pixels_HW: npt.NDArray, bits: int = 16) -> bytes:
    """One image as a JPEG-LS codestream; the pixels are unsigned numbers of so many bits."""
    encoder = _Encoder(bits)
    for above, now in _lines(pixels_HW):
        encoder.line(above, now)
    height, width = pixels_HW.shape
    frame = struct.pack(">HHBHHBBBB", 0xFFF7, 11, bits, height, width, 1, 1, 0x11, 0)
    scan = struct.pack(">HHBBBBBB", 0xFFDA, 8, 1, 1, 0, 0, 0, 0)
    return b"\xff\xd8" + frame + scan + encoder.out.end() + b"\xff\xd9"
