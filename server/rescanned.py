"""The source sites seen through another scanner: what it costs each, and how much of the gap that explains."""

from __future__ import annotations

from collections.abc import Mapping

from fedlung.config import RescanConfig, RunConfig
from fedlung.evaluation.comparison import paired_difference
from fedlung.evaluation.counterfactual import Rescanned, mean_loss, share_of_gap
from fedlung.evaluation.estimates import Comparison, Estimate
from fedlung.evaluation.intervals import estimate
from fedlung.evaluation.judgement import Counterfactual, RescannedRow
from fedlung.evaluation.measured import Measured
from fedlung.evaluation.scores import MODEL, RESCANNED, Measure
from fedlung.protocol import EvaluateReply

NOT_TOLD = "the site gave no scores of its rescanned examples"
DEFINITION = (
    "the same model on the same test examples of the source sites, seen through one virtual scanner ({scanner}) on top "
    "of the one that took the images. Cost: AUC as scanned minus AUC rescanned; together, the unweighted mean over the "
    "source sites. Share: that mean over the gap in AUC, replicate by replicate; a patient weighs alike in both scores"
)


def judge_rescanned(
    config: RunConfig, tests: Mapping[str, EvaluateReply], measure: Measure, gap: Estimate
) -> Counterfactual | None:
    """None where nothing is rescanned in this run. ``gap``: in AUC, of these answers."""
    if not config.rescan.is_on:
        return None
    held_out = config.federation.held_out_names
    sources = {site: reply for site, reply in sorted(tests.items()) if site not in held_out}
    told = {site: _both(reply, measure) for site, reply in sources.items() if RESCANNED in reply.scores}
    apart = {site: measure.take(tests[site].scores[MODEL]) for site in held_out if site in tests}
    silent = [site for site in sources if site not in told]
    none = Estimate(reason=f"{', '.join(silent)}: {NOT_TOLD}") if silent else None
    return Counterfactual(
        definition=DEFINITION.format(scanner=scanner_words(config.rescan)),
        rows=tuple(_row(site, told.get(site), measure.confidence) for site in sources),
        cost=none or mean_loss(told, confidence=measure.confidence),
        share=none or share_of_gap(told, apart, gap, confidence=measure.confidence),
    )


def scanner_words(scanner: RescanConfig) -> str:
    """What the virtual scanner does, e.g. "slices of 5 mm, noise of 30 HU with its peak at 0.2 per mm"."""
    words = {
        f"slices of {scanner.thickness_mm:g} mm": scanner.thickness_mm,
        f"contrast halved at {scanner.f50_per_mm:g} per mm in plane": scanner.f50_per_mm,
        f"edges enhanced by {scanner.edge_gain:g}": scanner.edge_gain,
        f"noise of {scanner.noise_hu:g} HU with its peak at {scanner.noise_peak_per_mm:g} per mm": scanner.noise_hu,
    }
    return ", ".join(text for text, value in words.items() if value)


def _both(reply: EvaluateReply, measure: Measure) -> Rescanned:
    return Rescanned(before=measure.take(reply.scores[MODEL]), after=measure.take(reply.scores[RESCANNED]))


def _row(site: str, seen: Rescanned | None, confidence: float) -> RescannedRow:
    if seen is None:
        none = Estimate(reason=NOT_TOLD)
        return RescannedRow(site=site, auc=none, rescanned=none, cost=Comparison(difference=none))
    before, after = (_auc(one, confidence) for one in (seen.before, seen.after))
    cost = paired_difference("auc", seen.before, seen.after, confidence=confidence)
    return RescannedRow(site=site, auc=before, rescanned=after, cost=cost)


def _auc(measured: Measured, confidence: float) -> Estimate:
    return estimate("auc", measured, confidence=confidence)
