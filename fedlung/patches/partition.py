"""Sites out of a table of series, by patient: every series of a patient is at one site.

A table of series has the columns ``series_uid`` and ``patient_id`` and, as the rule asks for them, ``manufacturer``,
``scanner_model``, ``slice_thickness_mm`` and ``label``.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import get_args

import numpy as np
import pandas as pd

from fedlung.config import PartitionRule
from fedlung.errors import DataError
from fedlung.names import SITE_NAME_RULE, as_site_name

RULES: tuple[str, ...] = get_args(PartitionRule)

_MANUFACTURERS = {"ge": "GE", "general": "GE", "philips": "Philips", "siemens": "SIEMENS", "toshiba": "TOSHIBA"}
_PREFIXES = {"GE": "GE", "SIEMENS": "SIE", "Philips": "PHI", "TOSHIBA": "TOS"}
_MAX_DRAWS = 1000


def partition(
    table: pd.DataFrame,
    *,
    by: PartitionRule = "manufacturer",
    num_sites: int = 4,
    alpha: float = 0.5,
    rng: np.random.Generator | None = None,
    own: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The site of each series: columns series_uid, patient_id, site, and own_site, which the rule alone gives.

    by         manufacturer; scanner-model; virtual-site (manufacturer and slice thickness, see ``virtual_site``);
               dirichlet and iid (``num_sites``, ``rng``; the former with ``alpha`` over ``label``);
               table (``own``: column site beside series_uid or patient_id)

    A patient whose series the rule gives to several sites goes whole to the one that has most of them, in a tie to
    the alphabetically first; ``moved_patients`` lists them. Raises DataError when the table lacks what the rule needs.
    """
    if table.empty:
        raise DataError("there is no series to make sites of: what was left out, and why, says what to mend")
    _require(table, "series_uid", "patient_id")
    if table["series_uid"].duplicated().any():
        raise DataError("the table of series names a series twice; each series_uid must have one row")
    own_site: list[str] | pd.Series
    if by in ("dirichlet", "iid"):
        own_site = _drawn_sites(table, by, num_sites=num_sites, alpha=alpha, rng=rng)
    elif by == "table":
        own_site = _sites_of_own_table(table, own)
    elif by in RULES:
        own_site = _sites_of_scanners(table, by)
    else:
        raise DataError(f"partition by {by!r}: no such rule; there are {', '.join(RULES)}")
    result = table[["series_uid", "patient_id"]].assign(own_site=own_site)
    result["site"] = result["patient_id"].map(result.groupby("patient_id")["own_site"].agg(_most_frequent))
    return result[["series_uid", "patient_id", "site", "own_site"]].sort_values("series_uid", ignore_index=True)


def moved_patients(partitioned: pd.DataFrame) -> pd.DataFrame:
    """Who had series at several sites: columns patient_id, site, moved_from (space-separated), num_series moved."""
    moved = partitioned[partitioned["own_site"] != partitioned["site"]]
    return moved.groupby(["patient_id", "site"], as_index=False).agg(
        moved_from=("own_site", lambda sites: " ".join(sorted(set(sites)))), num_series=("series_uid", "size")
    )


def manufacturer_name(text: object) -> str:
    """One spelling for each manufacturer: "GE MEDICAL SYSTEMS" and "GE" -> "GE"; one unknown to us -> a safe name."""
    words = re.findall(r"[a-z]+", _text(text).lower())
    known = [name for word, name in _MANUFACTURERS.items() if word in words]
    return known[0] if known else as_site_name(_text(text))


def virtual_site(manufacturer: object, slice_thickness_mm: float) -> str:
    """A finer site of manufacturer and slice thickness.

    GE-thin (<= 1.25 mm), GE-thick; SIE-thin (<= 1.25 mm), SIE-2 (between), SIE-thick (>= 3 mm); PHI; TOS; and any
    other manufacturer by its name.
    """
    name = manufacturer_name(manufacturer)
    prefix = _PREFIXES.get(name, name)
    if prefix not in ("GE", "SIE"):
        return prefix
    if not np.isfinite(slice_thickness_mm):
        return f"{prefix}-unknown"
    if slice_thickness_mm <= 1.25:
        return f"{prefix}-thin"
    return "SIE-2" if prefix == "SIE" and slice_thickness_mm < 3 else f"{prefix}-thick"


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else "" if value is None or value != value else str(value)


