"""From what the sites answered to the judgement: source sites, the held-out site, the worst site and the gap.

Everything here is a pure function of messages; nothing draws, writes or waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedlung.config import RunConfig
from fedlung.errors import RunError
from fedlung.evaluation.claims import plain_words
from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.judgement import Gap, Judgement, MeanRow, PooledRow, Role, Selection, SiteRow, WorstSite
from fedlung.evaluation.measured import Measured
from fedlung.evaluation.scores import MODEL, Measure, ScoresByName, no_scores
from fedlung.evaluation.statistics import add_statistics
from fedlung.protocol import EvaluateReply, SiteLedger
from server.detection import judge_detection
from server.evidence import Evidence, provenance, run_history
from server.rescanned import judge_rescanned
from server.selection import freeze
from server.subgroups import size_standardised, subgroup_rows

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
# By stage, what an absence means for the site's own row.
WITHOUT_SCORES = {
    "roll-call": "not in the run",
    "prepare": "it prepared nothing",
    "final evaluation": "no scores from the final evaluation",
}


def judge(config: RunConfig, evidence: Evidence, selection: Selection) -> Judgement:
    """What the run has shown. Pure: the same answers give the same judgement, to the last digit.

    Raises RunError where the selected round is not among the rounds, or no site answered the final evaluation.
    """
    selected = [replies for replies in evidence.rounds if replies.server_round == selection.server_round]
    if not selected or not evidence.tests:
        raise RunError(
            "nothing to judge: no site answered the final evaluation, or the selected round is unknown. See in the "
            "sites' errors.log why, and run again."
        )
    frozen, record = freeze(selected[0].validation, config.evaluate.threshold)
    measure = Measure(frozen=frozen, confidence=config.evaluate.confidence)
    results = _site_results(config, evidence, measure)
    judgement = Judgement(
        **results,
        subgroups=subgroup_rows(evidence.tests, measure, config.federation.held_out_names),
        size_standardised=size_standardised(evidence.tests, measure, config.federation.held_out_names),
        rescanned=judge_rescanned(config, evidence.tests, measure, results["gap"].auc),
        detection=judge_detection(config, evidence.tests),
        **record,
        **run_history(evidence),
        synthetic=any(ledger.synthetic for ledger in evidence.ledgers.values()),
        task=config.task.name,
        task_definition=TASK_DEFINITIONS[config.task.name].format(readers=config.task.readers),
        held_out=config.federation.held_out_names,
        confidence=config.evaluate.confidence,
        num_replicates=config.evaluate.replicates,
        selection=selection,
        provenance=provenance(config, evidence),
    )
    return judgement.model_copy(update={"claims": plain_words(judgement)})


def _site_results(config: RunConfig, evidence: Evidence, measure: Measure) -> dict[str, Any]:
    """Rows of sites, pooled rows, the mean over sources, the worst site and the gap."""
    held_out = config.federation.held_out_names
    models = {site: measure.take(reply.scores[MODEL]) for site, reply in evidence.tests.items()}
    sources = {site: measured for site, measured in models.items() if site not in held_out}
    apart = {site: measured for site, measured in models.items() if site in held_out}
    rows = tuple(_site_row(site, models.get(site), evidence, measure, held_out) for site in _expected(config, evidence))
    missing = {site: _why_without_scores(site, evidence) for site in held_out if site not in apart}
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


def _expected(config: RunConfig, evidence: Evidence) -> tuple[str, ...]:
    """The configured sites in their order, then whoever else was there; a site's row is never left out."""
    return tuple(dict.fromkeys([*config.federation.site_names, *sorted({*evidence.cards, *evidence.tests})]))


def _site_row(
    site: str, model: Measured | None, evidence: Evidence, measure: Measure, held_out: Sequence[str]
) -> SiteRow:
    role: Role = "held-out" if site in held_out else "source"
    ledger = evidence.ledgers.get(site)
    if model is None:
        scores = no_scores(_why_without_scores(site, evidence))
    else:
        scores = measure.scores(model, evidence.tests[site].scores)
    return SiteRow(name=site, role=role, synthetic=None if ledger is None else ledger.synthetic, **scores)


def _why_without_scores(site: str, evidence: Evidence) -> str:
    """The site's own absence, or, of a site that was never asked because it has no test example, its ledger."""
    for row in reversed(evidence.absences):
        if row.site == site and row.stage in WITHOUT_SCORES:
            return f"{WITHOUT_SCORES[row.stage]}: {row.reason}"
    ledger = evidence.ledgers.get(site)
    if ledger is None or ledger.num_examples("test"):
        return "no answer to the final evaluation"
    return _without_test_patient(ledger)


def _without_test_patient(ledger: SiteLedger) -> str:
    num_patients = sum(counts.num_patients for counts in ledger.splits.values())
    if not num_patients:
        return "no test patient: none has an example of the task"
    few, many = "its only patient trains or validates", f"all of its {num_patients} train or validate"
    return f"no test patient: {few if num_patients == 1 else many}"


def _pooled(tests: Mapping[str, EvaluateReply], sites: Sequence[str], measure: Measure) -> PooledRow:
    """The sites' examples as one; a baseline is pooled only where every one of the sites has it."""
    if not sites:
        return PooledRow(sites=(), **no_scores("no site has answered"))
    shared = set.intersection(*(set(tests[site].scores) for site in sites))
    pooled: ScoresByName = {name: add_statistics([tests[site].scores[name] for site in sites]) for name in shared}
    return PooledRow(sites=tuple(sites), **measure.scores(measure.take(pooled[MODEL]), pooled))


def _worst(rows: Sequence[SiteRow]) -> WorstSite:
    defined = [row for row in rows if row.auc.value is not None]
    if not defined:
        return WorstSite(name=None, role=None, auc=Estimate(reason="AUC is undefined at every site"))
    worst = min(defined, key=lambda row: (row.auc.value, row.name))
    return WorstSite(name=worst.name, role=worst.role, auc=worst.auc)
