"""Free-response ROC of the sites' whole scans, by site and pooled, from the counts that they sent."""

from __future__ import annotations

from collections.abc import Mapping

from fedlung.config import DetectionConfig, RunConfig
from fedlung.evaluation.detection import (
    FALSE_POSITIVES_PER_SCAN,
    DetectionStatistics,
    add_detections,
    froc_estimate,
    froc_points,
)
from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.judgement import Detection, DetectionRow
from fedlung.protocol import DETECTION, EvaluateReply, Undetected

REASONS: dict[Undetected, str] = {
    "no-scans": "the site has no prepared scan of a test patient",
    "few-patients": "kept by the site: fewer patients than it tells of",
    "scores-not-finite": "the model's scores are not finite: it has diverged",
    "search-failed": "the search failed at the site; the error is in the site's errors.log",
}
DEFINITION = (
    "test patients' whole prepared scans; windows {where}; candidates by non-maximum suppression at {distance:g} mm, "
    "{most} a scan at most. A nodule of at least {readers} readers and 3 mm is found by a candidate nearer to its "
    "centre than its radius; a candidate on any other finding counts neither way (LUNA16). Nodules outside of the "
    "prepared volume count as missed. CPM: mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives a scan. "
    "Intervals by patient"
)


def judge_detection(config: RunConfig, tests: Mapping[str, EvaluateReply]) -> Detection | None:
    """A row for each site and one for those together that told of their scans; None where nobody was asked."""
    asked = {site: reply for site, reply in sorted(tests.items()) if reply.detection or reply.undetected}
    if not asked:
        return None
    told = {site: reply.detection[DETECTION] for site, reply in asked.items() if reply.detection}
    confidence = config.evaluate.confidence
    rows = [
        _row(site, (site,), told[site], confidence) if site in told else _nothing(site, REASONS[reply.undetected])
        for site, reply in asked.items()
    ]
    if told:
        rows.append(_row(None, tuple(told), add_detections(list(told.values())), confidence))
    return Detection(definition=_definition(config), rows=tuple(rows))


def _definition(config: RunConfig) -> str:
    cfg = config.detection
    return DEFINITION.format(
        where=_where(cfg), distance=cfg.min_distance_mm, most=cfg.max_candidates, readers=config.task.readers
    )


def _where(cfg: DetectionConfig) -> str:
    if cfg.search == "everywhere":
        return f"at every {cfg.stride}. voxel of the lungs along each axis"
    return (
        "at blobs of the lungs, from which brightness falls off along every direction (its curvature, times the square "
        f"of the blob's scale, is {cfg.least_curvature_hu:g} HU at least); a nodule without one counts as missed"
    )


def _row(site: str | None, sites: tuple[str, ...], found: DetectionStatistics, confidence: float) -> DetectionRow:
    def estimated(name: str) -> Estimate:
        return froc_estimate(name, found, None, confidence=confidence)

    return DetectionRow(
        site=site,
        sites=sites,
        num_patients=found.num_patients,
        num_scans=found.num_scans,
        num_nodules=found.num_nodules,
        num_never_found=found.num_missed,
        cpm=estimated("cpm"),
        sensitivities={f"{rate:g}": estimated(f"sensitivity_at_{rate:g}") for rate in FALSE_POSITIVES_PER_SCAN},
        froc=tuple(froc_points(found)),
    )


def _nothing(site: str, reason: str) -> DetectionRow:
    none = Estimate(reason=reason)
    return DetectionRow(
        site=site,
        sites=(),
        num_patients=0,
        num_scans=0,
        num_nodules=0,
        num_never_found=0,
        cpm=none,
        sensitivities={f"{rate:g}": none for rate in FALSE_POSITIVES_PER_SCAN},
        froc=(),
        reason=reason,
    )
