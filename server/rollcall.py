"""Who is there: sites by the names on their cards, until all that are expected have answered or time is up."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flwr.app import Message
from flwr.serverapp import Grid

from fedlung.config import RunConfig
from fedlung.errors import ProtocolError, RunError
from fedlung.evaluation.judgement import Absence
from fedlung.protocol import ROLL_CALL, RollCall, SiteCard, decode, encode, failure_of

POLL_S = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Roster:
    """The sites of a run. ``sources`` train; ``held_out`` are only ever evaluated; ``missing`` were expected.

    ``absences`` has a row for each site that is missing, and for each one that came and was not taken.
    """

    cards: Mapping[str, SiteCard]
    node_ids: Mapping[str, int]
    sources: tuple[str, ...]
    held_out: tuple[str, ...]
    missing: tuple[str, ...]
    absences: tuple[Absence, ...]

    @property
    def present(self) -> tuple[str, ...]:
        return tuple(sorted(self.cards))

    @property
    def synthetic(self) -> bool:
        """Whether any site's data are synthetic: one is enough to call the run so."""
        return any(card.synthetic for card in self.cards.values())


@dataclass
class RollCallState:
    """What is known so far: messages by id, cards and failures by node."""

    asked: dict[str, int] = field(default_factory=dict)
    cards: dict[int, SiteCard] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)  # under which a deployed node was registered

    @property
    def replied(self) -> set[int]:
        return self.cards.keys() | self.failures.keys()

    def is_complete(self, expected: tuple[str, ...]) -> bool:
        """Whether there is nothing left to wait for.

        That is when all expected sites are here, or all sites of a simulation (which starts with all that it will
        ever have), or, where no names were given, all that are connected.
        """
        here = {card.site for card in self.cards.values()}
        if expected and here >= set(expected):
            return True
        everyone = bool(self.asked) and self.replied >= set(self.asked.values())
        num_simulated = max((card.num_simulated for card in self.cards.values()), default=0)
        return everyone and bool(here) and (not expected or 0 < num_simulated <= len(self.replied))


def roll_call(grid: Grid, config: RunConfig) -> Roster:
    """Ask every node that connects who it is. Raises RunError when no source site is there at the deadline."""
    state, expected = RollCallState(), config.federation.site_names
    timeout_s = config.federation.roll_call_timeout_s
    deadline = time.monotonic() + timeout_s
    logger.info("roll call: waiting up to %.0f s for %s", timeout_s, ", ".join(expected) or "whoever is there")
    while True:
        _ask_new_nodes(grid, config, state)
        _hear_replies(grid, state)
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0 or state.is_complete(expected):
            break
        time.sleep(min(POLL_S, remaining_s))
    roster = make_roster(state, config)
    logger.info("roll call: %s present, %s missing", ", ".join(roster.present), ", ".join(roster.missing) or "nobody")
    return roster


def _ask_new_nodes(grid: Grid, config: RunConfig, state: RollCallState) -> None:
    known = set(state.asked.values())
    messages = []
    for node in grid.get_nodes():
        if node.node_id not in known:
            state.names[node.node_id] = node.name
            content = encode(RollCall(run_fingerprint=config.fingerprint()))
            messages.append(Message(content, node.node_id, ROLL_CALL, ttl=config.federation.roll_call_timeout_s))
    if messages:
        grid.push_messages(messages)
        state.asked |= {message.metadata.message_id: message.metadata.dst_node_id for message in messages}


def _hear_replies(grid: Grid, state: RollCallState) -> None:
    waiting = [message_id for message_id, node_id in state.asked.items() if node_id not in state.replied]
    for reply in grid.pull_messages(waiting) if waiting else ():
        node_id = state.asked[reply.metadata.reply_to_message_id]
        try:
            if reply.has_error():
                state.failures[node_id] = failure_of(reply.error.code, reply.error.reason)
            else:
                state.cards[node_id] = decode(SiteCard, reply.content)
        except ProtocolError as error:
            state.failures[node_id] = str(error)


def make_roster(state: RollCallState, config: RunConfig) -> Roster:
    """Cards to sites. A name that two nodes give is refused to both: nothing says which of them is the site."""
    expected, held_out = config.federation.site_names, config.federation.held_out_names
    refused = _refused(state, expected)
    taken = {card.site: node_id for node_id, card in sorted(state.cards.items()) if node_id not in refused}
    cards = {site: state.cards[node_id] for site, node_id in sorted(taken.items())}
    missing = tuple(site for site in expected if site not in cards)
    absences = [_absence(_name(state, node_id), reason) for node_id, reason in sorted(refused.items())]
    absences += [_absence(_name(state, node_id), said) for node_id, said in sorted(state.failures.items())]
    named = {row.site for row in absences}
    absences += [_absence(site, "did not answer the roll call") for site in missing if site not in named]
    sources = tuple(site for site in cards if site not in held_out)
    if not sources:
        rows = "; ".join(f"{row.site}: {row.reason}" for row in absences) or "no node is connected"
        raise RunError(
            f"no source site answered the roll call within {config.federation.roll_call_timeout_s:g} s ({rows}). "
            "Start the sites, check their names against federation.sites, or raise federation.roll-call-timeout-s."
        )
    check_quorum(sources, config, "that answered the roll call", absences)
    return Roster(cards, taken, sources, tuple(s for s in cards if s in held_out), missing, tuple(absences))


def check_quorum(sources: Sequence[str], config: RunConfig, which: str, absences: Sequence[Absence] = ()) -> None:
    """Raises RunError where fewer sources are left than a round needs to count: none ever would."""
    if len(sources) >= config.federation.min_sites:
        return
    rows = "".join(f"; {row.site}: {row.reason}" for row in absences)
    raise RunError(
        f"federation.min-sites is {config.federation.min_sites}, and the source sites {which} are {len(sources)} "
        f"({', '.join(sources)}{rows}): no round could count. Bring the others, or lower federation.min-sites."
    )


def _refused(state: RollCallState, expected: tuple[str, ...]) -> dict[int, str]:
    refused = {}
    for node_id, card in state.cards.items():
        if state.names.get(node_id, "") not in ("", card.site):
            refused[node_id] = f"calls itself {card.site}, and is registered under another name"
    count = Counter(card.site for node_id, card in state.cards.items() if node_id not in refused)
    for node_id, card in state.cards.items():
        if node_id not in refused and count[card.site] > 1:
            refused[node_id] = f"{count[card.site]} nodes call themselves {card.site}; all of them were refused"
        elif node_id not in refused and expected and card.site not in expected:
            refused[node_id] = "is not in federation.sites"
    return refused


def _absence(site: str, reason: str) -> Absence:
    return Absence(site=site, stage="roll-call", reason=reason)


def _name(state: RollCallState, node_id: int) -> str:
    """What to call a node in a report: its registered name, its card's, or that it has none."""
    card = state.cards.get(node_id)
    return state.names.get(node_id) or (card.site if card else "a node without a name")
