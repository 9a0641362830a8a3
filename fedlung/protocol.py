"""What is said over the wire, and how it is put into Flower's records. Nothing else crosses it.

    query.roll_call   RollCall          -> SiteCard           who is there
    query.prepare     PrepareTask       -> SiteLedger         CT to cases; what was left out, and the class counts
    train             TrainTask + w     -> TrainReply + w     one round of local training
    evaluate          EvaluateTask + w  -> EvaluateReply      statistics of the scores on one split

A site is known by the name on its card. The node id that Flower gives it is the address of a message, never a name.

In a leave-one-site-out run each of the server's messages also names its fold; what the fold asks of a site, the site
works out from its own copy of the run's configuration.

A message is one ``ConfigRecord`` ("message") with its kind, the protocol's version and its scalars; a mapping is a
``ConfigRecord`` of its own, named after its field; weights and statistics are ``ArrayRecord``s. Every value that comes
in is checked against the type and the bounds that its field declares here: neither side trusts the other.
"""

from __future__ import annotations

import dataclasses
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from pydantic import BeforeValidator, ConfigDict, Field, InstanceOf, TypeAdapter, ValidationError

from fedlung.errors import NOT_PUBLIC, FedlungError, ProtocolError
from fedlung.evaluation.detection.statistics import DetectionStatistics
from fedlung.evaluation.standardised import SubgroupKey
from fedlung.evaluation.statistics import ScoreStatistics
from fedlung.evaluation.subgroups import SUBGROUPS, Reason
from fedlung.names import SiteName, kebab

PROTOCOL_VERSION = 2

ROLL_CALL = "query.roll_call"
PREPARE = "query.prepare"
TRAIN = "train"
EVALUATE = "evaluate"

FAILURE, FAILURE_END = "[fedlung site] ", " [end]"
FLOWER_FAILURES = {  # flwr.common.constant.ErrorCode
    1: "its ClientApp could not be loaded",
    2: "its ClientApp raised an exception",
    3: "the message had expired",
    4: "its reply had expired",
    5: "the site could not be reached",
    7: "it refused the app's bundle",
    8: "its ClientApp stopped responding",
}

FOLD, MEMBER = "fold", "member-"
MOST_MEMBERS = 100  # of an ensemble: a site holds all of them at once
START_LOSS, VALIDATION_LOSS = "start", "validation"
# Fields that are records of arrays, by their names there.
STATISTICS: dict[str, tuple[str, type[ScoreStatistics] | type[DetectionStatistics]]] = {
    "scores": ("statistics", ScoreStatistics),
    "subgroups": ("subgroups", ScoreStatistics),
    "detection": ("detection", DetectionStatistics),
}
MOST = 10**9  # examples, series or steps that one site can truly have

Word = Annotated[str, Field(strict=True, pattern=r"^[\w .:()+/-]{1,80}$")]
Code = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Split = Annotated[str, Field(strict=True, pattern=r"^(train|validation|test)$")]
Hex = Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{8,64}$")]
Count = Annotated[int, Field(strict=True, ge=0, le=MOST)]
Round = Annotated[int, Field(strict=True, ge=0, le=100_000)]
Flag = Annotated[bool, Field(strict=True)]
NotNegative = Annotated[float, Field(strict=True, ge=0.0, allow_inf_nan=False)]

_SUBGROUP_BY_NAME = {str(key): key for key in SUBGROUPS}
Subgroup = Annotated[InstanceOf[SubgroupKey], BeforeValidator(lambda said: _SUBGROUP_BY_NAME.get(str(said)))]

DETECTION = "scans"
DetectionName = Annotated[str, Field(strict=True, pattern=f"^{DETECTION}$")]
Undetected = Literal["", "no-scans", "few-patients", "scores-not-finite", "search-failed"]

State = dict[str, npt.NDArray[Any]]  # a model's state by parameter name