def _most_frequent(sites: pd.Series) -> str:
    return min(sites.unique(), key=lambda site: (-(sites == site).sum(), site))


def _sites_of_scanners(table: pd.DataFrame, by: str) -> list[str]:
    if by == "scanner-model":
        _require(table, "scanner_model")
        return [as_site_name(_text(model)) for model in table["scanner_model"]]
    _require(table, "manufacturer")
    if by == "manufacturer":
        return [manufacturer_name(name) for name in table["manufacturer"]]
    _require(table, "slice_thickness_mm")
    return [virtual_site(*row) for row in zip(table["manufacturer"], table["slice_thickness_mm"], strict=True)]


def _sites_of_own_table(table: pd.DataFrame, own: pd.DataFrame | None) -> pd.Series:
    """The site of each series in a table of the user's own; every series must be in it, each under one site."""
    if own is None:
        raise DataError("partition by table needs a table with a column site beside series_uid or patient_id")
    key = "series_uid" if "series_uid" in own.columns else "patient_id"
    _require(own, key, "site")
    site_of_key = own[[key, "site"]].drop_duplicates()
    if repeated := int(site_of_key[key].duplicated().sum()):
        raise DataError(f"the own table gives {repeated} {key} to two sites; each must have one")
    sites = table[key].map(site_of_key.set_index(key)["site"])
    if missing := int(sites.isna().sum()):
        raise DataError(f"the own table lacks {missing} of {len(table)} series (looked up by {key}); add their rows")
    return sites.map(_names_of_own_sites(sites))


def _names_of_own_sites(sites: pd.Series) -> dict[str, str]:
    """The name of a site for each one that a user wrote; two that would be one are refused, not merged."""
    names = {str(written): as_site_name(str(written)) for written in sites.unique()}
    for name, number in Counter(names.values()).items():
        if number > 1:
            same = ", ".join(repr(written) for written, own in names.items() if own == name)
            raise DataError(f"the own table's sites {same} would all be named {name}; a name is {SITE_NAME_RULE}")
    return names


def _drawn_sites(
    table: pd.DataFrame, by: str, *, num_sites: int, alpha: float, rng: np.random.Generator | None
) -> pd.Series:
    """Random sites ``site-1`` .. of patients; a patient's label is the largest of their series'."""
    if rng is None:
        raise DataError(f"partition by {by} draws at random and needs a generator")
    patients = sorted(table["patient_id"].unique())
    if not 1 <= num_sites <= len(patients):
        raise DataError(f"{num_sites} sites of {len(patients)} patients: every site needs one; lower num-sites")
    if by == "iid":
        site_N = rng.permutation(len(patients)) % num_sites
    else:
        _require(table, "label")
        label_N = table.groupby("patient_id")["label"].max().loc[patients].to_numpy()
        site_N = _dirichlet_sites(label_N, num_sites=num_sites, alpha=alpha, rng=rng)
    names = [f"site-{index + 1:0{len(str(num_sites))}d}" for index in site_N]
    return table["patient_id"].map(dict(zip(patients, names, strict=True)))


def _dirichlet_sites(label_N: np.ndarray, *, num_sites: int, alpha: float, rng: np.random.Generator) -> np.ndarray:
    """(N,) site index: of each label the sites get shares ~ Dir(alpha) (Hsu et al. 2019, arXiv 1909.06335, label skew).

    Drawn again until no site is empty; DataError when that does not happen.
    """
    if not alpha > 0:
        raise DataError(f"alpha {alpha} of the Dirichlet distribution must be above 0")
    for _ in range(_MAX_DRAWS):
        site_N = np.empty(len(label_N), dtype=np.int64)
        for label in np.unique(label_N):
            members = rng.permutation(np.flatnonzero(label_N == label))
            shares = rng.dirichlet(np.full(num_sites, alpha))
            ends = np.round(np.cumsum(shares)[:-1] * len(members)).astype(int)
            for site, part in enumerate(np.split(members, ends)):
                site_N[part] = site
        if len(np.unique(site_N)) == num_sites:
            return site_N
    raise DataError(f"{_MAX_DRAWS} draws left a site empty; raise alpha {alpha} or lower num-sites {num_sites}")


def _require(table: pd.DataFrame, *columns: str) -> None:
    if missing := [name for name in columns if name not in table.columns]:
        raise DataError(
            f"the table lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"it has {', '.join(map(str, table.columns))}"
        )
