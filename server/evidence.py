"""What a run has gathered, and what is told of it as it came: curves, participation, absences, ledgers, provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import fedlung
from fedlung.config import RunConfig
from fedlung.evaluation.judgement import (
    Absence,
    CurvePoint,
    CurveValue,
    LedgerRow,
    Participation,
    Provenance,
    RoundTiming,
    SplitRow,
    Timings,
)
from fedlung.evaluation.metrics import auc
from fedlung.evaluation.runrecord import what_numbers_depend_on
from fedlung.evaluation.scores import MODEL
from fedlung.evaluation.statistics import ScoreStatistics
from fedlung.protocol import EvaluateReply, SiteCard, SiteLedger, TrainReply


@dataclass(frozen=True)
class RoundReplies:
    """What a round has brought, by site. ``weights``: each site's share in the aggregate; ``num_bytes``: both ways."""

    server_round: int
    learning_rate: float
    training: Mapping[str, TrainReply]
    weights: Mapping[str, float]
    validation: Mapping[str, EvaluateReply]  # of source sites
    held_out: Mapping[str, EvaluateReply]  # test patients of held-out sites: for the learning curve only
    num_bytes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """Everything a run has gathered when the final evaluation is over; all mappings are by site."""

    cards: Mapping[str, SiteCard]
    ledgers: Mapping[str, SiteLedger]
    rounds: Sequence[RoundReplies]
    tests: Mapping[str, EvaluateReply]  # the selected round's weights on every site's test patients
    absences: Sequence[Absence] = field(default_factory=tuple)
    run: str = ""
    started: str = ""
    finished: str = ""


def curve_point(replies: RoundReplies) -> CurvePoint:
    """One round of the learning curves; made to be written into the run's lines as well."""
    validation = {site: _curve_value(reply) for site, reply in sorted(replies.validation.items())}
    return CurvePoint(
        server_round=replies.server_round,
        learning_rate=replies.learning_rate,
        mean_validation_auc=_mean([value.auc for value in validation.values()]),
        mean_validation_loss=_mean([value.loss for value in validation.values()]),
        validation=validation,
        held_out={site: _curve_value(reply) for site, reply in sorted(replies.held_out.items())},
    )


def participation(replies: RoundReplies) -> tuple[Participation, ...]:
    """Who trained in a round, how much, and with what weight the update entered the aggregate."""
    return tuple(
        Participation(
            server_round=replies.server_round,
            site=site,
            num_examples=reply.num_examples,
            num_steps=reply.num_steps,
            loss=_finite(reply.loss),
            weight=replies.weights.get(site, 0.0),
            num_bytes=replies.num_bytes.get(site, 0),
        )
        for site, reply in sorted(replies.training.items())
    )


def run_history(evidence: Evidence) -> dict[str, Any]:
    """Learning curves, participation, absences, ledgers and clock times."""
    return {
        "curves": tuple(curve_point(replies) for replies in evidence.rounds),
        "participation": tuple(row for replies in evidence.rounds for row in participation(replies)),
        "absences": tuple(evidence.absences),
        "ledgers": tuple(_ledger_row(ledger) for _, ledger in sorted(evidence.ledgers.items())),
        "timings": _timings(evidence),
    }


def provenance(config: RunConfig, evidence: Evidence) -> Provenance:
    """With what the numbers were made."""
    comparable = what_numbers_depend_on(config)
    cards = sorted(evidence.cards.items())
    return Provenance(
        fedlung_version=fedlung.__version__,
        config_fingerprint=comparable.fingerprint(),
        seed=config.seed,
        config=comparable.to_run_config(),
        data_fingerprints={site: ledger.data_fingerprint for site, ledger in sorted(evidence.ledgers.items())},
        versions={site: dict(card.versions) for site, card in cards},
        devices={site: card.device for site, card in cards},
        sources={site: card.source for site, card in cards},
    )


def _curve_value(reply: EvaluateReply) -> CurveValue:
    statistics: ScoreStatistics = reply.scores[MODEL]
    loss = _finite(reply.loss) if statistics.num_examples else None
    return CurveValue(auc=_finite(float(auc(statistics.histogram_CK))), loss=loss)


def _ledger_row(ledger: SiteLedger) -> LedgerRow:
    splits = {
        name: SplitRow(
            num_patients=counts.num_patients, num_positive=counts.num_positive, num_negative=counts.num_negative
        )
        for name, counts in ledger.splits.items()
    }
    return LedgerRow(
        site=ledger.site,
        num_declared=ledger.num_declared,
        num_readable=ledger.num_readable,
        num_prepared=ledger.num_prepared,
        left_out=dict(sorted(ledger.left_out.items())),
        ignored_files=dict(sorted(ledger.ignored_files.items())),
        unused_nodules=dict(sorted(ledger.unused_nodules.items())),
        remarks=dict(sorted(ledger.remarks.items())),
        splits=splits,
        data_fingerprint=ledger.data_fingerprint,
    )


def _timings(evidence: Evidence) -> Timings:
    rounds = tuple(
        RoundTiming(
            server_round=replies.server_round,
            train_s={site: reply.seconds for site, reply in sorted(replies.training.items())},
            evaluate_s={
                site: reply.seconds for site, reply in sorted({**replies.validation, **replies.held_out}.items())
            },
        )
        for replies in evidence.rounds
    )
    prepare_s = {site: ledger.seconds for site, ledger in sorted(evidence.ledgers.items())}
    return Timings(
        run=evidence.run, started=evidence.started, finished=evidence.finished, prepare_s=prepare_s, rounds=rounds
    )


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(defined) if defined else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
