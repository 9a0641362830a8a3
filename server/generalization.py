"""From what the sites answered to the judgement: source sites, the held-out site, the worst site and the gap.

The protocol of DomainBed (Gulrajani and Lopez-Paz, ICLR 2021): a number without the rule by which its model was picked
is incomplete. Here the round is picked and the threshold frozen on the source sites' validation patients alone; the
held-out site is scored in every round, and looked at by no rule.

Everything here is a pure function of messages; nothing draws, writes or waits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import fedlung
from fedlung.config import RunConfig
from fedlung.errors import RunError
from fedlung.evaluation.claims import plain_words
from fedlung.evaluation.judgement import (
    Absence,
    CurvePoint,
    CurveValue,
    Estimate,
    Gap,
    Judgement,
    LedgerRow,
    MeanRow,
    Participation,
    PooledRow,
    Provenance,
    Role,
    RoundTiming,
    Rule,
    Selection,
    SiteRow,
    SplitRow,
    Threshold,
    Timings,
    WorstSite,
)
from fedlung.evaluation.metrics import auc, choose_threshold, probability_of
from fedlung.evaluation.runrecord import what_numbers_depend_on
from fedlung.evaluation.scores import MODEL, Measure, ScoresByName, no_scores
from fedlung.evaluation.statistics import ScoreStatistics, add_statistics
from fedlung.protocol import EvaluateReply, SiteCard, SiteLedger, TrainReply

TASK_DEFINITIONS = {
    "nodule": "a patch around a nodule of at least {readers} readers against background patches inside the lung",
    "malignancy": "a nodule of at least {readers} readers: mean malignancy above 3 against below 3 (3 itself left out)",
    "scan": "a whole scan with any nodule of at least 3 mm against one without",
}
GAP_DEFINITION = (
    "unweighted mean over the source sites (each on its own test patients, none of whom trained or was used to choose) "
    "minus the unweighted mean over the held-out sites (all their patients); replicate b of the gap is made of every "
    "site's replicate b, the sites being independent"
)
SELECTION_DEFINITIONS = {
    "auc": "highest unweighted mean AUC over the source sites' validation patients; of equals the one with the lowest "
    "mean validation loss, then the first",
    "loss": "lowest unweighted mean loss over the source sites' validation patients; of equals the first",
}
NO_ANSWER = "no answer to the final evaluation"


@dataclass(frozen=True)
class RoundReplies:
    """What a round has brought, by site. ``weights``: each site's share in the aggregate."""

    server_round: int
    learning_rate: float
    training: Mapping[str, TrainReply]
    weights: Mapping[str, float]
    validation: Mapping[str, EvaluateReply]  # of source sites
    held_out: Mapping[str, EvaluateReply]  # test patients of held-out sites: for the learning curve only


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
        )
        for site, reply in sorted(replies.training.items())
    )


def select_round(rounds: Sequence[RoundReplies], rule: Rule) -> Selection:
    """The round to judge, by the mean over source sites' validation ("auc": highest, "loss": lowest).

    Rounds are comparable only where the same number of sites could be validated: one in which a hard site was absent
    would look better. So only those with the most sites are eligible. Where no site's AUC is defined the loss decides,
    and the definition says so. Raises RunError where no site could be validated in any round.
    """
    points = {replies.server_round: curve_point(replies) for replies in rounds}
    values = {number: _validated(point, rule) for number, point in points.items()}
    if rule == "auc" and not any(values.values()):
        chosen = select_round(rounds, "loss")
        note = " (by loss, because no source site's validation AUC is defined: one class only)"
        return chosen.model_copy(update={"definition": chosen.definition + note})
    most = max((len(by_site) for by_site in values.values()), default=0)
    if not most:
        raise RunError("no source site could be validated in any round: there is no round to judge")
    eligible = {
        number: math.fsum(by_site.values()) / most for number, by_site in values.items() if len(by_site) == most
    }
    sign = -1.0 if rule == "auc" else 1.0
    best = min(eligible, key=lambda number: (sign * eligible[number], _loss_or_infinity(points[number]), number))
    return Selection(
        server_round=best,
        rule=rule,
        value=eligible[best],
        sites=tuple(sorted(values[best])),
        definition=SELECTION_DEFINITIONS[rule],
    )


def freeze_threshold(validation: Mapping[str, EvaluateReply], rule: str) -> tuple[int | None, Threshold]:
    """The bin edge that maximises ``rule`` on the source sites' pooled validation patients, and its record."""
    pooled = add_statistics([reply.scores[MODEL] for _, reply in sorted(validation.items())])
    edge = choose_threshold(pooled, rule)
    return edge, Threshold(
        probability=None if edge is None else probability_of(edge),
        rule=rule,
        frozen_on="the source sites' validation patients, pooled, with the selected round's weights",
        num_patients=pooled.num_patients,
        reason="validation has one class only" if edge is None else None,
    )


