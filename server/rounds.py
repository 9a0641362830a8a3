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
from server.exchange import replies
from server.generalization import RoundReplies, curve_point, participation
from server.rundir import RunDir
from server.strategy import FINAL, FedAvg

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


def initial_arrays(config: RunConfig) -> ArrayRecord:
    """The weights that everyone starts from: the same for the same seed."""
    state = build_model(config.model, config.seed).state_dict()
    return encode_state({name: tensor.numpy() for name, tensor in state.items()})


def run_rounds(grid: Grid, strategy: FedAvg, run: RunDir) -> Course:
    """All rounds of training, each with its learning-curve evaluation, its checkpoint and its event.

    A round below the quorum leaves the weights as they were and is recorded. Raises RunError after
    ``MAX_FAILED_ROUNDS`` of them in a row, and where no round at all was committed.
    """
    arrays, course = initial_arrays(run.config), Course()
    strategy.summary()
    save(run, 0, arrays)
    for server_round in range(1, run.config.federation.rounds + 1):
        arrays = _round(grid, strategy, run, server_round, arrays, course)
        if course.num_failed_in_a_row >= MAX_FAILED_ROUNDS:
            break
    if not course.num_committed or course.num_failed_in_a_row >= MAX_FAILED_ROUNDS:
        raise RunError(
            f"{course.num_failed_in_a_row} rounds in a row had fewer valid updates than federation.min-sites "
            f"({run.config.federation.min_sites}). In the last: {_why(strategy.training.absent)}"
        )
    return course


def final_evaluation(
    grid: Grid, strategy: FedAvg, run: RunDir, server_round: int
) -> tuple[dict[str, EvaluateReply], list[Absence]]:
    """Every site's test statistics with the weights of ``server_round``, and a row for each site without them."""
    state = load_checkpoint(run.checkpoint_path(server_round)).state
    arrays = encode_state({name: tensor.numpy() for name, tensor in state.items()})
    _evaluate(grid, strategy, server_round, arrays, FINAL)
    evaluation = strategy.evaluation
    return evaluation.replies, _absences("final evaluation", evaluation.absent)


def save(run: RunDir, server_round: int, arrays: ArrayRecord) -> None:
    """Keep the weights as a checkpoint of the run."""
    state = decode_state(arrays)
    run.save_checkpoint(server_round, {name: torch.from_numpy(values) for name, values in state.items()})


def _round(
    grid: Grid, strategy: FedAvg, run: RunDir, server_round: int, arrays: ArrayRecord, course: Course
) -> ArrayRecord:
    """One round; gives the weights after it."""
    started = time.monotonic()
    timeout_s = run.config.federation.round_timeout_s
    messages = strategy.configure_train(server_round, arrays, CURVE, grid)
    merged, _ = strategy.aggregate_train(server_round, replies(grid, messages, timeout_s=timeout_s))
    arrays = merged or arrays
    save(run, server_round, arrays)
    _evaluate(grid, strategy, server_round, arrays, CURVE)
    _record(strategy, run, course, seconds=time.monotonic() - started)
    return arrays


def _evaluate(grid: Grid, strategy: FedAvg, server_round: int, arrays: ArrayRecord, config: ConfigRecord) -> None:
    messages = strategy.configure_evaluate(server_round, arrays, config, grid)
    timeout_s = strategy.config.federation.round_timeout_s
    strategy.aggregate_evaluate(server_round, replies(grid, messages, timeout_s=timeout_s))


def _record(strategy: FedAvg, run: RunDir, course: Course, *, seconds: float) -> None:
    """What the strategy's hooks have left behind becomes the round's event and a part of the course."""
    training, evaluation = strategy.training, strategy.evaluation
    held_out = strategy.roster.held_out
    result = RoundReplies(
        server_round=training.server_round,
        learning_rate=training.learning_rate,
        training=training.replies,
        weights=training.shares,
        validation={site: reply for site, reply in evaluation.replies.items() if site not in held_out},
        held_out={site: reply for site, reply in evaluation.replies.items() if site in held_out},
    )
    absences = _absences(f"round {training.server_round}, training", training.absent)
    absences += _absences(f"round {training.server_round}, evaluation", evaluation.absent)
    course.rounds.append(result)
    course.absences += absences
    course.num_committed += training.is_committed
    course.num_failed_in_a_row = 0 if training.is_committed else course.num_failed_in_a_row + 1
    point = curve_point(result)
    run.append(
        "round",
        round=training.server_round,
        committed=training.is_committed,
        seconds=seconds,
        curve=point.model_dump(mode="json"),
        participation=[row.model_dump(mode="json") for row in participation(result)],
        absences=[row.model_dump(mode="json") for row in absences],
    )
    logger.info(
        "round %d of %d: %s trained, mean validation AUC %s, %.1f s",
        training.server_round,
        run.config.federation.rounds,
        ", ".join(training.shares) or "nobody",
        "undefined" if point.mean_validation_auc is None else f"{point.mean_validation_auc:.3f}",
        seconds,
    )
    for row in absences:
        logger.warning("%s: %s is missing: %s", row.stage, row.site, row.reason)


def _absences(stage: str, absent: dict[str, str]) -> list[Absence]:
    return [Absence(site=site, stage=stage, reason=reason) for site, reason in sorted(absent.items())]


def _why(absent: dict[str, str]) -> str:
    return "; ".join(f"{site}: {reason}" for site, reason in absent.items()) or "nobody answered"
