"""Finding nodules in whole scans, and judging what was found: candidates, LUNA16's hits, FROC and CPM.

find_candidates        model, case -> Candidates
match_candidates       candidates, findings -> ScanHits
detection_statistics   the hits of a site's scans -> DetectionStatistics, which add up
froc_estimate          statistics -> CPM, sensitivity at a number of false positives a scan, each with its interval
"""

from fedlung.evaluation.detection.candidates import Candidates, candidates_of
from fedlung.evaluation.detection.find import Search, find_candidates
from fedlung.evaluation.detection.froc import (
    DETECTION_METRICS,
    FALSE_POSITIVES_PER_SCAN,
    edge_for_rate,
    froc_estimate,
    froc_points,
)
from fedlung.evaluation.detection.matching import ScanHits, is_relevant, match_candidates
from fedlung.evaluation.detection.statistics import (
    DetectionStatistics,
    add_detections,
    detection_statistics,
    weighted_detections,
)

__all__ = [
    "DETECTION_METRICS",
    "FALSE_POSITIVES_PER_SCAN",
    "Candidates",
    "DetectionStatistics",
    "ScanHits",
    "Search",
    "add_detections",
    "candidates_of",
    "detection_statistics",
    "edge_for_rate",
    "find_candidates",
    "froc_estimate",
    "froc_points",
    "is_relevant",
    "match_candidates",
    "weighted_detections",
]
