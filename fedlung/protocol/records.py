"""Reading what came in: a record that must be there, a name fit for a log, and how all else is refused."""

from __future__ import annotations

import re
from typing import Any

from flwr.app import RecordDict

from fedlung.errors import ProtocolError


def record_of(content: RecordDict, name: str, kind: type[Any]) -> Any:
    """The record of that name and kind. Raises ProtocolError."""
    record = content.get(name)
    if not isinstance(record, kind):
        raise refused(f"a message without its record {name!r}")
    return record


def shown(name: str) -> str:
    """A name from the other side, made fit for a log."""
    return re.sub(r"[^\w.-]", "?", name)[:60]


def refused(sentence: str) -> ProtocolError:
    """The error of a message that keeps not to the protocol: the whole sentence may leave the machine."""
    return ProtocolError(sentence, public=sentence)
