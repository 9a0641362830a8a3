"""Arrays by name: a model's state, the models of an ensemble and the correction that a gradient gets."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, RecordDict
from flwr.common.constant import SType

from fedlung.protocol.records import record_of, refused, shown

WEIGHTS, CORRECTION, MEMBER = "weights", "correction", "member-"
MOST_MEMBERS = 100  # of an ensemble: a site holds all of them at once

State = dict[str, npt.NDArray[Any]]  # a model's state by parameter name


def encode_state(state: Mapping[str, npt.NDArray[Any]]) -> ArrayRecord:
    """Arrays by name, sorted and in C order, so that equal content is equal bytes."""
    return ArrayRecord({name: _serialized(np.asarray(state[name], order="C")) for name in sorted(state)})


def decode_state(record: ArrayRecord, *, copy: bool = True) -> State:
    """The inverse of ``encode_state``; without a copy it can only be read. Raises ProtocolError."""
    state = {name: _array(name, record[name]) for name in sorted(record)}
    return {name: values.copy() for name, values in state.items()} if copy else state


def written(like: npt.NDArray[Any], write: Callable[[npt.NDArray[Any]], None]) -> npt.NDArray[Any]:
    """An array of the shape and type of ``like``, which ``write`` fills; it can only be read afterwards.

    Its numbers are written where ``encode_state`` needs them, over the bytes that travel, and are not copied again.
    """
    header = _header(like.dtype, like.shape)
    stream = io.BytesIO(bytes(len(header) + like.nbytes))
    with stream.getbuffer() as buffer:
        buffer[: len(header)] = header
        write(np.ndarray(like.shape, like.dtype, buffer, len(header)))
    return _over(stream.getvalue(), len(header), like.dtype, like.shape)


def num_bytes(content: RecordDict) -> int:
    """Bytes of all arrays of a message; its few scalars are not counted."""
    return sum(len(array.data) for record in content.array_records.values() for array in record.values())


def decode_weights(content: RecordDict) -> State:
    """The weights that came with a message. Raises ProtocolError."""
    return decode_state(record_of(content, WEIGHTS, ArrayRecord))


def take_weights(content: RecordDict) -> State:
    """The weights out of a message, which has them no longer; they can only be read. Raises ProtocolError.

    Flower's views of a message's records refer back to it, so that what stays in it waits for the garbage collector.
    """
    state = decode_state(record_of(content, WEIGHTS, ArrayRecord), copy=False)
    del content[WEIGHTS]
    return state


def decode_correction(content: RecordDict) -> State:
    """The correction that came with a message; empty for none. Raises ProtocolError."""
    return decode_state(record_of(content, CORRECTION, ArrayRecord)) if CORRECTION in content else {}


def with_members(content: RecordDict, members: Sequence[ArrayRecord]) -> RecordDict:
    """The message with the weights of further models, to be judged as one ensemble with the first."""
    for number, weights in enumerate(members):
        content[f"{MEMBER}{number:03d}"] = weights
    return content


def decode_members(content: RecordDict) -> list[State]:
    """The weights of all models of an ensemble, mostly of one. Raises ProtocolError."""
    further = sorted(name for name in content.array_records if name.startswith(MEMBER))
    if len(further) >= MOST_MEMBERS:
        raise refused(f"an ensemble of {len(further) + 1} models; at most {MOST_MEMBERS} are judged together")
    return [decode_weights(content), *(decode_state(content.array_records[name]) for name in further)]


def _serialized(values: npt.NDArray[Any]) -> Array:
    """What Flower's ``Array(values)`` is, byte for byte; of an array that lies over such bytes, these very bytes."""
    header = _header(values.dtype, values.shape)
    data = _beneath(values, header) or b"".join((header, values.data))
    return Array(str(values.dtype), values.shape, SType.NUMPY, data)


@functools.lru_cache(maxsize=1024)
def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """What stands before the numbers of such an array in NumPy's form, version 1.0."""
    stream = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _beneath(values: npt.NDArray[Any], header: bytes) -> bytes | None:
    """The bytes that an array of ``_over`` lies over, if they are all of it and nothing else."""
    data = (values.base if isinstance(values.base, np.ndarray) else values).base
    if not isinstance(data, bytes) or len(data) != len(header) + values.nbytes or not data.startswith(header):
        return None
    whole = _over(data, len(header), values.dtype, values.shape)
    return data if (values.ctypes.data, values.strides) == (whole.ctypes.data, whole.strides) else None


def _over(data: bytes, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The array whose numbers are these bytes from ``offset`` on. They cannot change, so it can only be read."""
    return np.frombuffer(data, dtype, offset=offset).reshape(shape)


def _array(name: str, array: Array) -> npt.NDArray[Any]:
    """The values of one array, over its bytes. Its header is read first: it can promise more memory than there is."""
    data = array.data
    try:
        shape, fortran_order, dtype, offset = _told(data[: 10 + int.from_bytes(data[8:10], "little")])
    except ValueError:
        raise refused(f"array {shown(name)} is not in NumPy's form") from None
    promised, brought = math.prod(shape) * dtype.itemsize, len(data) - offset
    if dtype.kind not in "fiu" or fortran_order or min(shape, default=0) < 0 or promised != brought:
        raise refused(f"array {shown(name)} promises {promised} bytes of {dtype} and brings {brought}")
    return _over(data, offset, dtype, shape)


@functools.lru_cache(maxsize=1024)
def _told(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, order, type and own length, of a header in NumPy's form 1.0: the same from all sites in every round.

    Raises ValueError.
    """
    stream = io.BytesIO(header)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("unknown version")
    return *np.lib.format.read_array_header_1_0(stream), stream.tell()
