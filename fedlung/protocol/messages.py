"""The server's questions and the sites' answers, each a dataclass whose fields declare what they may hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, InstanceOf

from fedlung.evaluation.detection.statistics import DetectionStatistics
from fedlung.evaluation.statistics import ScoreStatistics
from fedlung.evaluation.subgroups import Reason
from fedlung.names import SiteName
from fedlung.protocol.words import (
    MOST,
    Code,
    Count,
    DetectionName,
    Flag,
    Hex,
    NotNegative,
    Round,
    Split,
    Subgroup,
    Undetected,
    Word,
)

ROLL_CALL = "query.roll_call"
PREPARE = "query.prepare"
TRAIN = "train"
EVALUATE = "evaluate"

START_LOSS, VALIDATION_LOSS = "start", "validation"


class Said:
    """Whatever crosses the wire: nothing that is not declared, and no type that has to be converted first."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class RollCall(Said):
    """The server's question who is there."""

    run_fingerprint: Hex


@dataclass(frozen=True)
class SiteCard(Said):
    """A site's answer to the roll call."""

    site: SiteName
    synthetic: Flag
    source: Annotated[str, Field(strict=True, pattern=r"^(dicom|archive)$")]
    device: Word  # "cpu" or the GPU's model
    versions: Mapping[Code, Word]
    num_simulated: Count = 0  # sites of the simulation that this one is part of; 0: a real site


@dataclass(frozen=True)
class PrepareTask(Said):
    """Fill the case store and say what there is. ``held_out``: the site's patients are all test."""

    held_out: Flag


@dataclass(frozen=True)
class SplitCounts(Said):
    """Examples of one split of one site."""

    num_patients: Count
    num_positive: Count
    num_negative: Count


@dataclass(frozen=True)
class SiteLedger(Said):
    """What a site has, and what it left out and why. Reasons are stable codes, never sentences.

    left_out        series that are no case; with the prepared ones they are all that were declared
    ignored_files   files that are no slices of a series
    unused_nodules  nodules of prepared cases (or cubes) that are no example of the task
    remarks         prepared cases with something odd about them
    """

    site: SiteName
    num_declared: Count  # series found or cubes in the archive
    num_readable: Count
    num_prepared: Count
    left_out: Mapping[Code, Count]
    ignored_files: Mapping[Code, Count]
    unused_nodules: Mapping[Code, Count]
    remarks: Mapping[Code, Count]
    splits: Mapping[Split, SplitCounts]
    data_fingerprint: Hex
    seconds: NotNegative
    synthetic: Flag

    def num_examples(self, split: str) -> int:
        """Examples of both classes; 0 for a split that the ledger has not."""
        counts = self.splits.get(split)
        return counts.num_positive + counts.num_negative if counts else 0


@dataclass(frozen=True)
class TrainTask(Said):
    """One round of local training from the weights that come with it.

    Beside them may travel a ``correction``, which is added to every gradient (SCAFFOLD's c - c_i).
    """

    server_round: Round
    learning_rate: NotNegative
    num_negative: Count  # of all source sites' training examples together
    num_positive: Count
    proximal_mu: NotNegative = 0.0
    report_start_loss: Flag = False
    report_validation_loss: Flag = False


@dataclass(frozen=True)
class TrainReply(Said):
    """What a site reports of its training; its weights travel beside it.

    losses  those that were asked for: START_LOSS, of the weights that came, on the round's training examples with the
            classes' weights; VALIDATION_LOSS, of the weights that go, on the site's validation patients
    """

    site: SiteName
    server_round: Round
    num_examples: Annotated[int, Field(strict=True, ge=1, le=MOST)]
    num_steps: Count
    loss: NotNegative
    seconds: NotNegative
    losses: Mapping[Code, NotNegative] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluateTask(Said):
    """Score one split with the weights that come with it; ``num_replicates`` bootstrap replicates.

    ``with_subgroups``: tell of the subgroups, too; in the final evaluation only, for they are many times as much.
    ``with_detection``: search the split's whole scans for nodules, too.
    """

    server_round: Round
    split: Split
    num_replicates: Annotated[int, Field(strict=True, ge=0, le=10_000)] = 0
    with_subgroups: Flag = False
    with_detection: Flag = False


@dataclass(frozen=True)
class EvaluateReply(Said):
    """Statistics by score: "model"; "size", which needs no network; "adapted" and "rescanned", where a run asks for it.

    subgroups  the model's scores of parts of the same examples, each patient weighted as in the whole
    withheld   subgroups that the site has and does not tell of, and why
    detection  under DETECTION, what was found in the split's whole scans; empty where it was not asked for or failed
    undetected why it failed; else empty
    """

    site: SiteName
    server_round: Round
    split: Split
    loss: NotNegative
    seconds: NotNegative
    scores: Mapping[Code, InstanceOf[ScoreStatistics]]
    subgroups: Mapping[Subgroup, InstanceOf[ScoreStatistics]] = field(default_factory=dict)
    withheld: Mapping[Subgroup, Reason] = field(default_factory=dict)
    detection: Mapping[DetectionName, InstanceOf[DetectionStatistics]] = field(default_factory=dict)
    undetected: Undetected = ""
