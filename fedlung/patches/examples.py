"""All examples of one site: its patients' splits, and the set of each split.

    site = site_examples(cases_or_archive, cfg, site="GE", held_out=False)
    site.training(server_round)     drawn anew each round
    site.fixed("validation")        the same at every call

What is drawn depends on the run's seed, the site's name, the purpose and the round, and on nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from fedlung.config import RunConfig
from fedlung.errors import DataError
from fedlung.patches.archive import PatchArchive
from fedlung.patches.dataset import ArchiveSet, ExampleSet, PatchSet, ScanSet, patch_set
from fedlung.patches.sampling import IntArray, hard_candidates, patient_labels
from fedlung.patches.splits import SPLITS, TEST, TRAIN, all_test, split_patients
from fedlung.preprocess.case import Case
from fedlung.seeding import derive

MOST_SEARCHED = 10_000  # cases, some kB each
_SEARCHED: dict[str, IntArray] = {}  # by the image's digest


NOTHING: Mapping[str, IntArray] = {}


class SplitSize(NamedTuple):
    """Examples of one split."""

    num_patients: int
    num_positive: int
    num_negative: int


class Source(Protocol):
    """Where a site's examples come from. ``unused_nodules`` counts by reason those that the task cannot use."""

    @property
    def unused_nodules(self) -> Mapping[str, int]: ...

    def patient_labels(self) -> dict[str, int]: ...

    def own_splits(self) -> dict[str, str]: ...

    def cases(self, patients: frozenset[str]) -> Sequence[Case]: ...

    def examples(
        self,
        patients: frozenset[str],
        rng: np.random.Generator,
        *,
        training: bool,
        mined: Mapping[str, IntArray] = NOTHING,
    ) -> ExampleSet: ...


def site_examples(data: Sequence[Case] | PatchArchive, cfg: RunConfig, *, site: str, held_out: bool) -> SiteExamples:
    """The examples of a site out of its prepared cases or its part of an archive.

    Every patient of a held-out site is test. Splits that an archive brings are kept. Raises DataError when no patient
    of a source site has an example of the task.
    """
    source: Source = ArchiveSource(data, cfg) if isinstance(data, PatchArchive) else CaseSource(data, cfg)
    labels = source.patient_labels()
    if held_out and not labels:
        return SiteExamples(source, {}, cfg, site, frozenset())
    own_splits = source.own_splits() or split_patients(labels, cfg.split, derive(cfg.seed, "split", site))
    own_test = frozenset(patient for patient, split in own_splits.items() if split == TEST)
    return SiteExamples(source, all_test(labels) if held_out else own_splits, cfg, site, own_test)


class SiteExamples:
    """The splits of one site's patients and the examples of each.

    ``own_test``: the test patients that the site has as a source; of a held-out site, those that it would have as one.
    A model that trained on the site's other patients is compared with one that never saw it on them.
    """

    def __init__(
        self, source: Source, splits: Mapping[str, str], cfg: RunConfig, site: str, own_test: frozenset[str]
    ) -> None:
        self.split_by_patient = splits
        self.own_test = own_test
        self.unused_nodules = source.unused_nodules
        self._source, self._cfg, self._site = source, cfg, site
        self._fixed: dict[str, ExampleSet] = {}

    def training(self, server_round: int, mined: Mapping[str, IntArray] | None = None) -> ExampleSet:
        """The round's training examples. Raises DataError when there are none.

        ``mined``: by case_id, zyx voxels at which hard background is to lie instead of at bright places.
        """
        rng = derive(self._cfg.seed, "patches", self._site, server_round)
        examples = self._source.examples(self._patients(TRAIN), rng, training=True, mined=mined or {})
        if not len(examples):
            raise DataError(
                f"site {self._site} has no training example of task {self._cfg.task.name}: give it more "
                "patients or make it held out",
                public=f"site {self._site} has no training example",
            )
        return examples

    def fixed(self, split: str) -> ExampleSet:
        """The examples of a split as they are judged: centred, never augmented, made once. May be empty."""
        if split not in self._fixed:
            rng = derive(self._cfg.seed, "judged patches", self._site, split)
            self._fixed[split] = self._source.examples(self._patients(split), rng, training=False)
        return self._fixed[split]

    def cases(self, split: str) -> Sequence[Case]:
        """The prepared cases of a split's patients, those without an example too; an archive has none."""
        return self._source.cases(self._patients(split))

    def sizes(self) -> dict[str, SplitSize]:
        """Patients, positives and negatives of every split."""
        return {split: _size(self.fixed(split)) for split in SPLITS}

    def _patients(self, split: str) -> frozenset[str]:
        return frozenset(patient for patient, own in self.split_by_patient.items() if own == split)


