from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlung.config import SplitConfig
from fedlung.patches.partition import RULES, partition
from fedlung.patches.splits import SPLITS, split_patients

LABELS = st.dictionaries(st.text("abcdef0123", min_size=1, max_size=6), st.integers(0, 1), min_size=1, max_size=60)
SHARES = st.builds(SplitConfig, validation=st.floats(0.01, 0.37), test=st.floats(0.01, 0.38))


@given(labels=LABELS, cfg=SHARES, seed=st.integers(0, 2**32))
def test_each_patient_is_in_one_split_whatever_the_order(labels: dict[str, int], cfg: SplitConfig, seed: int) -> None:
    splits = split_patients(labels, cfg, np.random.default_rng(seed))
    backwards = dict(reversed(labels.items()))
    assert splits == split_patients(backwards, cfg, np.random.default_rng(seed))
    assert set(splits) == set(labels) and set(splits.values()) <= set(SPLITS)


@given(labels=LABELS, cfg=SHARES, seed=st.integers(0, 2**32))
def test_three_patients_fill_every_split_and_three_of_a_label_are_in_every_split(
    labels: dict[str, int], cfg: SplitConfig, seed: int
) -> None:
    splits = split_patients(labels, cfg, np.random.default_rng(seed))
    if len(labels) >= 3:
        assert set(splits.values()) == set(SPLITS)
    for label in (0, 1):
        own = [patient for patient in labels if labels[patient] == label]
        if len(own) >= 3:
            assert {splits[patient] for patient in own} == set(SPLITS)


@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 15),
            st.sampled_from(["GE MEDICAL SYSTEMS", "SIEMENS", "Philips", "TOSHIBA", "", None]),
            st.sampled_from([0.75, 1.25, 2.0, 3.0, float("nan")]),
            st.integers(0, 1),
        ),
        min_size=1,
        max_size=40,
    ),
    by=st.sampled_from(RULES),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None)
def test_no_rule_puts_a_patient_at_two_sites(rows: list[tuple], by: str, seed: int) -> None:
    table = pd.DataFrame(rows, columns=["patient_id", "manufacturer", "slice_thickness_mm", "label"])
    table = table.assign(
        patient_id="p" + table["patient_id"].astype(str),
        series_uid=[f"s{index}" for index in range(len(table))],
        scanner_model=table["manufacturer"],
    )
    own = table[["series_uid"]].assign(site=[f"site-{index % 3}" for index in range(len(table))])
    num_sites = min(2, table["patient_id"].nunique())
    result = partition(table, by=by, num_sites=num_sites, alpha=1.0, rng=np.random.default_rng(seed), own=own)  # type: ignore[arg-type]
    assert sorted(result["series_uid"]) == sorted(table["series_uid"])
    assert (result.groupby("patient_id")["site"].nunique() == 1).all()
