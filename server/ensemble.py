"""Several finished models judged as one, by their mean logit; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flwr.app import ArrayRecord, RecordDict
from flwr.serverapp import Grid

from fedlung.config import RunConfig
from fedlung.errors import RunError
from fedlung.evaluation.judgement import Judgement
from fedlung.evaluation.runrecord import load_run
from fedlung.protocol import EvaluateTask, SiteLedger, encode_state, with_members
from fedlung.training.checkpoint import load_checkpoint
from server.course import assemble, conclude
from server.resume import Past
from server.rollcall import Roster
from server.rounds import CURVE, Course, evaluate, judged, round_replies
from server.rundir import RunDir
from server.selection import select_round
from server.strategies import FedAvg


class Ensemble(FedAvg):
    """Asks the sites to judge all members together."""

    def __init__(
        self,
        config: RunConfig,
        roster: Roster,
        ledgers: Mapping[str, SiteLedger],
        further: Sequence[ArrayRecord],
    ) -> None:
        super().__init__(config, roster, ledgers)
        self.further = further

    def evaluate_content(self, site: str, task: EvaluateTask, arrays: ArrayRecord) -> RecordDict:
        return with_members(super().evaluate_content(site, task, arrays), self.further)


def judge_ensemble(grid: Grid, run: RunDir, members: Sequence[Path]) -> Judgement:
    """Judge the selected models of finished runs as one. Raises RunError where one has not finished."""
    first, *further = [selected_weights(folder) for folder in members]
    assembly = assemble(grid, run, Past(Course()))
    strategy = Ensemble(run.config, assembly.roster, assembly.ledgers, further)
    evaluate(grid, strategy, 0, first, CURVE)
    rounds = [round_replies(strategy)]
    selection = select_round(rounds, run.config.evaluate.select)
    run.append("selected", round=0, selection=selection.model_dump(mode="json"))
    tests, unjudged = judged(grid, strategy, 0, first)
    return conclude(run, assembly, rounds, selection, tests, unjudged)


def selected_weights(folder: Path) -> ArrayRecord:
    """The weights of a finished run's selected round. Raises RunError."""
    record = load_run(folder)
    selected = record.last("selected")
    if selected is None or not record.is_finished:
        raise RunError(f"{folder.name} has not finished, so there is no model of it to put into an ensemble.")
    run = RunDir(folder, record.config)
    state = load_checkpoint(run.checkpoint_path(int(selected["round"]))).state
    return encode_state({name: tensor.numpy() for name, tensor in state.items()})