def judge(config: RunConfig, evidence: Evidence, selection: Selection) -> Judgement:
    """What the run has shown. Pure: the same answers give the same judgement, to the last digit.

    Raises RunError where the selected round is not among the rounds, or no site answered the final evaluation.
    """
    selected = [replies for replies in evidence.rounds if replies.server_round == selection.server_round]
    if not selected or not evidence.tests:
        raise RunError("nothing to judge: no site answered the final evaluation, or the selected round is unknown")
    edge, threshold = freeze_threshold(selected[0].validation, config.evaluate.threshold)
    measure = Measure(edge=edge, confidence=config.evaluate.confidence)
    judgement = Judgement(
        **_site_results(config, evidence, measure),
        **_run_history(evidence),
        synthetic=any(ledger.synthetic for ledger in evidence.ledgers.values()),
        task=config.task.name,
        task_definition=TASK_DEFINITIONS[config.task.name].format(readers=config.task.readers),
        held_out=config.federation.held_out_names,
        confidence=config.evaluate.confidence,
        num_replicates=config.evaluate.replicates,
        threshold=threshold,
        selection=selection,
        provenance=_provenance(config, evidence),
    )
    return judgement.model_copy(update={"claims": plain_words(judgement)})


def _site_results(config: RunConfig, evidence: Evidence, measure: Measure) -> dict[str, Any]:
    """Rows of sites, pooled rows, the mean over sources, the worst site and the gap."""
    held_out = config.federation.held_out_names
    models = {site: reply.scores[MODEL] for site, reply in evidence.tests.items()}
    sources = {site: statistics for site, statistics in models.items() if site not in held_out}
    apart = {site: statistics for site, statistics in models.items() if site in held_out}
    rows = tuple(_site_row(site, held_out, evidence, measure) for site in _expected(config, evidence))
    missing = [site for site in held_out if site not in apart]
    return {
        "sites": rows,
        "pooled": _pooled(evidence.tests, sorted(models), measure),
        "pooled_sources": _pooled(evidence.tests, sorted(sources), measure),
        "mean_sources": MeanRow(sites=tuple(sorted(sources)), **measure.mean(sources)),
        "worst_site": _worst(rows),
        "gap": Gap(
            definition=GAP_DEFINITION,
            sources=tuple(sorted(sources)),
            held_out=held_out,
            **measure.gap(sources, apart, missing),
        ),
    }


def _run_history(evidence: Evidence) -> dict[str, Any]:
    """Learning curves, participation, absences, ledgers and clock times."""
    return {
        "curves": tuple(curve_point(replies) for replies in evidence.rounds),
        "participation": tuple(row for replies in evidence.rounds for row in participation(replies)),
        "absences": tuple(evidence.absences),
        "ledgers": tuple(_ledger_row(ledger) for _, ledger in sorted(evidence.ledgers.items())),
        "timings": _timings(evidence),
    }


def _expected(config: RunConfig, evidence: Evidence) -> tuple[str, ...]:
    """The configured sites in their order, then whoever else answered; a site's row is never left out."""
    return tuple(dict.fromkeys([*config.federation.site_names, *sorted(evidence.tests)]))


def _site_row(site: str, held_out: Sequence[str], evidence: Evidence, measure: Measure) -> SiteRow:
    role: Role = "held-out" if site in held_out else "source"
    reply, ledger = evidence.tests.get(site), evidence.ledgers.get(site)
    scores = no_scores(NO_ANSWER) if reply is None else measure.scores(reply.scores)
    return SiteRow(name=site, role=role, synthetic=None if ledger is None else ledger.synthetic, **scores)


def _pooled(tests: Mapping[str, EvaluateReply], sites: Sequence[str], measure: Measure) -> PooledRow:
    """The sites' examples as one; a baseline is pooled only where every one of the sites has it."""
    if not sites:
        return PooledRow(sites=(), **no_scores("no site has answered"))
    shared = set.intersection(*(set(tests[site].scores) for site in sites))
    pooled: ScoresByName = {name: add_statistics([tests[site].scores[name] for site in sites]) for name in shared}
    return PooledRow(sites=tuple(sites), **measure.scores(pooled))


def _worst(rows: Sequence[SiteRow]) -> WorstSite:
    defined = [row for row in rows if row.auc.value is not None]
    if not defined:
        return WorstSite(name=None, role=None, auc=Estimate(reason="AUC is undefined at every site"))
    worst = min(defined, key=lambda row: (row.auc.value, row.name))
    return WorstSite(name=worst.name, role=worst.role, auc=worst.auc)


def _loss_or_infinity(point: CurvePoint) -> float:
    return math.inf if point.mean_validation_loss is None else point.mean_validation_loss


def _validated(point: CurvePoint, rule: Rule) -> dict[str, float]:
    values = {site: getattr(value, rule) for site, value in point.validation.items()}
    return {site: value for site, value in values.items() if value is not None}


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
        splits=splits,
        data_fingerprint=ledger.data_fingerprint,
    )


def _provenance(config: RunConfig, evidence: Evidence) -> Provenance:
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
