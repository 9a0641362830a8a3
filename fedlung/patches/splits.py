"""Which of a site's patients train, validate and test.

By patient, never by series or patch: two patches of one patient never stand on both sides of a split.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from fedlung.config import SplitConfig
from fedlung.errors import DataError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)


def split_patients(label_by_patient: Mapping[str, int], cfg: SplitConfig, rng: np.random.Generator) -> dict[str, str]:
    """The split of each patient, stratified on the patient's label.

    Within each label the shares are those of ``cfg``, rounded, and at least one patient where the label has three.
    Few patients fill the splits in the order train, validation, test:

    - one patient: training only. Validation and test are empty, what is estimated on them is undefined there;
    - two: training and validation. The site's own test is empty;
    - three or more: none is empty. A label with one patient only trains, one with two trains and validates, so that
      the AUC of a split is undefined where a label is missing from it.

    The order of the mapping does not matter. Raises DataError when there is no patient.
    """
    if not label_by_patient:
        raise DataError(
            "a site has no patient with an example of the task: nothing to split. See in its ledger what was left out, "
            "compare task.readers with its annotations, or bring more patients.",
            public="no patient with an example of the task",
        )
    splits: dict[str, str] = {}
    for label in sorted(set(label_by_patient.values())):
        patients = sorted(patient for patient, own in label_by_patient.items() if own == label)
        shuffled = [patients[position] for position in rng.permutation(len(patients))]
        splits |= _cut(shuffled, cfg)
    if len(splits) >= len(SPLITS) and TEST not in splits.values():
        splits[_spare_patient(splits, label_by_patient)] = TEST
    return dict(sorted(splits.items()))


def all_test(label_by_patient: Mapping[str, int]) -> dict[str, str]:
    """The splits of a held-out site: every patient is test."""
    return dict.fromkeys(sorted(label_by_patient), TEST)


def _cut(shuffled: Sequence[str], cfg: SplitConfig) -> dict[str, str]:
    """The first patients validate, the next ones test, the rest trains."""
    num_validation, num_test = _split_sizes(len(shuffled), cfg)
    num_train = len(shuffled) - num_validation - num_test
    names = [VALIDATION] * num_validation + [TEST] * num_test + [TRAIN] * num_train
    return dict(zip(shuffled, names, strict=True))


def _split_sizes(num_patients: int, cfg: SplitConfig) -> tuple[int, int]:
    """How many of one label's patients validate and test; at least one is left to train."""
    if num_patients < len(SPLITS):
        return max(num_patients - 1, 0), 0
    num_validation = max(1, math.floor(num_patients * cfg.validation + 0.5))
    num_test = max(1, math.floor(num_patients * cfg.test + 0.5))
    while num_validation + num_test >= num_patients:
        if num_test >= num_validation:
            num_test -= 1
        else:
            num_validation -= 1
    return num_validation, num_test


def _spare_patient(splits: Mapping[str, str], label_by_patient: Mapping[str, int]) -> str:
    """Who tests when no label had three patients: of the fullest split, validation before training, lowest label."""
    sizes = Counter(splits.values())
    donor = max((VALIDATION, TRAIN), key=lambda split: sizes[split])
    return min((patient for patient in splits if splits[patient] == donor), key=lambda p: (label_by_patient[p], p))
