"""Who is asked what in a round, and what becomes of the answers: Flower's four hooks, and federated averaging.

A reply that cannot be used leaves its own site out of the round, by name and with the reason; the round goes on.
Other algorithms override some of the small methods of ``FedAvg``, and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy.typing as npt
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
    encode,
    encode_state,
    num_bytes,
    take_weights,
)
from fedlung.training.schedule import learning_rate_at
from server.aggregation import MeanOfFew, Merged, Merging, Weigh, checked, fitting, mean_for
from server.exchange import hear
from server.preparation import plausible_examples, training_sites
from server.rollcall import Roster

FINAL = ConfigRecord({"final": True})  # for configure_evaluate: the judgement, not the learning curve

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """The training half of a round.

    ``shares`` are the sites' weights in the aggregate, by name, ``num_bytes`` what went to each and came from it;
    ``is_committed`` is False where fewer sites than ``federation.min-sites`` gave a valid update, so that the model
    stayed as it was.
    """

    server_round: int
    learning_rate: float
    replies: dict[str, TrainReply] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    num_bytes: dict[str, int] = field(default_factory=dict)
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
        self.current: State = {}
        self._tasks: dict[str, EvaluateTask] = {}
        self.begin()

    @property
    def sources(self) -> tuple[str, ...]:
        """Source sites that train: those with something to train on, or of them the ones that are to train."""
        chosen = self.config.federation.training_names
        return tuple(site for site in training_sites(self.ledgers, self.roster) if not chosen or site in chosen)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """The weights, the round's learning rate and the counts of both classes, to all source sites."""
        self.current = decode_state(arrays, copy=False)
        splits = [self.ledgers[site].splits["train"] for site in self.sources]
        task = TrainTask(
            server_round=server_round,
            learning_rate=learning_rate_at(self.config, server_round),
            num_negative=sum(split.num_negative for split in splits),
            num_positive=sum(split.num_positive for split in splits),
        )
        self.training = Training(server_round, task.learning_rate)
        contents = {site: self.train_content(site, self.train_task(task), arrays) for site in self.sources}
        self.training.num_bytes.update({site: num_bytes(content) for site, content in contents.items()})
        return self._ask(contents, TRAIN, server_round)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The merged valid updates; (None, None) below the quorum, so that the weights stay as they were."""
        merging = self.merging()
        heard, absent = hear(self.asked, replies, partial(self._take_update, server_round, merging))
        fewest = self.config.federation.min_sites
        merged = merging.merged() if len(heard) >= fewest else Merged(self.current, {})
        heard = {site: reply for site, reply in heard.items() if site not in merged.refused}
        self.training = replace(self.training, replies=heard, absent=dict(sorted((absent | merged.refused).items())))
        if len(heard) < fewest:
            return None, None
        self.training = replace(self.training, shares=merged.shares, is_committed=True)
        total = sum(reply.num_examples for reply in heard.values())
        loss = sum(share * heard[site].loss for site, share in merged.shares.items())
        metrics = MetricRecord({"num-sites": len(heard), "num-examples": total, "loss": loss})
        return encode_state(self.stepped(merged)), metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """With ``FINAL``: "test" with replicates everywhere. Else "validation" at sources, and "test" at the held-out.

        The latter draws the held-out site's learning curve, where it is wanted. Nothing is chosen by it.
        """
        if config.get("final"):
            with_detection = self.config.detection.enabled and self.config.task.name == "nodule"
            test = EvaluateTask(
                server_round,
                "test",
                self.config.evaluate.replicates,
                with_subgroups=True,
                with_detection=with_detection,
            )
            tasks = dict.fromkeys(self.roster.present, test)
        else:
            tasks = dict.fromkeys(self.roster.sources, EvaluateTask(server_round, "validation"))
            if self.config.evaluate.held_out_curve:
                tasks |= dict.fromkeys(self.roster.held_out, EvaluateTask(server_round, "test"))
        self._tasks = {site: task for site, task in tasks.items() if self._has_examples(site, task.split)}
        self.evaluation = Evaluation(server_round)
        contents = {site: self.evaluate_content(site, task, arrays) for site, task in self._tasks.items()}
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
            for site, content in sorted(contents.items())
        }
        return list(self.asked.values())

    # --- what other algorithms do otherwise ------------------------------------------------------

    def begin(self) -> None:
        """Set up what the algorithm carries from round to round."""

    def train_task(self, task: TrainTask) -> TrainTask:
        """The task of a round, with what the algorithm asks of local training."""
        return task

    def train_content(self, site: str, task: TrainTask, arrays: ArrayRecord) -> RecordDict:
        """The message to one site."""
        return encode(task, weights=self.weights_for(site, arrays))

    def evaluate_content(self, site: str, task: EvaluateTask, arrays: ArrayRecord) -> RecordDict:
        """The message that asks a site to judge."""
        return encode(task, weights=self.weights_for(site, arrays))

    def weights_for(self, site: str, arrays: ArrayRecord) -> ArrayRecord:
        """The weights that a site trains from and is evaluated with."""
        return arrays

    def merging(self) -> Merging:
        """What takes the updates of a round: here their mean, weighted by examples."""
        return self.mean(lambda reply: reply.num_examples)

    def mean(self, weigh: Weigh) -> Merging:
        """What takes the mean of the source sites' updates, weighted so."""
        return mean_for(len(self.sources), self.current, weigh)

    def stepped(self, merged: Merged) -> State:
        """The next state of the model, out of ``current`` and the merged updates."""
        return merged.state

    def check_reply(self, reply: TrainReply) -> None:
        """Raises ProtocolError for an answer that lacks what the algorithm asked for."""

    def memory(self) -> State:
        """What is carried from round to round beside the model, by name; float64 as it is."""
        return {}

    def recall(self, memory: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from what ``memory`` gave after an earlier round."""

    # --- answers ---------------------------------------------------------------------------------

    def _take_update(self, server_round: int, merging: Merging, site: str, content: RecordDict) -> TrainReply:
        """Read one site's answer and merge it, if it may enter the model."""
        reply = self._train_reply(server_round, site, content)
        self.training.num_bytes[site] += num_bytes(content)
        check = fitting if isinstance(merging, MeanOfFew) else checked
        merging.add(reply, check(site, take_weights(content), self.current))
        return reply

    def _train_reply(self, server_round: int, site: str, content: RecordDict) -> TrainReply:
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
        most_steps = self.config.federation.local_epochs * -(-most // self.config.optimizer.batch_size)
        if not 1 <= reply.num_steps <= most_steps:
            raise ProtocolError(
                f"{site} says that it took {reply.num_steps} steps, expected 1 to {most_steps}; its update was left "
                "out of this round"
            )
        self.check_reply(reply)
        return reply

    def _evaluate_reply(self, site: str, content: RecordDict) -> EvaluateReply:
        reply, task = decode(EvaluateReply, content), self._tasks[site]
        if (reply.site, reply.server_round, reply.split) != (site, task.server_round, task.split):
            raise ProtocolError(f"{site} answered for another site, round or split")
        wrong = [name for name, score in reply.scores.items() if score.num_replicates != task.num_replicates]
        if MODEL not in reply.scores or wrong:
            raise ProtocolError(f"{site}: expected scores of the model, each with {task.num_replicates} replicates")
        if (reply.subgroups or reply.withheld) and not task.with_subgroups:
            raise ProtocolError(f"{site} told of subgroups and was not asked for any")
        whole = reply.scores[MODEL]
        _check_detection(site, reply, task, self.ledgers[site])
        if wrong_parts := [str(key) for key, part in reply.subgroups.items() if not part.is_part_of(whole)]:
            raise ProtocolError(f"{site}: {', '.join(wrong_parts)} are no parts of its examples")
        return reply


def _check_detection(site: str, reply: EvaluateReply, task: EvaluateTask, ledger: SiteLedger) -> None:
    """Raises ProtocolError unless a site that was asked for detections, and no other, told of them or why not."""
    if not task.with_detection:
        if reply.detection or reply.undetected:
            raise ProtocolError(f"{site} told of detections and was not asked for any")
        return
    if bool(reply.detection) == bool(reply.undetected):
        raise ProtocolError(f"{site}: expected detections or the reason why there are none")
    for found in reply.detection.values():
        if found.num_replicates != task.num_replicates or found.num_scans > ledger.num_prepared:
            most, replicates = ledger.num_prepared, task.num_replicates
            raise ProtocolError(f"{site}: expected detections in {most} scans at most, with {replicates} replicates")
