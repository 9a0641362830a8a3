"""The rounds: train at the sources, evaluate, keep what was said; then the final evaluation of the chosen round."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

import torch
from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import Grid

from fedlung.config import RunConfig
from fedlung.errors import RunError
from fedlung.evaluation.judgement import Absence
from fedlung.model.networks import build_model
from fedlung.protocol import EvaluateReply, decode_state, encode_state
from fedlung.training.checkpoint import load_checkpoint
from server.averaging import LateAverage
from server.evidence import RoundReplies, curve_point, participation
from server.exchange import replies, replies_in_order
from server.keeping import KeptReplies, forget_late, keep_late, keep_replies, load_weights
from server.rundir import RunDir
from server.strategies import FINAL, FedAvg, Training

MAX_FAILED_ROUNDS = 3  # in a row; a federation in which nobody can train does not heal by waiting
CURVE = ConfigRecord()

logger = logging.getLogger(__name__)


@dataclass
class Course:
    """What the rounds have brought so far, and who was missing in which."""

    rounds: list[RoundReplies] = field(default_factory=list)
    absences: list[Absence] = field(default_factory=list)
    num_committed: int = 0
    num_failed_in_a_row: int = 0

    def take(self, replies: RoundReplies, absences: list[Absence], *, is_committed: bool) -> None:
        """One more round."""
        self.rounds.append(replies)
        self.absences += absences
        self.num_committed += is_committed
        self.num_failed_in_a_row = 0 if is_committed else self.num_failed_in_a_row + 1


def initial_arrays(config: RunConfig) -> ArrayRecord:
    """The weights that everyone starts from: the same for the same seed."""
    state = build_model(config.model, config.seed).state_dict()
    return encode_state({name: tensor.numpy() for name, tensor in state.items()})


def run_rounds(grid: Grid, strategy: FedAvg, run: RunDir, course: Course) -> Course:
    """All rounds of training that ``course`` has not yet, each with its learning curve, its checkpoint and its event.

    A round below the quorum leaves the weights as they were and is recorded. Raises RunError after
    ``MAX_FAILED_ROUNDS`` of them in a row, and where no round at all was committed.
    """
    num_done, late = len(course.rounds), LateAverage(run.config.strategy.average_from)
    strategy.summary()
    arrays = _go_on(strategy, run, num_done, late) if num_done else _begin(run)
    for server_round in range(num_done + 1, run.config.federation.rounds + 1):
        arrays = _round(grid, strategy, run, server_round, arrays, course, late)
        if course.num_failed_in_a_row >= MAX_FAILED_ROUNDS:
            break
    if not course.num_committed or course.num_failed_in_a_row >= MAX_FAILED_ROUNDS:
        raise _below_quorum(course.num_failed_in_a_row, run.config.federation.min_sites, strategy.training)
    return course


def final_evaluation(
    grid: Grid, strategy: FedAvg, run: RunDir, server_round: int
) -> tuple[dict[str, EvaluateReply], list[Absence]]:
    """Every site's test statistics with the weights of ``server_round``, and a row for each site without them."""
    state = load_checkpoint(run.checkpoint_path(server_round)).state
    _recall(strategy, run, server_round)
    arrays = encode_state({name: tensor.numpy() for name, tensor in state.items()})
    return judged(grid, strategy, server_round, arrays)


def judged(
    grid: Grid, strategy: FedAvg, server_round: int, arrays: ArrayRecord
) -> tuple[dict[str, EvaluateReply], list[Absence]]:
    """Every site's test statistics with these weights, and a row for each site without them."""
    evaluate(grid, strategy, server_round, arrays, FINAL)
    return strategy.evaluation.replies, _absences("final evaluation", strategy.evaluation.absent)


def save(run: RunDir, server_round: int, arrays: ArrayRecord) -> None:
    """Keep the weights as a checkpoint of the run."""
    state = decode_state(arrays)
    run.save_checkpoint(server_round, {name: torch.from_numpy(values) for name, values in state.items()})


def _begin(run: RunDir) -> ArrayRecord:
    """What everyone starts from."""
    arrays = initial_arrays(run.config)
    save(run, 0, arrays)
    return arrays


def _go_on(strategy: FedAvg, run: RunDir, server_round: int, late: LateAverage) -> ArrayRecord:
    """The weights after a round of an earlier process; strategy and mean are as they were then."""
    _recall(strategy, run, server_round)
    return encode_state(load_weights(run, server_round, late))


def _recall(strategy: FedAvg, run: RunDir, server_round: int) -> None:
    strategy.recall({name: tensor.numpy() for name, tensor in run.load_memory(server_round).items()})