class Said:
    """Whatever crosses the wire: nothing that is not declared, and no type that has to be converted first."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class RollCall(Said):
    """The server's question who is there."""

    run_fingerprint: Hex


@dataclass(frozen=True)
class SiteCard(Said):
    """A site's answer to the roll call."""

    site: SiteName
    synthetic: Flag
    source: Annotated[str, Field(strict=True, pattern=r"^(dicom|archive)$")]
    device: Word  # "cpu" or the GPU's model
    versions: Mapping[Code, Word]
    num_simulated: Count = 0  # sites of the simulation that this one is part of; 0: a real site


@dataclass(frozen=True)
class PrepareTask(Said):
    """Fill the case store and say what there is. ``held_out``: the site's patients are all test."""

    held_out: Flag


@dataclass(frozen=True)
class SplitCounts(Said):
    """Examples of one split of one site."""

    num_patients: Count
    num_positive: Count
    num_negative: Count


@dataclass(frozen=True)
class SiteLedger(Said):
    """What a site has, and what it left out and why. Reasons are stable codes, never sentences.

    left_out        series that are no case; with the prepared ones they are all that were declared
    ignored_files   files that are no slices of a series
    unused_nodules  nodules of prepared cases (or cubes) that are no example of the task
    remarks         prepared cases with something odd about them
    """

    site: SiteName
    num_declared: Count  # series found or cubes in the archive
    num_readable: Count
    num_prepared: Count
    left_out: Mapping[Code, Count]
    ignored_files: Mapping[Code, Count]
    unused_nodules: Mapping[Code, Count]
    remarks: Mapping[Code, Count]
    splits: Mapping[Split, SplitCounts]
    data_fingerprint: Hex
    seconds: NotNegative
    synthetic: Flag

    def num_examples(self, split: str) -> int:
        """Examples of both classes; 0 for a split that the ledger has not."""
        counts = self.splits.get(split)
        return counts.num_positive + counts.num_negative if counts else 0


@dataclass(frozen=True)
class TrainTask(Said):
    """One round of local training from the weights that come with it.

    Beside them may travel a ``correction``, which is added to every gradient (SCAFFOLD's c - c_i).
    """

    server_round: Round
    learning_rate: NotNegative
    num_negative: Count  # of all source sites' training examples together
    num_positive: Count
    proximal_mu: NotNegative = 0.0
    report_start_loss: Flag = False
    report_validation_loss: Flag = False


@dataclass(frozen=True)
class TrainReply(Said):
    """What a site reports of its training; its weights travel beside it.

    losses  those that were asked for: START_LOSS, of the weights that came, on the round's training examples with the
            classes' weights; VALIDATION_LOSS, of the weights that go, on the site's validation patients
    """

    site: SiteName
    server_round: Round
    num_examples: Annotated[int, Field(strict=True, ge=1, le=MOST)]
    num_steps: Count
    loss: NotNegative
    seconds: NotNegative
    losses: Mapping[Code, NotNegative] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluateTask(Said):
    """Score one split with the weights that come with it; ``num_replicates`` bootstrap replicates.

    ``with_subgroups``: tell of the subgroups, too; in the final evaluation only, for they are many times as much.
    ``with_detection``: search the split's whole scans for nodules, too.
    """

    server_round: Round
    split: Split
    num_replicates: Annotated[int, Field(strict=True, ge=0, le=10_000)] = 0
    with_subgroups: Flag = False
    with_detection: Flag = False


@dataclass(frozen=True)
class EvaluateReply(Said):
    """Statistics by score: "model"; "size", which needs no network; "adapted" and "rescanned", where a run asks for it.

    subgroups  the model's scores of parts of the same examples, each patient weighted as in the whole
    withheld   subgroups that the site has and does not tell of, and why
    detection  under DETECTION, what was found in the split's whole scans; empty where it was not asked for or failed
    undetected why it failed; else empty
    """

    site: SiteName
    server_round: Round
    split: Split
    loss: NotNegative
    seconds: NotNegative
    scores: Mapping[Code, InstanceOf[ScoreStatistics]]
    subgroups: Mapping[Subgroup, InstanceOf[ScoreStatistics]] = field(default_factory=dict)
    withheld: Mapping[Subgroup, Reason] = field(default_factory=dict)
    detection: Mapping[DetectionName, InstanceOf[DetectionStatistics]] = field(default_factory=dict)
    undetected: Undetected = ""