def _candidates(case: Case) -> IntArray:
    """A case's ``hard_candidates``, searched once in this process, however many runs it takes part in."""
    if not case.image_digest:
        return hard_candidates(case)
    if case.image_digest not in _SEARCHED:
        if len(_SEARCHED) >= MOST_SEARCHED:
            _SEARCHED.clear()
        _SEARCHED[case.image_digest] = hard_candidates(case)
    return _SEARCHED[case.image_digest]


class CaseSource:
    """Prepared cases. The places for hard background are searched once for each case."""

    def __init__(self, cases: Sequence[Case], cfg: RunConfig) -> None:
        self._cases, self._cfg = sorted(cases, key=lambda case: case.case_id), cfg
        self._candidates: dict[str, IntArray] = {}
        self.unused_nodules = _unused_nodules(self._cases, cfg)

    def patient_labels(self) -> dict[str, int]:
        return patient_labels(self._cases, self._cfg.task)

    def own_splits(self) -> dict[str, str]:
        return {}

    def cases(self, patients: frozenset[str]) -> list[Case]:
        return [case for case in self._cases if case.patient_key in patients]

    def examples(
        self,
        patients: frozenset[str],
        rng: np.random.Generator,
        *,
        training: bool,
        mined: Mapping[str, IntArray] = NOTHING,
    ) -> PatchSet | ScanSet:
        cfg, cases = self._cfg, self.cases(patients)
        if cfg.task.name == "scan":
            return ScanSet(cases, cfg.task, cfg.prepare)
        if cfg.task.name == "nodule":
            self._search(cases)
        candidates = {**self._candidates, **mined}
        return patch_set(cases, cfg.task, cfg.patches, cfg.prepare, rng, training=training, candidates=candidates)

    def _search(self, cases: Sequence[Case]) -> None:
        for case in cases:
            if case.case_id not in self._candidates:
                self._candidates[case.case_id] = _candidates(case)


class ArchiveSource:
    """One site's cubes of an archive; they are the same each round."""

    def __init__(self, archive: PatchArchive, cfg: RunConfig) -> None:
        self._archive, self.unused_nodules = archive.for_task(cfg.task)
        self._cfg = cfg

    def patient_labels(self) -> dict[str, int]:
        labels: dict[str, int] = {}
        for patient, label in zip(self._archive.patient_N.tolist(), self._archive.label_N.tolist(), strict=True):
            labels[patient] = max(labels.get(patient, 0), label)
        return labels

    def own_splits(self) -> dict[str, str]:
        """The archive's own splits, or nothing when it has none for some cube."""
        splits = dict(zip(self._archive.patient_N.tolist(), self._archive.split_N.tolist(), strict=True))
        return splits if all(splits.values()) else {}

    def cases(self, patients: frozenset[str]) -> list[Case]:
        return []

    def examples(
        self,
        patients: frozenset[str],
        rng: np.random.Generator,
        *,
        training: bool,
        mined: Mapping[str, IntArray] = NOTHING,
    ) -> ArchiveSet:
        keep_N = np.isin(self._archive.patient_N, sorted(patients))
        return ArchiveSet(self._archive.take(keep_N), size=self._cfg.patches.size)


def _unused_nodules(cases: Sequence[Case], cfg: RunConfig) -> dict[str, int]:
    """Nodules that are no example, by reason. The label of a scan leaves none out."""
    if cfg.task.name == "scan":
        return {}
    reasons: Counter[str] = Counter()
    for case in cases:
        for nodule in case.nodules:
            if nodule.readers < cfg.task.readers:
                reasons["readers-below-k"] += 1
            elif cfg.task.name == "malignancy" and nodule.malignant is None:
                reasons["malignancy-undecided"] += 1
    return dict(reasons)


def _size(examples: ExampleSet) -> SplitSize:
    num_positive = int(examples.labels_N.sum())
    return SplitSize(len(np.unique(examples.patients_N)), num_positive, len(examples) - num_positive)
