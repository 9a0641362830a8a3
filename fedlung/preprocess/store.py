"""Prepared cases on disk, read back through the page cache without a copy.

    store.json              format and fingerprint: what every case in it was made with
    ledger.json             what the last preparation left out: keyed names, codes and counts
    cases/<id>.image.npy    int16 (D, H, W)
    cases/<id>.lung.npy     bool (D, H, W)
    cases/<id>.json         all else, written last: a case without it is not there

No UID, path, patient id or file name is in any of them; a case's id is a keyed hash.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fedlung.ct.geometry import Geometry
from fedlung.ct.nodule import Nodule
from fedlung.ct.series import LeftOut
from fedlung.errors import StoreError
from fedlung.files import replacing
from fedlung.preprocess.case import Case, Remark

FORMAT = 2
DAMAGED = "a file of the site's case store is damaged"
_AS_THEY_ARE = ("patient_key", "manufacturer", "kernel", "synthetic", "image_digest")


class CaseStore:
    """A folder of cases that were all made with one fingerprint. Made by ``open``.

    Writing is atomic file by file, so a stopped preparation leaves whole cases only. Two processes may add the same
    case at a time; either result is whole.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self.fingerprint = fingerprint

    @classmethod
    def open(cls, folder: Path, fingerprint: str) -> CaseStore:
        """The store in ``folder``, made when there is none. Raises StoreError for another fingerprint's store."""
        folder = Path(folder)
        header = folder / "store.json"
        if header.is_file():
            _check_header(folder, _read_json(header), fingerprint)
        else:
            _refuse_foreign_files(folder)
            (folder / "cases").mkdir(parents=True, exist_ok=True)
            _write_json(header, {"format": FORMAT, "fingerprint": fingerprint})
        return cls(folder, fingerprint)

    @property
    def case_ids(self) -> tuple[str, ...]:
        """All whole cases, sorted."""
        return tuple(sorted(path.stem for path in (self.folder / "cases").glob("*.json")))

    def __contains__(self, case_id: object) -> bool:
        return self._path(str(case_id), "json").is_file()

    def __len__(self) -> int:
        return len(self.case_ids)

    def add(
        self, case: Case, *, source: Geometry | None = None, made_from: str = "", remarks: Sequence[Remark] = ()
    ) -> None:
        """Writes a case, replacing one of the same id.

        source is the grid of the series itself, kept so that the case can be annotated anew without its DICOM;
        made_from is a keyed name of its files' state, kept to know when they have changed; remarks say what is odd
        about the case, in words without names. Raises StoreError when the disk refuses.
        """
        _write_array(self._path(case.case_id, "image.npy"), case.image_DHW)
        _write_array(self._path(case.case_id, "lung.npy"), case.lung_DHW)
        _write_json(self._path(case.case_id, "json"), _sidecar(case, source or case.geometry, made_from, remarks))

    def load(self, case_id: str) -> Case:
        """The case, its arrays memory-mapped and read-only. Raises StoreError when it is absent or damaged."""
        fields = self._fields(case_id)
        geometry = _geometry(fields["geometry"])
        return Case(
            case_id=case_id,
            image_DHW=self._map(case_id, "image.npy", geometry, np.dtype(np.int16)),
            lung_DHW=self._map(case_id, "lung.npy", geometry, np.dtype(np.bool_)),
            geometry=geometry,
            nodules=tuple(_nodule(nodule) for nodule in fields["nodules"]),
            slice_thickness_mm=_number(fields["slice_thickness_mm"]),
            **{name: fields[name] for name in _AS_THEY_ARE},
        )

    def annotate(self, case_id: str, nodules: Sequence[Nodule], *, remarks: Sequence[Remark]) -> None:
        """Gives a case other nodules and remarks; no voxel depends on them, so none is written."""
        changed = dataclasses.replace(self.load(case_id), nodules=tuple(nodules))
        source, made_from = self.source_geometry(case_id), self.made_from(case_id)
        _write_json(self._path(case_id, "json"), _sidecar(changed, source, made_from, remarks))

    def source_geometry(self, case_id: str) -> Geometry:
        """The grid of the series that the case was made from."""
        return _geometry(self._fields(case_id)["source_geometry"])

    def made_from(self, case_id: str) -> str:
        """The keyed name of the files' state that the case was made from."""
        return str(self._fields(case_id)["made_from"])

    def remarks(self, case_id: str) -> tuple[Remark, ...]:
        """What is odd about a case; ``what`` is its id."""
        return tuple(Remark(what=case_id, **remark) for remark in self._fields(case_id)["remarks"])

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What the last preparation left out. Sentences may hold names: they are not kept with the cases."""
        path = self.folder / "ledger.json"
        rows = _read_json(path)["left_out"] if path.is_file() else []
        return tuple(LeftOut(sentence="Whoever prepared it has the sentence.", remedy="", **row) for row in rows)

    def write_ledger(self, rows: Sequence[LeftOut]) -> None:
        """Keeps codes and counts; ``what`` of each row must be a keyed name already."""
        names = ("what", "code", "num_files", "is_series")
        kept = [{name: getattr(row, name) for name in names} for row in rows]
        _write_json(self.folder / "ledger.json", {"left_out": kept})

    def _path(self, case_id: str, suffix: str) -> Path:
        return self.folder / "cases" / f"{case_id}.{suffix}"

    def _fields(self, case_id: str) -> dict[str, Any]:
        path = self._path(case_id, "json")
        if not path.is_file():
            raise StoreError(
                f"{self.folder}: case {case_id} is not in the store; it has {len(self)} cases. Prepare it.",
                public="a case is not in the site's store",
            )
        return _read_json(path)

    def _map(self, case_id: str, suffix: str, geometry: Geometry, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        path = self._path(case_id, suffix)
        try:
            array = _mapped(path)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{path}: cannot be mapped ({error}); delete the case's .json to have it made anew.",
                public=DAMAGED,
            ) from error
        if array.shape != tuple(geometry.shape_DHW) or array.dtype != dtype:
            raise StoreError(
                f"{path}: expected {dtype} {geometry.shape_DHW}, found {array.dtype} {array.shape}; "
                "delete the case's .json to have it made anew.",
                public=DAMAGED,
            )
        return array


def _mapped(path: Path) -> npt.NDArray[Any]:
    """The array of an .npy file as ``np.save`` writes it, memory-mapped and read-only; no file stays open.

    NumPy's own mapping keeps a file descriptor for each array, and the usual limit is 1,024 open files in a process:
    some 500 cases. Raises ValueError for a file that is not whole, or is of another version than small arrays have.
    """
    with path.open("rb") as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("unknown version of the .npy format")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
        start = file.tell()
    num_bytes = path.stat().st_size
    if fortran_order or dtype.hasobject or num_bytes != start + math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{num_bytes} bytes do not hold {dtype} {shape}")
    content = torch.from_file(str(path), shared=False, size=num_bytes, dtype=torch.uint8).numpy()
    array = content[start:].view(dtype).reshape(shape)
    array.flags.writeable = False
    return array


def _check_header(folder: Path, header: dict[str, Any], fingerprint: str) -> None:
    remedy = "Choose another folder as the site's store, or delete this one to have its cases made anew."
    if header.get("format") != FORMAT:
        raise StoreError(
            f"{folder}: a store of format {header.get('format')}, this fedlung has {FORMAT}. {remedy}",
            public="the site's case store is of another version of fedlung",
        )
    if header["fingerprint"] != fingerprint:
        changes = "; ".join(_differences(header["fingerprint"], fingerprint))
        raise StoreError(
            f"{folder}: its cases were prepared otherwise: {changes}. {remedy}",
            public=f"the site's case store was prepared otherwise: {changes}",
        )


def _differences(kept: str, wanted: str) -> list[str]:
    """What differs between two fingerprints made of ``key=value`` pairs, in words."""
    before, now = (dict(pair.partition("=")[::2] for pair in text.split()) for text in (kept, wanted))
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return [
        f"{key} is {before.get(key, 'not set')} in the store and {now.get(key, 'not set')} in this run" for key in keys
    ]


def _refuse_foreign_files(folder: Path) -> None:
    foreign = [path.name for path in folder.iterdir() if path.name != "cases"] if folder.is_dir() else []
    if foreign:
        raise StoreError(
            f"{folder}: expected a case store or an empty folder, found {len(foreign)} entries and no store.json. "
            "Choose another folder as the site's store.",
            public="the site's case store is a folder of other things",
        )


def _sidecar(case: Case, source: Geometry, made_from: str, remarks: Sequence[Remark]) -> dict[str, Any]:
    return {
        **{name: getattr(case, name) for name in _AS_THEY_ARE},
        "made_from": made_from,
        "geometry": dataclasses.asdict(case.geometry),
        "source_geometry": dataclasses.asdict(source),
        "nodules": [_without_nan(dataclasses.asdict(nodule)) for nodule in case.nodules],
        "slice_thickness_mm": None if math.isnan(case.slice_thickness_mm) else case.slice_thickness_mm,
        "remarks": [{"code": row.code, "sentence": row.sentence, "remedy": row.remedy} for row in remarks],
    }


def _without_nan(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN."""
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in fields.items()}


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _geometry(fields: dict[str, Any]) -> Geometry:
    direction = tuple(tuple(row) for row in fields["direction"])
    return Geometry(tuple(fields["shape_DHW"]), tuple(fields["spacing_mm"]), tuple(fields["origin_mm"]), direction)


def _nodule(fields: dict[str, Any]) -> Nodule:
    ratings = {name: _number(fields[name]) for name in ("malignancy", "texture")}
    return Nodule(tuple(fields["center_mm"]), fields["diameter_mm"], fields["readers"], **ratings)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path}: cannot be read ({error}); delete it to have its contents made anew.", public=DAMAGED
        ) from error


def _write_json(path: Path, fields: dict[str, Any]) -> None:
    _write(path, json.dumps(fields, allow_nan=False).encode())


def _write_array(path: Path, array: npt.NDArray[Any]) -> None:
    _write(path, np.ascontiguousarray(array))


def _write(path: Path, content: bytes | npt.NDArray[Any]) -> None:
    try:
        with replacing(path) as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                np.save(file, content, allow_pickle=False)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error}); make room or choose another folder.",
            public="the site's case store cannot be written",
        ) from error