M = TypeVar("M", bound=Said)


def encode(said: Said, *, weights: ArrayRecord | None = None, correction: ArrayRecord | None = None) -> RecordDict:
    """The records of a message, and of the weights and the correction (of ``encode_state``) that travel with it."""
    fields = {field.name: getattr(said, field.name) for field in dataclasses.fields(said)}  # type: ignore[arg-type]
    statistics = {record: fields.pop(name) for name, (record, _) in STATISTICS.items() if name in fields}
    head: dict[str, Any] = {"kind": type(said).__name__, "protocol-version": PROTOCOL_VERSION}
    mappings = {name: value for name, value in fields.items() if isinstance(value, Mapping)}
    head |= {kebab(name): value for name, value in fields.items() if name not in mappings}
    records: dict[str, Any] = {"message": ConfigRecord(head)}
    for name, mapping in mappings.items():
        records[kebab(name)] = ConfigRecord(dict(_flat(mapping)))
    records |= {record: encode_state(dict(_statistics_arrays(by_name))) for record, by_name in statistics.items()}
    if weights is not None:
        records["weights"] = weights
    if correction is not None:
        records["correction"] = correction
    return RecordDict(records)


def decode(kind: type[M], content: RecordDict) -> M:
    """The message of this kind. Raises ProtocolError, whose whole text may leave the machine."""
    head = dict(_record(content, "message", ConfigRecord))
    _check_head(kind, head)
    fields: dict[str, Any] = {_snake(key): value for key, value in head.items()}
    for name, record in content.config_records.items():
        if name not in ("message", FOLD):
            fields[_snake(name)] = _nested(record)
    for name, (record_name, statistics) in STATISTICS.items():
        if record_name in content:
            fields[name] = _statistics(_record(content, record_name, ArrayRecord), statistics)
    try:
        return TypeAdapter(kind).validate_python(fields)
    except ValidationError as error:
        mistakes = "; ".join(f"{_where(item['loc'])}: {item['msg']}" for item in error.errors())
        raise _refused(f"{kind.__name__}: {mistakes}") from None


def encode_state(state: Mapping[str, npt.NDArray[Any]]) -> ArrayRecord:
    """Arrays by name, sorted and in C order, so that equal content is equal bytes."""
    return ArrayRecord({name: Array(np.asarray(state[name], order="C")) for name in sorted(state)})


def decode_state(record: ArrayRecord, *, copy: bool = True) -> State:
    """The inverse of ``encode_state``; without a copy it can only be read. Raises ProtocolError."""
    state = {name: _array(name, record[name]) for name in sorted(record)}
    return {name: values.copy() for name, values in state.items()} if copy else state


def num_bytes(content: RecordDict) -> int:
    """Bytes of all arrays of a message; its few scalars are not counted."""
    return sum(len(array.data) for record in content.array_records.values() for array in record.values())


def decode_weights(content: RecordDict, *, copy: bool = True) -> State:
    """The weights that came with a message; without a copy they can only be read. Raises ProtocolError."""
    return decode_state(_record(content, "weights", ArrayRecord), copy=copy)


def with_members(content: RecordDict, members: Sequence[ArrayRecord]) -> RecordDict:
    """The message with the weights of further models, to be judged as one ensemble with the first."""
    for number, weights in enumerate(members):
        content[f"{MEMBER}{number:03d}"] = weights
    return content


