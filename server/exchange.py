"""Saying something to named sites, and knowing whose answer is whose.

A reply is known by the message that it answers, never by the node it says it is from: when a site cannot be reached,
Flower's own node answers in its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedlung.errors import ProtocolError, UpdateError
from fedlung.protocol import failure_of

POLL_S = 0.2  # Flower's own send_and_receive looks every 3 s, which a small model waits for in every round

R = TypeVar("R")


def replies(grid: Grid, messages: Iterable[Message], *, timeout_s: float) -> Iterator[Message]:
    """Send the messages and give each reply as it comes, until all are there or the time is over."""
    sent = list(messages)
    grid.push_messages(sent)
    waiting = {message.metadata.message_id for message in sent}
    deadline = time.monotonic() + timeout_s
    while waiting:
        for reply in grid.pull_messages(sorted(waiting)):
            waiting.discard(reply.metadata.reply_to_message_id)
            yield reply
        remaining_s = deadline - time.monotonic()
        if not waiting or remaining_s <= 0:
            return
        time.sleep(min(POLL_S, remaining_s))


def replies_in_order(grid: Grid, messages: Iterable[Message], *, timeout_s: float) -> Iterator[Message]:
    """The same in the order of the messages, fetched one by one: the others wait with Flower, not in this process."""
    sent = list(messages)
    grid.push_messages(sent)
    deadline = time.monotonic() + timeout_s
    for message in sent:
        yield from _awaited(grid, message, deadline)


def _awaited(grid: Grid, message: Message, deadline: float) -> Iterator[Message]:
    """The reply to one message, if it is there by the deadline."""
    while True:
        if found := list(grid.pull_messages([message.metadata.message_id])):
            yield found[0]
            return
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            return
        time.sleep(min(POLL_S, remaining_s))


def hear(
    asked: Mapping[str, Message], answers: Iterable[Message], read: Callable[[str, RecordDict], R]
) -> tuple[dict[str, R], dict[str, str]]:
    """What ``read(site, content)`` makes of each site's answer, and why there is none from the others; by site, sorted.

    A ProtocolError or UpdateError of ``read`` is such a reason. Each answer is read when it comes.
    """
    heard, absent = {}, {}
    for site, reply in _named(asked, answers):
        try:
            heard[site] = read(site, _content(reply))
        except (ProtocolError, UpdateError) as error:
            absent[site] = str(error)
    return dict(sorted(heard.items())), dict(sorted(absent.items()))


def _named(asked: Mapping[str, Message], answers: Iterable[Message]) -> Iterator[tuple[str, Message | None]]:
    """Each site with its reply, and at the end those without one. Of several replies to a message the first counts."""
    waiting: dict[str, str] | None = None
    for reply in answers:
        # Message ids are given when the messages are sent, which is when the first reply is asked for.
        waiting = _sites_by_message(asked) if waiting is None else waiting
        site = waiting.pop(reply.metadata.reply_to_message_id, None)
        if site is not None:
            yield site, reply
    for site in (_sites_by_message(asked) if waiting is None else waiting).values():
        yield site, None


def _sites_by_message(asked: Mapping[str, Message]) -> dict[str, str]:
    return {message.metadata.message_id: site for site, message in asked.items()}


def _content(reply: Message | None) -> RecordDict:
    if reply is None:
        raise ProtocolError("no answer in time")
    if reply.has_error():
        raise ProtocolError(failure_of(reply.error.code, reply.error.reason))
    return reply.content
