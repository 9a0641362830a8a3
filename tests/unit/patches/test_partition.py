from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedlung.errors import DataError
from fedlung.patches.partition import manufacturer_name, moved_patients, partition, virtual_site


def table(**columns: list[object]) -> pd.DataFrame:
    num = len(next(iter(columns.values())))
    return pd.DataFrame({"series_uid": [f"s{index}" for index in range(num)], **columns})


def sites(partitioned: pd.DataFrame) -> dict[str, str]:
    return dict(zip(partitioned["series_uid"], partitioned["site"], strict=True))


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("GE MEDICAL SYSTEMS", "GE"),
        ("PHILIPS", "Philips"),
        ("Philips Medical Systems", "Philips"),
        ("Siemens Healthineers", "SIEMENS"),
        ("TOSHIBA", "TOSHIBA"),
        ("Canon/Med, Inc", "Canon-Med-Inc"),
        ("Imagen", "Imagen"),
        (float("nan"), "unknown"),
        ("", "unknown"),
    ],
)
def test_a_manufacturer_has_one_spelling(written: object, name: str) -> None:
    assert manufacturer_name(written) == name


def test_a_site_name_is_safe_in_a_path_and_on_a_command_line() -> None:
    scanned = table(patient_id=["a", "b"], scanner_model=["../LightSpeed QX/i; rm", "(a)"])
    assert set(sites(partition(scanned, by="scanner-model")).values()) == {"LightSpeed-QX-i-rm", "a"}


def test_two_own_sites_that_would_get_one_name_are_refused() -> None:
    own = pd.DataFrame({"patient_id": ["a", "b"], "site": ["Nord 1", "Nord/1"]})
    with pytest.raises(DataError, match="'Nord 1', 'Nord/1' would all be named Nord-1"):
        partition(table(patient_id=["a", "b"]), by="table", own=own)


def test_sites_in_another_script_stay_apart() -> None:
    own = pd.DataFrame({"patient_id": ["a", "b"], "site": ["東京", "大阪"]})
    assert len(set(sites(partition(table(patient_id=["a", "b"]), by="table", own=own)).values())) == 2


def test_no_series_at_all_is_said_and_not_taken_for_a_wrong_table() -> None:
    with pytest.raises(DataError, match="no series to make sites of"):
        partition(pd.DataFrame())


def test_virtual_sites_cut_at_one_and_a_quarter_and_at_three_millimetres() -> None:
    assert [virtual_site("GE", mm) for mm in (1.25, 1.3, float("nan"))] == ["GE-thin", "GE-thick", "GE-unknown"]
    assert [virtual_site("SIEMENS", mm) for mm in (1.25, 2.0, 3.0)] == ["SIE-thin", "SIE-2", "SIE-thick"]
    assert [virtual_site(name, 3.0) for name in ("Philips", "TOSHIBA", "Canon")] == ["PHI", "TOS", "Canon"]


def test_a_patient_of_two_scanners_goes_to_the_one_of_most_series_and_is_listed() -> None:
    scanned = table(patient_id=["a", "a", "a", "b"], manufacturer=["TOSHIBA", "TOSHIBA", "GE", "GE"])
    result = partition(scanned, by="manufacturer")
    assert sites(result) == {"s0": "TOSHIBA", "s1": "TOSHIBA", "s2": "TOSHIBA", "s3": "GE"}
    assert moved_patients(result).to_dict("records") == [
        {"patient_id": "a", "site": "TOSHIBA", "moved_from": "GE", "num_series": 1}
    ]


def test_a_tie_goes_to_the_alphabetically_first_site() -> None:
    scanned = table(patient_id=["a", "a"], manufacturer=["TOSHIBA", "SIEMENS"])
    assert set(sites(partition(scanned)).values()) == {"SIEMENS"}


def test_scanner_models_become_sites() -> None:
    scanned = table(patient_id=["a", "b", "c"], scanner_model=["LightSpeed Plus", "LightSpeed16", None])
    assert list(sites(partition(scanned, by="scanner-model")).values()) == [
        "LightSpeed-Plus",
        "LightSpeed16",
        "unknown",
    ]


