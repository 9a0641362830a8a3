"""Parts of the sites' test examples: rows by site and pooled, and the AUC with one mix of sizes at every site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.intervals import estimate
from fedlung.evaluation.judgement import SizeStandardised, SubgroupRow
from fedlung.evaluation.scores import MODEL, Measure
from fedlung.evaluation.standardised import (
    SIZE_STRATA,
    Strata,
    SubgroupKey,
    mantel_haenszel_weights,
    shared_weights,
    standardised_estimate,
    standardised_gap,
)
from fedlung.evaluation.statistics import ScoreStatistics, add_statistics
from fedlung.evaluation.subgroups import OWN_TEST, PROTOCOLS, SUBGROUPS, Reason
from fedlung.protocol import EvaluateReply

WITHHELD: dict[Reason, str] = {
    "few-patients": "kept by the site: fewer patients than it tells of",
    "few-patients-left-over": "kept by the site: with it, the rest would tell of fewer patients than the site does",
}
NOT_KNOWN, NO_EXAMPLES = "the site's data do not say", "no examples"
STANDARDISED_DEFINITION = (
    "sum over strata of size of weight times AUC within the stratum; the weights are Mantel and Haenszel's of the "
    "source sites' pooled test examples, of the strata that have both classes at every site"
)

Replies = Mapping[str, EvaluateReply]


def subgroup_rows(tests: Replies, measure: Measure, held_out: Sequence[str]) -> tuple[SubgroupRow, ...]:
    """Of every subgroup that some site has: a row for each site, and one for those together that tell of it.

    Held-out sites' own test patients have no row together: each site's are there for that site's own oracle. Thickness
    and kernel together have no row at all: many small parts, kept to rank by the protocol alone when runs are compared.
    """
    rows: list[SubgroupRow] = []
    for key in SUBGROUPS:
        if key in PROTOCOLS or not any(key in reply.subgroups or key in reply.withheld for reply in tests.values()):
            continue
        asked = [site for site in sorted(tests) if key != OWN_TEST or site in held_out]
        rows += [_site_row(key, site, tests[site], measure) for site in asked]
        rows += [] if key == OWN_TEST else _pooled_row(key, tests, measure)
    return tuple(rows)


def size_standardised(tests: Replies, measure: Measure, held_out: Sequence[str]) -> SizeStandardised | None:
    """The sites' AUC with the sources' mix of sizes, and the gap; None where no site knows sizes.

    Source sites that do not know them are left out of the gap, and are among ``sites`` with the reason.
    """
    strata = {site: _strata(reply) for site, reply in sorted(tests.items())}
    known = {site: own for site, own in strata.items() if own}
    if not known:
        return None
    sources = {site: own for site, own in known.items() if site not in held_out}
    apart = {site: strata.get(site, {}) for site in held_out}
    weights, share = shared_weights(mantel_haenszel_weights(_pooled(sources)), list(known.values()))
    num_patients = {site: reply.scores[MODEL].num_patients for site, reply in tests.items()}
    return SizeStandardised(
        definition=STANDARDISED_DEFINITION,
        weights={key.level: weight for key, weight in weights.items()},
        share=share,
        sites={
            site: standardised_estimate(own, weights, confidence=measure.confidence, num_patients=num_patients[site])
            if own
            else Estimate(reason=NOT_KNOWN)
            for site, own in strata.items()
        },
        gap=standardised_gap(
            sources,
            apart,
            weights,
            confidence=measure.confidence,
            num_patients=min(num_patients[site] for site in known),
        ),
    )


def _strata(reply: EvaluateReply) -> Strata:
    return {key: reply.subgroups[key] for key in SIZE_STRATA if key in reply.subgroups}


def _pooled(strata_by_site: Mapping[str, Strata]) -> Strata:
    parts = {key: [own[key] for own in strata_by_site.values() if key in own] for key in SIZE_STRATA}
    return {key: add_statistics(own) for key, own in parts.items() if own}


def _site_row(key: SubgroupKey, site: str, reply: EvaluateReply, measure: Measure) -> SubgroupRow:
    if key in reply.subgroups:
        return _row(key, site, (site,), reply.subgroups[key], measure)
    none = Estimate(reason=_why_none(key, reply))
    return SubgroupRow(
        variable=key.variable,
        level=key.level,
        site=site,
        sites=(),
        num_patients=0,
        num_positive=0,
        num_negative=0,
        auc=none,
        sensitivity=none,
        specificity=none,
    )


def _pooled_row(key: SubgroupKey, tests: Replies, measure: Measure) -> Iterator[SubgroupRow]:
    telling = tuple(site for site in sorted(tests) if key in tests[site].subgroups)
    if telling:
        pooled = add_statistics([tests[site].subgroups[key] for site in telling])
        yield _row(key, None, telling, pooled, measure)


def _row(
    key: SubgroupKey, site: str | None, sites: tuple[str, ...], statistics: ScoreStatistics, measure: Measure
) -> SubgroupRow:
    measured = measure.take(statistics)
    found = {
        name: estimate(name, measured, confidence=measure.confidence) for name in ("auc", "sensitivity", "specificity")
    }
    return SubgroupRow(
        variable=key.variable,
        level=key.level,
        site=site,
        sites=sites,
        num_patients=statistics.num_patients,
        num_positive=statistics.num_positive,
        num_negative=statistics.num_negative,
        **found,
    )


def _why_none(key: SubgroupKey, reply: EvaluateReply) -> str:
    if key in reply.withheld:
        return WITHHELD[reply.withheld[key]]
    knows = any(other.variable == key.variable for other in (*reply.subgroups, *reply.withheld))
    return NO_EXAMPLES if knows else NOT_KNOWN
