"""What is kept after every round, so that a run that was stopped goes on with the next one, to the same digits.

    checkpoints/round-0003.safetensors          the weights that were judged; training goes on from them, too, unless
                                                they are a mean (strategy.average-from)
    checkpoints/round-0003.memory.safetensors   what the strategy carries from round to round
    resume/round-0003.replies.safetensors       what the round has brought, for the selection and the judgement
    resume/round-0003.late.safetensors          of a mean: the weights that training goes on from, and its sums

Each file is there whole or not at all, and all of them before the round's line in rounds.jsonl: a round with a line can
be gone on from, one without is done again. Replies are kept in the form in which they came over the wire, and are
checked as they were then when they are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from flwr.app import ConfigRecord, RecordDict

from fedlung.errors import ProtocolError, RunError, StoreError
from fedlung.evaluation.runrecord import RESUME_FOLDER
from fedlung.protocol import EvaluateReply, State, TrainReply, decode, decode_state, encode, encode_state
from fedlung.training.checkpoint import load_checkpoint, save_checkpoint
from server.averaging import LateAverage
from server.evidence import RoundReplies
from server.rundir import RunDir

KINDS = ("training", "validation", "held_out")  # of a round's replies
WEIGHTS, LATE = "weights/", "late/"

R = TypeVar("R", TrainReply, EvaluateReply)
Tensors = dict[str, torch.Tensor]


class KeptReplies(NamedTuple):
    """A round's replies, and the fingerprint of each site's data in that round."""

    replies: RoundReplies
    data_fingerprints: Mapping[str, str]


def replies_path(folder: Path, server_round: int) -> Path:
    """Below a run's folder."""
    return folder / RESUME_FOLDER / f"round-{server_round:04d}.replies.safetensors"


def keep_replies(run: RunDir, kept: KeptReplies) -> None:
    """Write what a round has brought."""
    replies = kept.replies
    contents = {
        f"{kind}/{site}": encode(reply) for kind in KINDS for site, reply in sorted(getattr(replies, kind).items())
    }
    said = {
        "server_round": replies.server_round,
        "learning_rate": replies.learning_rate,
        "weights": dict(replies.weights),
        "num_bytes": dict(replies.num_bytes),
        "data_fingerprints": dict(kept.data_fingerprints),
        "replies": {place: _heads(content) for place, content in contents.items()},
    }
    tensors = {name: tensor for place, content in contents.items() for name, tensor in _tensors(place, content)}
    save_checkpoint(replies_path(run.folder, replies.server_round), tensors, said)


def load_replies(run: RunDir, server_round: int) -> KeptReplies:
    """What ``keep_replies`` wrote. Raises RunError where it is absent, damaged or of another protocol."""
    try:
        tensors, said = load_checkpoint(replies_path(run.folder, server_round))
        contents = {place: _content(place, heads, tensors) for place, heads in said["replies"].items()}
        replies = RoundReplies(
            server_round=said["server_round"],
            learning_rate=said["learning_rate"],
            training=_decoded("training", TrainReply, contents),
            weights=said["weights"],
            validation=_decoded("validation", EvaluateReply, contents),
            held_out=_decoded("held_out", EvaluateReply, contents),
            num_bytes=said["num_bytes"],
        )
    except (StoreError, ProtocolError) as error:
        raise RunError(
            f"run {run.name} cannot go on: what its round {server_round} has brought cannot be read ({error}). It was "
            "damaged, or made by another version of fedlung. Begin again under another name."
        ) from error
    return KeptReplies(replies, said["data_fingerprints"])


def keep_late(run: RunDir, server_round: int, state: State, late: LateAverage) -> None:
    """Write the weights that training goes on from, where a mean of them is what was judged."""
    carried = {WEIGHTS + name: values for name, values in state.items()}
    carried |= {LATE + name: values for name, values in late.memory().items()}
    tensors = {name: torch.from_numpy(values) for name, values in carried.items()}
    save_checkpoint(_late_path(run, server_round), tensors, {"server_round": server_round})


def load_weights(run: RunDir, server_round: int, late: LateAverage) -> State:
    """The weights that training goes on from after a round; ``late`` is as it was then. Raises StoreError."""
    if not late.begins(server_round):
        tensors = load_checkpoint(run.checkpoint_path(server_round)).state
        return {name: tensor.numpy() for name, tensor in tensors.items()}
    carried = load_checkpoint(_late_path(run, server_round)).state
    late.recall(_below(LATE, carried))
    return _below(WEIGHTS, carried)


def forget_late(run: RunDir, server_round: int) -> None:
    """Once a round that counted has its line, nobody goes on from the weights of those before it."""
    for earlier in range(server_round):
        _late_path(run, earlier).unlink(missing_ok=True)


def _late_path(run: RunDir, server_round: int) -> Path:
    return run.folder / RESUME_FOLDER / f"round-{server_round:04d}.late.safetensors"


def _heads(content: RecordDict) -> dict[str, dict[str, object]]:
    return {name: dict(record) for name, record in content.config_records.items()}


def _tensors(place: str, content: RecordDict) -> Iterator[tuple[str, torch.Tensor]]:
    for name, record in content.array_records.items():
        yield from ((f"{place}/{name}/{key}", torch.from_numpy(values)) for key, values in decode_state(record).items())


def _content(place: str, heads: Mapping[str, Mapping[str, object]], tensors: Tensors) -> RecordDict:
    """The message again: ``place`` is kind/site, and an array's name kind/site/record/name."""
    content = RecordDict({name: ConfigRecord(dict(values)) for name, values in heads.items()})  # type: ignore[arg-type]
    arrays: dict[str, State] = {}
    for name, values in _below(f"{place}/", tensors).items():
        record, _, key = name.partition("/")
        arrays.setdefault(record, {})[key] = values
    for record, state in arrays.items():
        content[record] = encode_state(state)
    return content


def _decoded(kind: str, of: type[R], contents: Mapping[str, RecordDict]) -> dict[str, R]:
    """The replies of one kind, by site."""
    own = {place.partition("/"): content for place, content in contents.items()}
    return {site: decode(of, content) for (of_kind, _, site), content in own.items() if of_kind == kind}


def _below(prefix: str, tensors: Tensors) -> State:
    return {name.removeprefix(prefix): t.numpy() for name, t in tensors.items() if name.startswith(prefix)}
