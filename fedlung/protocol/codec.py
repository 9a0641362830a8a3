"""A message as Flower's records, and back: what comes in is checked against what its fields declare."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy.typing as npt
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from pydantic import TypeAdapter, ValidationError

from fedlung.evaluation.detection.statistics import DetectionStatistics
from fedlung.evaluation.statistics import ScoreStatistics
from fedlung.evaluation.subgroups import SUBGROUPS
from fedlung.names import kebab
from fedlung.protocol.folds import FOLD
from fedlung.protocol.messages import Said
from fedlung.protocol.records import record_of, refused, shown
from fedlung.protocol.weights import CORRECTION, WEIGHTS, decode_state, encode_state

PROTOCOL_VERSION = 3
MESSAGE = "message"
# Fields that are records of arrays, by their names there.
STATISTICS: dict[str, tuple[str, type[ScoreStatistics] | type[DetectionStatistics]]] = {
    "scores": ("statistics", ScoreStatistics),
    "subgroups": ("subgroups", ScoreStatistics),
    "detection": ("detection", DetectionStatistics),
}

M = TypeVar("M", bound=Said)


def encode(said: Said, *, weights: ArrayRecord | None = None, correction: ArrayRecord | None = None) -> RecordDict:
    """The records of a message, and of the weights and the correction (of ``encode_state``) that travel with it."""
    fields = {field.name: getattr(said, field.name) for field in dataclasses.fields(said)}  # type: ignore[arg-type]
    statistics = {record: fields.pop(name) for name, (record, _) in STATISTICS.items() if name in fields}
    head: dict[str, Any] = {"kind": type(said).__name__, "protocol-version": PROTOCOL_VERSION}
    mappings = {name: value for name, value in fields.items() if isinstance(value, Mapping)}
    head |= {kebab(name): value for name, value in fields.items() if name not in mappings}
    records: dict[str, Any] = {MESSAGE: ConfigRecord(head)}
    for name, mapping in mappings.items():
        records[kebab(name)] = ConfigRecord(dict(_flat(mapping)))
    records |= {record: encode_state(dict(_statistics_arrays(by_name))) for record, by_name in statistics.items()}
    if weights is not None:
        records[WEIGHTS] = weights
    if correction is not None:
        records[CORRECTION] = correction
    return RecordDict(records)


def decode(kind: type[M], content: RecordDict) -> M:
    """The message of this kind. Raises ProtocolError, whose whole text may leave the machine."""
    head = dict(record_of(content, MESSAGE, ConfigRecord))
    _check_head(kind, head)
    fields: dict[str, Any] = {_snake(key): value for key, value in head.items()}
    for name, record in content.config_records.items():
        if name not in (MESSAGE, FOLD):
            fields[_snake(name)] = _nested(record)
    for name, (record_name, statistics) in STATISTICS.items():
        if record_name in content:
            fields[name] = _statistics(record_of(content, record_name, ArrayRecord), statistics)
    try:
        return _adapter(kind).validate_python(fields)  # type: ignore[arg-type]
    except ValidationError as error:
        mistakes = "; ".join(f"{_where(item['loc'])}: {item['msg']}" for item in error.errors())
        raise refused(f"{kind.__name__}: {mistakes}") from None


@functools.cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    """Made once for each kind: making it takes longer than reading a message."""
    return TypeAdapter(kind)


def _check_head(kind: type[Said], head: dict[str, Any]) -> None:
    version, found = head.pop("protocol-version", None), head.pop("kind", None)
    if version != PROTOCOL_VERSION:
        raise refused(f"the other side speaks protocol {version!r:.20}, this one {PROTOCOL_VERSION}; update the older")
    if found != kind.__name__:
        raise refused(f"expected a {kind.__name__}, found a {found!r:.40}")


def _flat(mapping: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in ((str(key), value) for key, value in mapping.items()):
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from ((f"{key}.{kebab(name)}", item) for name, item in dataclasses.asdict(value).items())
        else:
            yield key, value


def _nested(record: ConfigRecord) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in record.items():
        outer, dot, inner = key.partition(".")
        if not dot:
            nested[key] = value
        elif isinstance(target := nested.setdefault(outer, {}), dict):
            target[_snake(inner)] = value
    return nested


def _statistics_arrays(
    by_key: Mapping[Any, ScoreStatistics | DetectionStatistics],
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    for key, statistics in by_key.items():
        yield from ((f"{key}/{name}", values) for name, values in statistics.to_arrays().items())


def _statistics(
    record: ArrayRecord, kind: type[ScoreStatistics] | type[DetectionStatistics]
) -> dict[str, ScoreStatistics | DetectionStatistics]:
    names = {key.rpartition("/")[0] for key in record}
    if len(names) > len(SUBGROUPS):
        raise refused(f"statistics of {len(names)} scores or subgroups; there are {len(SUBGROUPS)} at most")
    by_key: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for place, values in decode_state(record).items():
        key, _, name = place.rpartition("/")
        by_key.setdefault(key, {})[name] = values
    return {key: kind.from_arrays(arrays) for key, arrays in by_key.items()}


def _snake(name: str) -> str:
    return name.replace("-", "_")


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(shown(kebab(str(part))) for part in location) or MESSAGE
