"""All of a case but its arrays, as fields that JSON can hold, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedlung.ct.geometry import Geometry
from fedlung.ct.nodule import Nodule
from fedlung.preprocess.case import Case, Remark

_AS_THEY_ARE = ("patient_key", "manufacturer", "kernel", "synthetic", "image_digest")
FIELDS = frozenset(_AS_THEY_ARE) | {
    "made_from",
    "versions",
    "geometry",
    "source_geometry",
    "slice_thickness_mm",
    "nodules",
    "remarks",
}


def case_fields(case: Case, source: Geometry, made_from: str, versions: Mapping[str, str]) -> dict[str, Any]:
    """What is kept of a case; ``versions`` are those of the files with its arrays. Nodules and remarks come apart."""
    return {
        **{name: getattr(case, name) for name in _AS_THEY_ARE},
        "made_from": made_from,
        "versions": dict(versions),
        "geometry": dataclasses.asdict(case.geometry),
        "source_geometry": dataclasses.asdict(source),
        "slice_thickness_mm": None if math.isnan(case.slice_thickness_mm) else case.slice_thickness_mm,
    }


def annotation_fields(
    nodules: Sequence[Nodule], off_grid: Sequence[Nodule], remarks: Sequence[Remark]
) -> dict[str, Any]:
    """What may change without a voxel."""
    return {
        "nodules": [_without_nan(dataclasses.asdict(nodule)) for nodule in nodules],
        "off_grid": [_without_nan(dataclasses.asdict(nodule)) for nodule in off_grid],
        "remarks": [{"code": row.code, "sentence": row.sentence, "remedy": row.remedy} for row in remarks],
    }


def case_of(case_id: str, fields: Mapping[str, Any], image_DHW: Any, lung_DHW: Any) -> Case:
    """The case of its fields and arrays."""
    return Case(
        case_id=case_id,
        image_DHW=image_DHW,
        lung_DHW=lung_DHW,
        geometry=geometry_of(fields["geometry"]),
        nodules=tuple(_nodule(nodule) for nodule in fields["nodules"]),
        # A store of before they were kept gets them when its site prepares again.
        off_grid=tuple(_nodule(nodule) for nodule in fields.get("off_grid", ())),
        slice_thickness_mm=_number(fields["slice_thickness_mm"]),
        **{name: fields[name] for name in _AS_THEY_ARE},
    )


def remarks_of(case_id: str, fields: Mapping[str, Any]) -> tuple[Remark, ...]:
    """The remarks on a case; ``what`` is its id."""
    return tuple(Remark(what=case_id, **remark) for remark in fields["remarks"])


def geometry_of(fields: Mapping[str, Any]) -> Geometry:
    """The grid of its fields."""
    direction = tuple(tuple(row) for row in fields["direction"])
    return Geometry(tuple(fields["shape_DHW"]), tuple(fields["spacing_mm"]), tuple(fields["origin_mm"]), direction)


def _nodule(fields: Mapping[str, Any]) -> Nodule:
    ratings = {name: _number(fields[name]) for name in ("malignancy", "texture")}
    return Nodule(tuple(fields["center_mm"]), fields["diameter_mm"], fields["readers"], **ratings)


def _without_nan(fields: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN."""
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in fields.items()}


def _number(value: float | None) -> float:
    return math.nan if value is None else value
