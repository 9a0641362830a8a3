"""Finding nodules in the whole scans of unseen sites: CPM, and sensitivity by false positives a scan.

A patient weighs alike in a site's searches as in its scores, and in every run: so replicates pair.

``R`` replicates, ``Q = 7`` rates.
"""

from __future__ import annotations

import numpy as np

from fedlung.evaluation.detection.froc import FALSE_POSITIVES_PER_SCAN, SENSITIVITY_AT_RATE, sensitivities_at
from fedlung.evaluation.detection.statistics import DetectionStatistics
from fedlung.evaluation.measured import Value
from fedlung.loso.arithmetic import NOTHING, Measurement
from fedlung.loso.folds import FinishedFold, Folds
from fedlung.loso.plan import Fold
from fedlung.loso.rows import Family, Rows

CPM = "cpm"
FROC_METRICS = (CPM, *SENSITIVITY_AT_RATE)
NOT_KEPT = "the run kept no statistics of its searches: it is of an older fedlung"


class Searches:
    """The sensitivities at all rates of each fold and site, worked out once for all tables."""

    def __init__(self) -> None:
        self._found: dict[tuple[Fold, str], dict[str, Value]] = {}

    def values(self, found: FinishedFold, site: str, statistics: DetectionStatistics) -> dict[str, Value]:
        """By metric."""
        key = found.fold, site
        if key not in self._found:
            self._found[key] = froc_values(statistics)
        return self._found[key]


class FrocRows(Rows):
    """Everything in one metric of whole scans."""

    def __init__(self, folds: Folds, metric: str, confidence: float, reference: Family, searches: Searches) -> None:
        super().__init__(folds, metric, confidence, reference)
        self.searches = searches

    def measure(self, found: FinishedFold, site: str) -> Measurement | None:
        own = found.tests.sites.get(site)
        if own is None:
            return None
        if own.detection is None:
            return Measurement(NOTHING.value, 0, f"{site}: {_why_not_searched(found, site)}")
        value = self.searches.values(found, site, own.detection)[self.metric]
        why = "" if own.detection.num_nodules else f"{site}: no nodules to be found"
        return Measurement(value, own.detection.num_patients, why)

    def measure_part(self, found: FinishedFold, site: str) -> Measurement | None:
        """None: all of a site's scans are searched together."""
        return None

    def measure_size(self, found: FinishedFold, site: str) -> Measurement | None:
        """None: a diameter finds nothing."""
        return None


def froc_values(statistics: DetectionStatistics) -> dict[str, Value]:
    """CPM and the sensitivities with their replicates; nan where there is no nodule to be found."""
    whole_Q = sensitivities_at(
        FALSE_POSITIVES_PER_SCAN,
        statistics.histogram_CK,
        np.array(statistics.num_missed),
        np.array(statistics.num_scans),
    )
    replicates_RQ = sensitivities_at(
        FALSE_POSITIVES_PER_SCAN, statistics.replicates_RCK, statistics.num_missed_R, statistics.num_scans_R
    )
    single = {
        name: Value(float(whole_Q[index]), replicates_RQ[:, index]) for index, name in enumerate(SENSITIVITY_AT_RATE)
    }
    return {CPM: Value(float(whole_Q.mean()), replicates_RQ.mean(axis=1)), **single}


def _why_not_searched(found: FinishedFold, site: str) -> str:
    """As the fold's own report says it."""
    detection = found.judgement.detection
    reasons = [row.reason for row in detection.rows if row.site == site] if detection else []
    return reasons[0] or NOT_KEPT if reasons else NOT_KEPT
