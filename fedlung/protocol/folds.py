"""The fold that a message belongs to, in a leave-one-site-out run."""

from __future__ import annotations

from flwr.app import ConfigRecord, RecordDict

from fedlung.protocol.records import record_of, refused

FOLD = "fold"


def with_fold(content: RecordDict, fold: str) -> RecordDict:
    """The message as one of that fold."""
    content[FOLD] = ConfigRecord({"name": fold})
    return content


def fold_of(content: RecordDict) -> str:
    """The fold that a message belongs to; empty outside of a leave-one-site-out run. Raises ProtocolError."""
    if FOLD not in content:
        return ""
    name = record_of(content, FOLD, ConfigRecord).get("name")
    if not isinstance(name, str) or not name:
        raise refused("a fold without a name")
    return name
