"""The statistics behind a run's judgement, kept so that runs can be compared patient by patient.

One file ``tests.npz`` in the run's folder: the final evaluation's statistics of every site, with their bootstrap
replicates, what was found in its whole scans where they were searched, and what was frozen on validation. As the sites
weigh a patient alike in every run, replicate b of one run goes with replicate b of another.

Read again, statistics stay in their small form and are spread out when they are asked for: a plan has hundreds of runs.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fedlung.errors import ProtocolError, RunError
from fedlung.evaluation.detection.statistics import DetectionStatistics
from fedlung.evaluation.measured import Frozen, Measured
from fedlung.evaluation.scores import MODEL
from fedlung.evaluation.standardised import SubgroupKey
from fedlung.evaluation.statistics import ScoreStatistics
from fedlung.files import replacing

TESTS_FILE = "tests.npz"
FROZEN = "frozen"
SCORE, DETECTION, SCANS = "score", "detection", "scans"

Named = dict[str, npt.NDArray[Any]]
Key = TypeVar("Key")


@dataclass(frozen=True)
class SiteTests:
    """One site's final evaluation: statistics by score, and the model's by subgroup.

    ``detection``: what the model found in whole scans; None where none were searched, or the run kept nothing of it.
    """

    scores: Mapping[str, ScoreStatistics]
    subgroups: Mapping[SubgroupKey, ScoreStatistics] = field(default_factory=dict)
    detection: DetectionStatistics | None = None


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
    arrays: Named = {FROZEN: np.frombuffer(json.dumps(dataclasses.asdict(tests.frozen)).encode(), dtype=np.uint8)}
    for site, found in tests.sites.items():
        for score, statistics in found.scores.items():
            arrays |= _named((site, SCORE, score), statistics)
        for key, statistics in found.subgroups.items():
            arrays |= _named((site, key.variable, key.level), statistics)
        if found.detection is not None:
            arrays |= _named((site, DETECTION, SCANS), found.detection)
    with replacing(folder / TESTS_FILE) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load_tests(folder: Path) -> KeptTests:
    """The inverse of ``save_tests``. Raises RunError where the file is absent or damaged; of statistics, when taken."""
    path = folder / TESTS_FILE
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        frozen = Frozen(**json.loads(arrays.pop(FROZEN).tobytes()))
        return KeptTests(_sites(arrays, path), frozen)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, ProtocolError) as error:
        raise _unreadable(path, error) from error


@dataclass(frozen=True, eq=False)
class _Packed(Mapping[Key, ScoreStatistics]):
    """Statistics in their small form. Each is spread out, and found to be sound, when it is taken."""

    arrays_by_key: Mapping[Key, Named]
    path: Path

    def __getitem__(self, key: Key) -> ScoreStatistics:
        arrays = self.arrays_by_key[key]
        try:
            return ScoreStatistics.from_arrays(arrays)
        except (KeyError, ProtocolError) as error:
            raise _unreadable(self.path, error) from error

    def __iter__(self) -> Iterator[Key]:
        return iter(self.arrays_by_key)

    def __len__(self) -> int:
        return len(self.arrays_by_key)


def _unreadable(path: Path, error: Exception) -> RunError:
    return RunError(
        f"{path}: the statistics of the final evaluation cannot be read ({error}). A run of an older fedlung, or "
        "one that did not end, has none: run it again."
    )


def _named(parts: tuple[str, str, str], statistics: ScoreStatistics | DetectionStatistics) -> Named:
    # "|" is in no name of a site, a score or a subgroup, and "/" would make folders of the archive's entries.
    return {"|".join([*parts, name]): values for name, values in statistics.to_arrays().items()}


def _sites(arrays: Named, path: Path) -> dict[str, SiteTests]:
    scores: dict[str, dict[str, Named]] = {}
    subgroups: dict[str, dict[SubgroupKey, Named]] = {}
    detections: dict[str, Named] = {}
    for name, values in arrays.items():
        site, kind, what, field_name = name.split("|")
        if kind == SCORE:
            scores.setdefault(site, {}).setdefault(what, {})[field_name] = values
        elif kind == DETECTION:
            detections.setdefault(site, {})[field_name] = values
        else:
            subgroups.setdefault(site, {}).setdefault(SubgroupKey(kind, what), {})[field_name] = values
    return {
        site: SiteTests(
            _Packed(found, path),
            _Packed(subgroups.get(site, {}), path),
            DetectionStatistics.from_arrays(detections[site]) if site in detections else None,
        )
        for site, found in scores.items()
    }
