"""The statistics behind a run's judgement, kept so that runs can be compared patient by patient.

One file ``tests.npz`` in the run's folder: the final evaluation's statistics of every site, with their bootstrap
replicates, and what was frozen on validation. As the sites weigh a patient alike in every run, replicate b of one run
goes with replicate b of another.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedlung.errors import ProtocolError, RunError
from fedlung.evaluation.measured import Frozen, Measured
from fedlung.evaluation.scores import MODEL
from fedlung.evaluation.standardised import SubgroupKey
from fedlung.evaluation.statistics import ScoreStatistics
from fedlung.files import replacing

TESTS_FILE = "tests.npz"
FROZEN = "frozen"


@dataclass(frozen=True)
class SiteTests:
    """One site's final evaluation: statistics by score, and the model's by subgroup."""

    scores: Mapping[str, ScoreStatistics]
    subgroups: Mapping[SubgroupKey, ScoreStatistics] = field(default_factory=dict)


@dataclass(frozen=True)
class KeptTests:
    """A run's final evaluation by site."""

    sites: Mapping[str, SiteTests]
    frozen: Frozen

    def measured(self, site: str, score: str = MODEL) -> Measured | None:
        """A site's score under what was frozen; None where the site has not given it."""
        found = self.sites.get(site)
        return None if found is None or score not in found.scores else Measured(found.scores[score], self.frozen)

    def subgroup(self, site: str, key: SubgroupKey) -> Measured | None:
        """The model's scores of a part of a site's examples; None where the site has not told of it."""
        found = self.sites.get(site)
        return None if found is None or key not in found.subgroups else Measured(found.subgroups[key], self.frozen)


def save_tests(folder: Path, tests: KeptTests) -> None:
    """Write ``tests.npz`` into a run's folder, whole or not at all."""
    arrays: dict[str, npt.NDArray[Any]] = {
        FROZEN: np.frombuffer(json.dumps(dataclasses.asdict(tests.frozen)).encode(), dtype=np.uint8)
    }
    for site, found in tests.sites.items():
        for score, statistics in found.scores.items():
            arrays |= _named((site, "score", score), statistics)
        for key, statistics in found.subgroups.items():
            arrays |= _named((site, key.variable, key.level), statistics)
    with replacing(folder / TESTS_FILE) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load_tests(folder: Path) -> KeptTests:
    """The inverse of ``save_tests``. Raises RunError where the file is absent or damaged."""
    path = folder / TESTS_FILE
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        frozen = Frozen(**json.loads(arrays.pop(FROZEN).tobytes()))
        return KeptTests(_sites(arrays), frozen)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, ProtocolError) as error:
        raise RunError(
            f"{path}: the statistics of the final evaluation cannot be read ({error}). A run of an older fedlung, or "
            "one that did not end, has none: run it again."
        ) from error


def _named(parts: tuple[str, str, str], statistics: ScoreStatistics) -> dict[str, npt.NDArray[Any]]:
    # "|" is in no name of a site, a score or a subgroup, and "/" would make folders of the archive's entries.
    return {"|".join([*parts, name]): values for name, values in statistics.to_arrays().items()}


def _sites(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, SiteTests]:
    grouped: dict[tuple[str, str, str], dict[str, npt.NDArray[Any]]] = {}
    for name, values in arrays.items():
        site, kind, what, field_name = name.split("|")
        grouped.setdefault((site, kind, what), {})[field_name] = values
    scores: dict[str, dict[str, ScoreStatistics]] = {}
    subgroups: dict[str, dict[SubgroupKey, ScoreStatistics]] = {}
    for (site, kind, what), parts in grouped.items():
        statistics = ScoreStatistics.from_arrays(parts)
        if kind == "score":
            scores.setdefault(site, {})[what] = statistics
        else:
            subgroups.setdefault(site, {})[SubgroupKey(kind, what)] = statistics
    return {site: SiteTests(found, subgroups.get(site, {})) for site, found in scores.items()}