def decode_members(content: RecordDict) -> list[State]:
    """The weights of all models of an ensemble, mostly of one. Raises ProtocolError."""
    further = sorted(name for name in content.array_records if name.startswith(MEMBER))
    if len(further) >= MOST_MEMBERS:
        raise _refused(f"an ensemble of {len(further) + 1} models; at most {MOST_MEMBERS} are judged together")
    return [decode_weights(content), *(decode_state(content.array_records[name]) for name in further)]


def with_fold(content: RecordDict, fold: str) -> RecordDict:
    """The message as one of that fold."""
    content[FOLD] = ConfigRecord({"name": fold})
    return content


def fold_of(content: RecordDict) -> str:
    """The fold that a message belongs to; empty outside of a leave-one-site-out run. Raises ProtocolError."""
    if FOLD not in content:
        return ""
    name = _record(content, FOLD, ConfigRecord).get("name")
    if not isinstance(name, str) or not name:
        raise _refused("a fold without a name")
    return name


def decode_correction(content: RecordDict) -> State:
    """The correction that came with a message; empty for none. Raises ProtocolError."""
    return decode_state(_record(content, "correction", ArrayRecord)) if "correction" in content else {}


def failure_text(error: Exception) -> str:
    """What a site says of an error of its own: the kind and, of fedlung's errors, the public text. Nothing else."""
    said = error.public if isinstance(error, FedlungError) else NOT_PUBLIC
    return f"{FAILURE}{type(error).__name__}: {said}{FAILURE_END}"


def failure_of(code: int, reason: str | None) -> str:
    """Why a site gave no answer, from Flower's error. Text that the site did not make with ``failure_text`` is dropped.

    Flower sends whatever an exception says, paths included; only what stands between the two marks is fedlung's own.
    """
    _, marked, rest = (reason or "").partition(FAILURE)
    said, ended, _ = rest.partition(FAILURE_END)
    if marked and ended:
        return "".join(character if character.isprintable() else " " for character in said)[:300]
    return FLOWER_FAILURES.get(code, "its ClientApp failed")


def _check_head(kind: type[Said], head: dict[str, Any]) -> None:
    version, found = head.pop("protocol-version", None), head.pop("kind", None)
    if version != PROTOCOL_VERSION:
        raise _refused(f"the other side speaks protocol {version!r:.20}, this one {PROTOCOL_VERSION}; update the older")
    if found != kind.__name__:
        raise _refused(f"expected a {kind.__name__}, found a {found!r:.40}")


def _record(content: RecordDict, name: str, kind: type[Any]) -> Any:
    record = content.get(name)
    if not isinstance(record, kind):
        raise _refused(f"a message without its record {name!r}")
    return record


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
        raise _refused(f"statistics of {len(names)} scores or subgroups; there are {len(SUBGROUPS)} at most")
    by_key: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for place, values in decode_state(record).items():
        key, _, name = place.rpartition("/")
        by_key.setdefault(key, {})[name] = values
    return {key: kind.from_arrays(arrays) for key, arrays in by_key.items()}


def _array(name: str, array: Array) -> npt.NDArray[Any]:
    """The values of one array, over its bytes. Its header is read first: it can promise more memory than there is."""
    stream = io.BytesIO(array.data)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("unknown version")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    except ValueError:
        raise _refused(f"array {_shown(name)} is not in NumPy's form") from None
    promised, brought = math.prod(shape) * dtype.itemsize, len(array.data) - stream.tell()
    if dtype.kind not in "fiu" or fortran_order or min(shape, default=0) < 0 or promised != brought:
        raise _refused(f"array {_shown(name)} promises {promised} bytes of {dtype} and brings {brought}")
    return np.frombuffer(array.data, dtype, offset=stream.tell()).reshape(shape)


def _snake(name: str) -> str:
    return name.replace("-", "_")


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(_shown(kebab(str(part))) for part in location) or "message"


def _shown(name: str) -> str:
    """A name from the other side, made fit for a log."""
    return re.sub(r"[^\w.-]", "?", name)[:60]


def _refused(sentence: str) -> ProtocolError:
    return ProtocolError(sentence, public=sentence)
