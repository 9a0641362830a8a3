"""Arrays by name: a model's state, the models of an ensemble and the correction that a gradient gets."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
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


def num_bytes(content: RecordDict) -> int:
    """Bytes of all arrays of a message; its few scalars are not counted."""
    return sum(len(array.data) for record in content.array_records.values() for array in record.values())


def decode_weights(content: RecordDict, *, copy: bool = True) -> State:
    """The weights that came with a message; without a copy they can only be read. Raises ProtocolError."""
    return decode_state(record_of(content, WEIGHTS, ArrayRecord), copy=copy)


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
    """What Flower's ``Array(values)`` is, byte for byte, and copied once where that copies twice."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(values))
    stream.write(values.data)
    return Array(str(values.dtype), values.shape, SType.NUMPY, stream.getvalue())


def _array(name: str, array: Array) -> npt.NDArray[Any]:
    """The values of one array, over its bytes. Its header is read first: it can promise more memory than there is."""
    stream = io.BytesIO(array.data)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("unknown version")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    except ValueError:
        raise refused(f"array {shown(name)} is not in NumPy's form") from None
    promised, brought = math.prod(shape) * dtype.itemsize, len(array.data) - stream.tell()
    if dtype.kind not in "fiu" or fortran_order or min(shape, default=0) < 0 or promised != brought:
        raise refused(f"array {shown(name)} promises {promised} bytes of {dtype} and brings {brought}")
    return np.frombuffer(array.data, dtype, offset=stream.tell()).reshape(shape)
