"""Which round is judged, and at which threshold: chosen on the source sites' validation patients alone.

The protocol of DomainBed (Gulrajani and Lopez-Paz, ICLR 2021): a number without the rule by which its model was picked
is incomplete. The held-out site may be scored in every round, and is looked at by no rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedlung.errors import RunError
from fedlung.evaluation.judgement import CurvePoint, OperatingPoints, Rule, Selection, Threshold
from fedlung.evaluation.measured import Frozen
from fedlung.evaluation.scores import MODEL
from fedlung.evaluation.statistics import ScoreStatistics, add_statistics
from fedlung.evaluation.thresholds import (
    OPERATING_POINTS,
    OPERATING_RULES,
    choose_operating_point,
    choose_threshold,
    probability_of,
)
from fedlung.protocol import EvaluateReply
from server.evidence import RoundReplies, curve_point

SELECTION_DEFINITIONS = {
    "auc": "highest unweighted mean AUC over the source sites' validation patients; of equals the one with the lowest "
    "mean validation loss, then the first",
    "loss": "lowest unweighted mean loss over the source sites' validation patients; of equals the first",
}


def select_round(rounds: Sequence[RoundReplies], rule: Rule, *, first_round: int = 0) -> Selection:
    """The round to judge, by the mean over source sites' validation ("auc": highest, "loss": lowest).

    Rounds before ``first_round`` are no candidates: where the models of late rounds are averaged, a single one of an
    early round that was lucky on few validation patients is not what was asked for.

    Rounds are comparable only where the same number of sites could be validated: one in which a hard site was absent
    would look better. So only those with the most sites are eligible. Where no site's AUC is defined the loss decides,
    and the definition says so. Raises RunError where no site could be validated in any round.
    """
    late = [replies for replies in rounds if replies.server_round >= first_round]
    points = {replies.server_round: curve_point(replies) for replies in late}
    values = {number: _validated(point, rule) for number, point in points.items()}
    if rule == "auc" and not any(values.values()):
        chosen = select_round(late, "loss", first_round=first_round)
        note = " (by loss, because no source site's validation AUC is defined: one class only)"
        return chosen.model_copy(update={"definition": chosen.definition + note})
    most = max((len(by_site) for by_site in values.values()), default=0)
    if not most:
        raise RunError(
            "no source site could be validated in any round, so there is no round to judge. See under 'absences' in "
            "the run's lines why each was missing, and run again."
        )
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
        definition=SELECTION_DEFINITIONS[rule] + (f"; of the rounds from {first_round} on" if first_round else ""),
    )


def freeze(validation: Mapping[str, EvaluateReply], rule: str) -> tuple[Frozen, dict[str, Any]]:
    """What every test example is judged with, from the source sites' pooled validation patients; and its record.

    The thresholds by ``rule`` and at the two operating points, and the prevalence to which numbers that move with it
    are carried over. The record: the fields ``threshold``, ``operating_points`` and ``reference_prevalence`` of a
    ``Judgement``.
    """
    pooled = add_statistics([reply.scores[MODEL] for _, reply in sorted(validation.items())])
    chosen = choose_threshold(pooled, rule)
    edges = {point: choose_operating_point(pooled, point) for point in OPERATING_POINTS}
    points = {point: _threshold(edge, OPERATING_RULES[point], pooled) for point, edge in edges.items()}
    prevalence = pooled.num_positive / pooled.num_examples if _has_both_classes(pooled) else None
    return Frozen(chosen=chosen, **edges, prevalence=prevalence), {
        "threshold": _threshold(chosen, rule, pooled),
        "operating_points": OperatingPoints(**points),
        "reference_prevalence": prevalence,
    }


def _threshold(edge: int | None, rule: str, pooled: ScoreStatistics) -> Threshold:
    missing = "no threshold reaches it on validation" if _has_both_classes(pooled) else "validation has one class only"
    return Threshold(
        probability=None if edge is None else probability_of(edge),
        rule=rule,
        frozen_on="the source sites' validation patients, pooled, with the selected round's weights",
        num_patients=pooled.num_patients,
        reason=missing if edge is None else None,
    )


def _has_both_classes(statistics: ScoreStatistics) -> bool:
    return bool(statistics.num_positive and statistics.num_negative)


def _loss_or_infinity(point: CurvePoint) -> float:
    return math.inf if point.mean_validation_loss is None else point.mean_validation_loss


def _validated(point: CurvePoint, rule: Rule) -> dict[str, float]:
    values = {site: getattr(value, rule) for site, value in point.validation.items()}
    return {site: value for site, value in values.items() if value is not None}