def _round(
    grid: Grid,
    strategy: FedAvg,
    run: RunDir,
    server_round: int,
    arrays: ArrayRecord,
    course: Course,
    late: LateAverage,
) -> ArrayRecord:
    """One round; gives the weights after it, from which the next one goes on."""
    started = time.monotonic()
    timeout_s = run.config.federation.round_timeout_s
    messages = strategy.configure_train(server_round, arrays, CURVE, grid)
    merged, _ = strategy.aggregate_train(server_round, replies_in_order(grid, messages, timeout_s=timeout_s))
    arrays = merged or arrays
    shown = encode_state(late.take(decode_state(arrays))) if late.begins(server_round) else arrays
    save(run, server_round, shown)
    evaluate(grid, strategy, server_round, shown, CURVE)
    seconds, result, absences = time.monotonic() - started, round_replies(strategy), _round_absences(strategy)
    course.take(result, absences, is_committed=strategy.training.is_committed)
    # ORDER: the line is last. It says that the round can be gone on from.
    _keep(strategy, run, arrays, late, result)
    _record(run, result, absences, is_committed=strategy.training.is_committed, seconds=seconds)
    if strategy.training.is_committed:
        forget_late(run, server_round)
    _log(result, absences, num_rounds=run.config.federation.rounds, seconds=seconds)
    return arrays


def _keep(strategy: FedAvg, run: RunDir, arrays: ArrayRecord, late: LateAverage, replies: RoundReplies) -> None:
    """Everything that the next round, the selection and the judgement need, on the disk."""
    number, memory = replies.server_round, strategy.memory()
    run.save_memory(number, {name: torch.from_numpy(values) for name, values in memory.items()})
    if late.begins(number):
        keep_late(run, number, decode_state(arrays), late)
    fingerprints = {site: ledger.data_fingerprint for site, ledger in strategy.ledgers.items()}
    keep_replies(run, KeptReplies(replies, fingerprints))


def evaluate(grid: Grid, strategy: FedAvg, server_round: int, arrays: ArrayRecord, config: ConfigRecord) -> None:
    """Ask the sites to judge these weights; the answers are in ``strategy.evaluation``."""
    messages = strategy.configure_evaluate(server_round, arrays, config, grid)
    timeout_s = strategy.config.federation.round_timeout_s
    strategy.aggregate_evaluate(server_round, replies(grid, messages, timeout_s=timeout_s))


def round_replies(strategy: FedAvg) -> RoundReplies:
    """What the strategy's hooks have left behind."""
    training, evaluation, held_out = strategy.training, strategy.evaluation, strategy.roster.held_out
    return RoundReplies(
        server_round=training.server_round,
        learning_rate=training.learning_rate,
        training=training.replies,
        weights=training.shares,
        num_bytes=training.num_bytes,
        validation={site: reply for site, reply in evaluation.replies.items() if site not in held_out},
        held_out={site: reply for site, reply in evaluation.replies.items() if site in held_out},
    )


def _round_absences(strategy: FedAvg) -> list[Absence]:
    number = strategy.training.server_round
    return [
        *_absences(f"round {number}, training", strategy.training.absent),
        *_absences(f"round {number}, evaluation", strategy.evaluation.absent),
    ]


def _record(run: RunDir, replies: RoundReplies, absences: list[Absence], *, is_committed: bool, seconds: float) -> None:
    """The round as an event of the run."""
    run.append(
        "round",
        round=replies.server_round,
        committed=is_committed,
        seconds=seconds,
        curve=curve_point(replies).model_dump(mode="json"),
        participation=[row.model_dump(mode="json") for row in participation(replies)],
        absences=[row.model_dump(mode="json") for row in absences],
    )


def _log(replies: RoundReplies, absences: list[Absence], *, num_rounds: int, seconds: float) -> None:
    """The round as a line, and one for each site that is missing."""
    mean_auc = curve_point(replies).mean_validation_auc
    logger.info(
        "round %d of %d: %s trained, mean validation AUC %s, %.1f s",
        replies.server_round,
        num_rounds,
        ", ".join(replies.weights) or "nobody",
        "undefined" if mean_auc is None else f"{mean_auc:.3f}",
        seconds,
    )
    for row in absences:
        logger.warning("%s: %s is missing: %s", row.stage, row.site, row.reason)


def _absences(stage: str, absent: dict[str, str]) -> list[Absence]:
    return [Absence(site=site, stage=stage, reason=reason) for site, reason in sorted(absent.items())]


def _below_quorum(num_rounds: int, min_sites: int, training: Training) -> RunError:
    """Why the run ends: what the last of the rounds that did not count lacked."""
    rounds = "1 round" if num_rounds == 1 else f"{num_rounds} rounds in a row"
    rows = "; ".join(f"{site}: {reason}" for site, reason in sorted(training.absent.items()))
    return RunError(
        f"{rounds} had fewer valid updates than federation.min-sites ({min_sites}). In the last, "
        f"{len(training.replies)} sites answered; missing or refused: {rows or 'nobody'}. Mend these sites, or lower "
        "federation.min-sites."
    )