def test_iid_sites_differ_by_one_patient_at_most() -> None:
    scanned = table(patient_id=[f"p{index}" for index in range(10)])
    sizes = partition(scanned, by="iid", num_sites=4, rng=np.random.default_rng(0))["site"].value_counts()
    assert sorted(sizes) == [2, 2, 3, 3]


def test_a_small_alpha_separates_labels_and_a_large_one_mixes_them() -> None:
    scanned = table(patient_id=[f"p{index:04d}" for index in range(2000)], label=[0, 1] * 1000)

    def spread(alpha: float) -> float:
        result = partition(scanned, by="dirichlet", num_sites=2, alpha=alpha, rng=np.random.default_rng(3))
        return float(result.merge(scanned).groupby("site")["label"].mean().std())

    assert spread(0.1) > 0.2
    assert spread(1000.0) < 0.03


def test_an_own_table_by_patient_is_followed() -> None:
    own = pd.DataFrame({"patient_id": ["a", "b"], "site": ["North", "South wing"]})
    result = partition(table(patient_id=["a", "b", "a"]), by="table", own=own)
    assert sites(result) == {"s0": "North", "s1": "South-wing", "s2": "North"}


@pytest.mark.parametrize(
    ("scanned", "settings", "message"),
    [
        ({"patient_id": ["a"]}, {"by": "manufacturer"}, "lacks the column manufacturer"),
        ({"patient_id": ["a"]}, {"by": "colour"}, "no such rule"),
        ({"patient_id": ["a"]}, {"by": "iid"}, "needs a generator"),
        ({"patient_id": ["a"]}, {"by": "iid", "num_sites": 2, "rng": np.random.default_rng(0)}, "lower num-sites"),
        (
            {"patient_id": ["a"]},
            {"by": "table", "own": pd.DataFrame({"patient_id": ["b"], "site": ["x"]})},
            "lacks 1 of",
        ),
        (
            {"patient_id": ["a"]},
            {"by": "table", "own": pd.DataFrame({"patient_id": ["a", "a"], "site": ["x", "y"]})},
            "to two sites",
        ),
    ],
)
def test_a_table_that_lacks_what_the_rule_needs_is_refused(
    scanned: dict[str, list[object]], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        partition(table(**scanned), **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def lidc_table(shared_data: Path) -> pd.DataFrame:
    names = {"SeriesInstanceUID": "series_uid", "slice_thickness": "slice_thickness_mm", "seed_label": "label"}
    return pd.read_csv(shared_data / "tables" / "lidc_series.csv").rename(columns=names)


@pytest.mark.lidc
def test_lidc_has_four_patients_of_two_manufacturers_who_go_whole_to_one(lidc_table: pd.DataFrame) -> None:
    result = partition(lidc_table, by="manufacturer")
    moved = moved_patients(result)
    assert moved["patient_id"].str[-4:].tolist() == ["0151", "0315", "0355", "0365"]
    assert set(moved["site"]) == {"SIEMENS"} and set(moved["moved_from"]) == {"TOSHIBA"}
    assert result.groupby("site").size().to_dict() == {"GE": 670, "Philips": 74, "SIEMENS": 209, "TOSHIBA": 65}


@pytest.mark.lidc
def test_virtual_sites_of_lidc_are_those_of_the_table(lidc_table: pd.DataFrame) -> None:
    own_site = partition(lidc_table, by="virtual-site").set_index("series_uid")["own_site"]
    known = lidc_table.set_index("series_uid")["virtual_site"].str.replace(r"\(.*\)", "", regex=True)
    assert (own_site.loc[known.index] == known).all()


@pytest.mark.lidc
@pytest.mark.parametrize("by", ["manufacturer", "scanner-model", "virtual-site", "dirichlet", "iid"])
def test_no_lidc_patient_is_at_two_sites(lidc_table: pd.DataFrame, by: str) -> None:
    result = partition(lidc_table, by=by, rng=np.random.default_rng(0))  # type: ignore[arg-type]
    assert len(result) == 1018
    assert (result.groupby("patient_id")["site"].nunique() == 1).all()
