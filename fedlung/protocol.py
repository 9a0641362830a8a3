"""What is said over the wire, and how it is put into Flower's records. Nothing else crosses it.

    query.roll-call   RollCall        -> SiteCard        who is there
    query.prepare     PrepareTask     -> SiteLedger      CT to cases; what was left out, and the class counts
    train             TrainTask + w   -> TrainReply + w  one round of local training
    evaluate          EvaluateTask + w -> EvaluateReply  statistics of the scores on one split

A site is known by the name on its card. The node id that Flower gives it is the address of a message, never a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedlung.evaluation.statistics import ScoreStatistics

PROTOCOL_VERSION = 1


@dataclass(frozen=True)
class RollCall:
    """The server's question who is there."""

    run_fingerprint: str
    protocol_version: int = PROTOCOL_VERSION


@dataclass(frozen=True)
class SiteCard:
    """A site's answer to the roll call."""

    site: str
    synthetic: bool
    source: str  # "dicom" or "archive"
    device: str  # "cpu" or the GPU's model
    versions: Mapping[str, str]
    protocol_version: int = PROTOCOL_VERSION


@dataclass(frozen=True)
class PrepareTask:
    """Fill the case store and say what there is. ``held_out``: the site's patients are all test."""

    held_out: bool


@dataclass(frozen=True)
class SplitCounts:
    """Examples of one split of one site."""

    num_patients: int
    num_positive: int
    num_negative: int


@dataclass(frozen=True)
class SiteLedger:
    """What a site has, and what it left out and why. Reasons are stable codes, never sentences."""

    site: str
    num_declared: int  # series found or cubes in the archive
    num_readable: int
    num_prepared: int
    left_out: Mapping[str, int]  # reason code -> count
    splits: Mapping[str, SplitCounts]  # "train", "validation", "test"
    data_fingerprint: str
    seconds: float
    synthetic: bool


@dataclass(frozen=True)
class TrainTask:
    """One round of local training from the weights that come with it."""

    server_round: int
    learning_rate: float
    num_negative: int  # of all source sites' training examples together
    num_positive: int
    proximal_mu: float = 0.0


@dataclass(frozen=True)
class TrainReply:
    """What a site reports of its training; its weights travel beside it."""

    site: str
    server_round: int
    num_examples: int
    num_steps: int
    loss: float
    seconds: float


@dataclass(frozen=True)
class EvaluateTask:
    """Score one split with the weights that come with it; ``num_replicates`` bootstrap replicates."""

    server_round: int
    split: str  # "validation" or "test"
    num_replicates: int = 0


@dataclass(frozen=True)
class EvaluateReply:
    """Statistics by score: "model", and the baselines that need no network (such as "size")."""

    site: str
    server_round: int
    split: str
    loss: float
    seconds: float
    scores: Mapping[str, ScoreStatistics]
