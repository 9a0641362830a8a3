"""Prepared cases on disk, read back without reading what is not asked for.

    store.json               format, fingerprint (what every case was made with) and whether it is encrypted
    store.lock               held by who writes
    ledger.json              what the last preparation left out: keyed names, codes and counts
    chosen.json              the cases of the last preparation; a store may hold those of older tables
    cases/<id>.image.npy     int16 (D, H, W)
    cases/<id>.lung.npy      bool (D, H, W)
    cases/<id>.json          all else, written last: a case without it is not there

In an encrypted store all but the first two end in ``.sealed`` (see ``vault.py``). No UID, path, patient id, file
name or free text of a header is in any of them; a case's id is a keyed hash. Names are in left-out.csv and errors.log,
which ``hospital/private.py`` keeps in a site's folder of stores for a person to read, and which are never encrypted.
New folders are for the owner only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from fedlung.ct.geometry import Geometry
from fedlung.ct.nodule import Nodule
from fedlung.ct.series import LeftOut
from fedlung.errors import StoreError
from fedlung.files import UNFINISHED, make_private_folder, sync_folder
from fedlung.preprocess.case import Case, Remark, digest_of
from fedlung.preprocess.keeping import Keeping, PlainFiles, SealedFiles, unwritable
from fedlung.preprocess.sealed import SealedArray
from fedlung.preprocess.sidecar import FIELDS, annotation_fields, case_fields, case_of, geometry_of, remarks_of
from fedlung.preprocess.storehead import HEADER, check_header, refuse_foreign_files, write_header
from fedlung.preprocess.vault import Label, Vault, damaged

ARRAYS = {"image": np.dtype(np.int16), "lung": np.dtype(np.bool_)}
LOCK = "store.lock"
PATIENCE_S = 600.0  # a case is written in a second; whoever holds the lock for longer hangs


class CaseStore:
    """A folder of cases that were all made with one fingerprint. Made by ``open``.

    Writing is whole or not at all: a case that was stopped anywhere is not there, and what it left is cleared away when
    the store is opened next. Any number of processes may read and add at the same time; one writes at a time.
    """

    def __init__(self, folder: Path, fingerprint: str, files: Keeping) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self._files = files
        self._lock = FileLock(folder / LOCK, timeout=PATIENCE_S)

    @classmethod
    def open(cls, folder: Path, fingerprint: str, *, secret: bytes | None = None) -> CaseStore:
        """The store in ``folder``, made when there is none; encrypted where the site's ``secret`` is given.

        Raises StoreError for another fingerprint's store, for one that is encrypted where no secret is given or with
        another one, and for one that is not encrypted where a secret is given.
        """
        folder = Path(folder)
        vault = None if secret is None else Vault(secret)
        refuse_foreign_files(folder, {LOCK, "cases"})
        try:
            make_private_folder(folder / "cases")
            sync_folder(folder.parent)
        except OSError as error:
            raise unwritable(folder, error) from error
        store = cls(folder, fingerprint, PlainFiles() if vault is None else SealedFiles(vault))
        with store._writing(folder):
            if not (folder / HEADER).is_file():
                write_header(folder, fingerprint, vault)
            check_header(folder, fingerprint, vault)
            store._clear_away()
        return store

    @property
    def case_ids(self) -> tuple[str, ...]:
        """All whole cases, sorted."""
        suffix = self._files.fields_suffix
        return tuple(sorted(path.name.removesuffix(suffix) for path in (self.folder / "cases").glob(f"[!.]*{suffix}")))

    def __contains__(self, case_id: object) -> bool:
        return self._fields_path(str(case_id)).is_file()

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
        path = self._fields_path(case.case_id)
        with self._writing(path):
            # ORDER: the old case goes first and the fields come last; between the two there is no case.
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
            versions = {kind: self._write_array(case, kind) for kind in ARRAYS}
            fields = case_fields(case, source or case.geometry, made_from, versions)
            self._write_fields(case.case_id, {**fields, **annotation_fields(case.nodules, case.off_grid, remarks)})

    def load(self, case_id: str, *, version: str = "") -> Case:
        """The case, its arrays read when they are indexed: mapped, or decrypted by chunks (``SealedArray``).

        Raises StoreError when it is absent, DamagedFileError when it is damaged. What is wrong with a chunk is found
        when it is read.
        """
        try:
            return self._load(case_id, version)
        except StoreError:  # perhaps only half replaced: look again when nobody writes
            with self._writing(self.folder):
                return self._load(case_id, version)

    def check(self, case_id: str, *, every_voxel: bool = False) -> None:
        """Raises DamagedFileError where a case is not what was written.

        Without ``every_voxel``: fields, headers, sizes and the end of what is encrypted, in milliseconds. With it, the
        image's digest as well, and every chunk of what is encrypted; a mask that is not encrypted has no digest.
        """
        case = self.load(case_id)
        for array in (case.image_DHW, case.lung_DHW):
            if isinstance(array, SealedArray):
                array.check_end()
        if every_voxel:
            np.asarray(case.lung_DHW)
            if digest_of(np.asarray(case.image_DHW)) != case.image_digest:
                raise damaged(self._array_path(case_id, "image"), "holds other voxels than were written")

    def drop(self, case_id: str) -> None:
        """Removes a case. ORDER: its fields first; without them there is no case."""
        path = self._fields_path(case_id)
        with self._writing(path):
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
            for kind in ARRAYS:
                self._array_path(case_id, kind).unlink(missing_ok=True)

    def annotate(
        self, case_id: str, nodules: Sequence[Nodule], off_grid: Sequence[Nodule] = (), *, remarks: Sequence[Remark]
    ) -> None:
        """Gives a case other nodules and remarks; no voxel depends on them, so none is written."""
        with self._writing(self._fields_path(case_id)):
            self._write_fields(case_id, {**self._fields(case_id), **annotation_fields(nodules, off_grid, remarks)})

    def source_geometry(self, case_id: str) -> Geometry:
        """The grid of the series that the case was made from."""
        fields = self._fields(case_id)
        try:
            return geometry_of(fields["source_geometry"])
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(self._fields_path(case_id), f"does not hold the grid of a series ({error!r})") from error

    def made_from(self, case_id: str) -> str:
        """The keyed name of the files' state that the case was made from."""
        return str(self._fields(case_id)["made_from"])

    def remarks(self, case_id: str) -> tuple[Remark, ...]:
        """What is odd about a case; ``what`` is its id."""
        return remarks_of(case_id, self._fields(case_id))

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What the last preparation left out. Sentences may hold names: they are not kept with the cases."""
        rows = self._read("ledger").get("left_out", [])
        return tuple(LeftOut(sentence="Whoever prepared it has the sentence.", remedy="", **row) for row in rows)

    def write_ledger(self, rows: Sequence[LeftOut]) -> None:
        """Keeps codes and counts; ``what`` of each row must be a keyed name already."""
        names = ("what", "code", "num_files", "is_series")
        self._write("ledger", {"left_out": [{name: getattr(row, name) for name in names} for row in rows]})

    def choose(self, case_ids: Sequence[str]) -> None:
        """Keeps which cases the last preparation chose, as they are now: an older version of one is refused later."""
        versions = {case_id: self._files.version(self._fields_path(case_id)) for case_id in case_ids}
        self._write("chosen", {"cases": versions})

    def load_chosen(self) -> list[Case] | None:
        """The cases of the last preparation; None before there was one. Raises StoreError as ``load`` does."""
        chosen = self._read("chosen")
        return [self.load(one, version=version) for one, version in chosen["cases"].items()] if chosen else None

    def _load(self, case_id: str, version: str) -> Case:
        fields = self._fields(case_id, version)
        try:
            return case_of(case_id, fields, *(self._array(case_id, kind, fields) for kind in ARRAYS))
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(self._fields_path(case_id), f"does not hold a case ({error!r})") from error

    def _array(self, case_id: str, kind: str, fields: dict[str, Any]) -> Any:
        path, shape = self._array_path(case_id, kind), tuple(fields["geometry"]["shape_DHW"])
        array = self._files.read_array(path, Label(kind, case_id), fields["versions"][kind])
        if array.shape != shape or array.dtype != ARRAYS[kind]:
            raise damaged(path, f"holds {array.dtype} {array.shape}, expected {ARRAYS[kind]} {shape}")
        return array

    def _write_array(self, case: Case, kind: str) -> str:
        path = self._array_path(case.case_id, kind)
        return self._files.write_array(path, Label(kind, case.case_id), np.asarray(getattr(case, f"{kind}_DHW")))

    def _fields(self, case_id: str, version: str = "") -> dict[str, Any]:
        path = self._fields_path(case_id)
        if not path.is_file():
            raise StoreError(
                f"{self.folder}: case {case_id} is not in the store; it has {len(self)} cases. Prepare it.",
                public="a case is not in the site's store",
            )
        fields = self._files.read_fields(path, Label("fields", case_id), version)
        if missing := FIELDS - fields.keys():
            raise damaged(path, f"does not hold a case: {', '.join(sorted(missing))} missing")
        return fields

    def _write_fields(self, case_id: str, fields: dict[str, Any]) -> None:
        self._files.write_fields(self._fields_path(case_id), Label("fields", case_id), fields)

    def _read(self, kind: str) -> dict[str, Any]:
        path = self._path_of(kind)
        return self._files.read_fields(path, Label(kind)) if path.is_file() else {}

    def _write(self, kind: str, fields: dict[str, Any]) -> None:
        path = self._path_of(kind)
        with self._writing(path):
            self._files.write_fields(path, Label(kind), fields)

    def _path_of(self, kind: str) -> Path:
        return self.folder / f"{kind}{self._files.fields_suffix}"

    def _fields_path(self, case_id: str) -> Path:
        return self.folder / "cases" / f"{case_id}{self._files.fields_suffix}"

    def _array_path(self, case_id: str, kind: str) -> Path:
        return self.folder / "cases" / f"{case_id}.{kind}{self._files.array_suffix}"

    def _clear_away(self) -> None:
        """Remove what a crash left. ORDER: under the lock, or it would be another process' work."""
        cases = self.folder / "cases"
        for path in (*self.folder.glob(f"*{UNFINISHED}"), *cases.glob(f"*{UNFINISHED}")):
            path.unlink()
        parts = {case_id: [self._array_path(case_id, kind) for kind in ARRAYS] for case_id in self.case_ids}
        for case_id, paths in parts.items():
            if not all(path.is_file() for path in paths):
                self._fields_path(case_id).unlink()
        whole = {path for paths in parts.values() for path in paths}
        for kind in ARRAYS:
            for path in set(cases.glob(f"[!.]*.{kind}{self._files.array_suffix}")) - whole:
                path.unlink()

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        """Holds the lock; what the disk refuses is a StoreError about ``path``."""
        try:
            with self._lock:
                yield
        except Timeout as error:
            raise StoreError(
                f"{self.folder}: another process has been writing for {PATIENCE_S:.0f} s; stop it if it hangs.",
                public="the site's case store is held by another process",
            ) from error
        except OSError as error:
            raise unwritable(path, error) from error
