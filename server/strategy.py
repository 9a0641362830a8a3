"""Who is asked what in a round, and what becomes of the answers: Flower's four hooks, and nothing else.

A reply that cannot be used leaves its own site out of the round, by name and with the reason; the round goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedlung.config import RunConfig
from fedlung.errors import ProtocolError
from fedlung.evaluation.scores import MODEL
from fedlung.protocol import (
    EVALUATE,
    TRAIN,
    EvaluateReply,
    EvaluateTask,
    SiteLedger,
    State,
    TrainReply,
    TrainTask,
    decode,
    decode_state,
    decode_weights,
    encode,
    encode_state,
)
from fedlung.training.schedule import learning_rate_at
from server.aggregation import Update, aggregate
from server.exchange import hear
from server.preparation import plausible_examples, training_sites
from server.rollcall import Roster

FINAL = ConfigRecord({"final": True})  # for configure_evaluate: the judgement, not the learning curve

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """The training half of a round.

    ``shares`` are the sites' weights in the aggregate, by name; ``is_committed`` is False where fewer sites than
    ``federation.min-sites`` gave a valid update, so that the model stayed as it was.
    """

    server_round: int
    learning_rate: float
    replies: dict[str, TrainReply] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    is_committed: bool = False


@dataclass(frozen=True)
class Evaluation:
    """The evaluation half of a round: replies and who gave none, by site."""

    server_round: int
    replies: dict[str, EvaluateReply] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


class FedAvg(Strategy):
    """Federated averaging (McMahan et al. 2017, algorithm 1) with every source site in every round.

    ``ledgers`` are those of all sites that prepared their data; the class counts of the loss are summed over the source
    sites among them. ``training`` and ``evaluation`` are the outcomes of the hooks that were called last.
    """

    def __init__(self, config: RunConfig, roster: Roster, ledgers: Mapping[str, SiteLedger]) -> None:
        self.config = config
        self.roster = roster
        self.ledgers = ledgers
        self.training = Training(0, 0.0)
        self.evaluation = Evaluation(0)
        self.asked: dict[str, Message] = {}
        self._current: State = {}
        self._tasks: dict[str, EvaluateTask] = {}

    @property
    def proximal_mu(self) -> float:
        """Strength of the proximal term of local training; none here."""
        return 0.0

    @property
    def sources(self) -> tuple[str, ...]:
        """Source sites with something to train on."""
        return training_sites(self.ledgers, self.roster)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """One task for all source sites: the weights, the round's learning rate, the counts of both classes."""
        self._current = decode_state(arrays)
        splits = [self.ledgers[site].splits["train"] for site in self.sources]
        task = TrainTask(
            server_round=server_round,
            learning_rate=learning_rate_at(self.config, server_round),
            num_negative=sum(split.num_negative for split in splits),
            num_positive=sum(split.num_positive for split in splits),
            proximal_mu=self.proximal_mu,
        )
        self.training = Training(server_round, task.learning_rate)
        content = encode(task, weights=arrays)
        return self._ask({site: content for site in self.sources}, TRAIN, server_round)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The mean of the valid updates; (None, None) below the quorum, so that the weights stay as they were."""
        answers, absent = hear(self.asked, replies, partial(self._train_reply, server_round))
        heard = {site: reply for site, (reply, _) in answers.items()}
        updates = [Update(site, reply.num_examples, partial(decode_weights, c)) for site, (reply, c) in answers.items()]
        merged = aggregate(updates, self._current)
        absent |= merged.refused
        if merged.state is None or len(merged.num_examples) < self.config.federation.min_sites:
            self.training = replace(self.training, replies=heard, absent=absent)
            return None, None
        total = sum(merged.num_examples.values())
        shares = {site: number / total for site, number in merged.num_examples.items()}
        self.training = replace(self.training, replies=heard, absent=absent, shares=shares, is_committed=True)
        loss = sum(share * heard[site].loss for site, share in shares.items())
        return encode_state(merged.state), MetricRecord({"num-sites": len(shares), "num-examples": total, "loss": loss})

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """With ``FINAL``: "test" with replicates everywhere. Else "validation" at sources, and "test" at the held-out.

        The latter draws the held-out site's learning curve. Nothing is chosen by it.
        """
        if config.get("final"):
            test = EvaluateTask(server_round, "test", self.config.evaluate.replicates)
            tasks = dict.fromkeys(self.roster.present, test)
        else:
            tasks = dict.fromkeys(self.roster.sources, EvaluateTask(server_round, "validation"))
            tasks |= dict.fromkeys(self.roster.held_out, EvaluateTask(server_round, "test"))
        self._tasks = {site: task for site, task in tasks.items() if self._has_examples(site, task.split)}
        self.evaluation = Evaluation(server_round)
        contents = {site: encode(task, weights=arrays) for site, task in self._tasks.items()}
        return self._ask(contents, EVALUATE, server_round)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Keeps each site's statistics; they are merged where they are judged."""
        heard, absent = hear(self.asked, replies, self._evaluate_reply)
        self.evaluation = Evaluation(server_round, heard, absent)
        return MetricRecord({"num-sites": len(heard)})

    def summary(self) -> None:
        """One line for the log."""
        held_out = ", ".join(self.roster.held_out) or "nobody"
        logger.info("%s: %s train, %s held out", type(self).__name__, ", ".join(self.sources), held_out)

    def _has_examples(self, site: str, split: str) -> bool:
        return site in self.ledgers and self.ledgers[site].num_examples(split) > 0

    def _ask(self, contents: Mapping[str, RecordDict], message_type: str, server_round: int) -> list[Message]:
        # The message dies with its round: a site that comes back late finds no stale work waiting.
        ttl_s = self.config.federation.round_timeout_s
        self.asked = {
            site: Message(content, self.roster.node_ids[site], message_type, ttl=ttl_s, group_id=str(server_round))
            for site, content in contents.items()
        }
        return list(self.asked.values())

    def _train_reply(self, server_round: int, site: str, content: RecordDict) -> tuple[TrainReply, RecordDict]:
        reply = decode(TrainReply, content)
        if (reply.site, reply.server_round) != (site, server_round):
            raise ProtocolError(f"{site} answered for another site or round")
        fewest, most = plausible_examples(self.ledgers[site], self.config)
        if not fewest <= reply.num_examples <= most:
            told = self.ledgers[site].num_examples("train")
            raise ProtocolError(
                f"{site} says that it trained on {reply.num_examples} examples and has {told} training examples in its "
                f"ledger ({fewest} to {most} are possible); its update was left out of this round"
            )
        return reply, content

    def _evaluate_reply(self, site: str, content: RecordDict) -> EvaluateReply:
        reply, task = decode(EvaluateReply, content), self._tasks[site]
        if (reply.site, reply.server_round, reply.split) != (site, task.server_round, task.split):
            raise ProtocolError(f"{site} answered for another site, round or split")
        wrong = [name for name, score in reply.scores.items() if score.num_replicates != task.num_replicates]
        if MODEL not in reply.scores or wrong:
            raise ProtocolError(f"{site}: expected scores of the model, each with {task.num_replicates} replicates")
        return reply


class FedProx(FedAvg):
    """FedAvg with the local objective h_k(w) = F_k(w) + (mu / 2) · ||w - w_t||² (Li et al. 2020, equation 2).

    The norm is squared. The sites add the term; the server only says how strong it is.
    """

    @property
    def proximal_mu(self) -> float:
        """mu, from ``federation.proximal-mu``."""
        return self.config.federation.proximal_mu


STRATEGIES: dict[str, type[FedAvg]] = {"fedavg": FedAvg, "fedprox": FedProx}
