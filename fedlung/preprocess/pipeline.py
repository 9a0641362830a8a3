"""A site's DICOM folder to its case store: find, select, read, annotate, prepare, keep.

One bad study never stops the others: it is a row. What the store has already is not read again.

The next series is read while this one is prepared, so memory is bounded however many series there are: two volumes of
2 bytes for each voxel (4 where a rescale is not in whole numbers), this one once more as it is clipped, and what a pass
over it or over its case holds. Beside the library itself that is at most 10 bytes for each voxel of the largest volume
and 12 for each of its case's grid: 1.1 GB for 300 slices of 512 x 512. ``benchmarks/prepare_memory.py`` measures it.
"""

from __future__ import annotations

import logging
import re
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fedlung.config import PrepareConfig
from fedlung.ct.annotations import AnnotationSource
from fedlung.ct.find import find_series
from fedlung.ct.read import read_series
from fedlung.ct.series import LeftOut, Repair, Series, is_uid
from fedlung.ct.volume import Volume
from fedlung.errors import DamagedFileError, FedlungError, SeriesError, StoreError
from fedlung.preprocess.ahead import read_ahead
from fedlung.preprocess.case import Remark
from fedlung.preprocess.prepare import keyed_name, place_nodules, prepare_with_remarks, store_fingerprint
from fedlung.preprocess.store import CaseStore

REMADE = Remark(
    "",
    "CASE_REMADE",
    "The stored case was damaged, and was made anew.",
    "Look whether the disk fails, and who can write to the store.",
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PrepareLedger:
    """What became of a site's series. Rows may hold names and stay at the site; their codes may leave.

    num_declared  series that the folder, the site's table or its annotations know of
    num_readable  those that could be read
    num_prepared  those that are cases in the store now; the others are in ``left_out``, one row each
    left_out      those, and files that are no slices of a series
    remarks       what is odd about the cases
    case_ids      the cases of exactly these series, sorted; a store may hold others, of an earlier table
    tracebacks    of errors that nobody foresaw; they may hold names as well
    """

    num_declared: int
    num_readable: int
    num_prepared: int
    left_out: tuple[LeftOut, ...]
    remarks: tuple[Remark, ...]
    seconds: float
    case_ids: tuple[str, ...] = ()
    tracebacks: tuple[str, ...] = ()


def prepare_series(
    series_folder: Path,
    annotations: AnnotationSource,
    cfg: PrepareConfig,
    store: CaseStore,
    *,
    site_key: bytes,
    device: torch.device,
    select: frozenset[str] | None = None,
    repair: frozenset[Repair] = frozenset(),
    verify: bool = False,
    on_headers: Callable[[int, int], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PrepareLedger:
    """Prepares every series of a folder that is not in the store yet.

    select keeps these series UIDs only: other UIDs are another site's and are no row. repair names what may be mended.
    A stored case that is damaged is made anew; verify compares every voxel of the stored cases, too.
    on_headers is told (headers read, all files), then progress (series done, all series). Raises
    StoreError when the store is another configuration's or cannot be written.
    """
    if store.fingerprint != store_fingerprint(cfg):
        raise StoreError("the store was opened for another configuration; open it with store_fingerprint(cfg)")
    started = time.monotonic()
    series, left_out = chosen_series(series_folder, annotations, select, repair=repair, progress=on_headers)
    work = _Preparation(annotations, cfg, store, site_key, device, left_out=left_out, verify=verify)
    num_declared = len(series) + sum(row.is_series for row in left_out)
    for num_done, _ in enumerate(work.run(series), start=1):
        if progress is not None:
            progress(num_done, len(series))
    store.write_ledger([replace(row, what=keyed_name(site_key, row.what)) for row in work.left_out])
    work.log()
    return PrepareLedger(
        num_declared=num_declared,
        num_readable=len(work.readable),
        num_prepared=len(work.case_ids),
        left_out=tuple(work.left_out),
        remarks=tuple(work.remarks),
        seconds=time.monotonic() - started,
        case_ids=tuple(sorted(work.case_ids)),
        tracebacks=tuple(work.tracebacks),
    )


@dataclass
class _Preparation:
    """The work on one folder, series by series, and what came of it so far."""

    annotations: AnnotationSource
    cfg: PrepareConfig
    store: CaseStore
    site_key: bytes
    device: torch.device
    left_out: list[LeftOut]
    verify: bool = False
    remarks: list[Remark] = field(default_factory=list)
    case_ids: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    readable: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)

    def run(self, series: Sequence[Series]) -> Iterator[Series]:
        """Yields each series when it is done, first those that the store has already."""
        # ORDER: before any is read. What changes while it is read is found changed the next time.
        made_from = {one.series_uid: self._state_of_files(one) for one in series}
        waiting = []
        for one in series:
            if self._is_up_to_date(one, made_from[one.series_uid]):
                yield one
            else:
                waiting.append(one)
        for one, reading in read_ahead(waiting, read_series):
            self._guarded(one, partial(self._prepare, one, reading, made_from[one.series_uid]))
            del reading  # ORDER: let go of this volume before the one after the next is read.
            yield one

    def log(self) -> None:
        """What was left out and what is odd, by code and keyed name: a log may leave the site, names must not."""
        for row in self.left_out:
            logger.warning("left out: %s: %s, %d files", self._keyed(row.what), row.code, row.num_files)
        for remark in self.remarks:
            logger.warning("kept: %s: %s", self._keyed(remark.what), remark.code)

    def _keyed(self, name: str) -> str:
        return keyed_name(self.site_key, name)

    def _case_id(self, series: Series) -> str:
        return self._keyed(series.series_uid)

    def _is_up_to_date(self, series: Series, made_from: str) -> bool:
        """Whether the store has the case of these very files, now with the annotations of today.

        A case that is damaged is dropped. A disk that is full, or a store that cannot be used at all, is a StoreError.
        """
        try:
            if not self._is_kept(series, made_from):
                return False
            self._guarded(series, partial(self._renew, series))
        except DamagedFileError:
            self.store.drop(self._case_id(series))
            self.damaged.add(series.series_uid)
            return False
        return True

    def _is_kept(self, series: Series, made_from: str) -> bool:
        case_id = self._case_id(series)
        if case_id not in self.store or self.store.made_from(case_id) != made_from:
            return False
        self.store.check(case_id, every_voxel=self.verify)
        return True

    def _state_of_files(self, series: Series) -> str:
        """A keyed name that changes when the series is exported anew, or mended otherwise: number, size and last change
        of its files, and its repairs."""
        try:
            states = [path.stat() for path in series.files]
        except OSError:
            return ""  # gone since they were found: reading them says so
        num_bytes, changed_ns = sum(state.st_size for state in states), max(state.st_mtime_ns for state in states)
        return self._keyed(" ".join([f"{len(states)} files, {num_bytes} bytes, {changed_ns} ns", *series.repairs]))

    def _guarded(self, series: Series, step: Callable[[], tuple[Remark, ...]]) -> None:
        """Runs a step; its remarks, or the error that ended it, become rows of the series."""
        try:
            remarks = step()
        except StoreError:
            raise  # a disk that is full or a store that is damaged is no fault of this series
        except Exception as error:  # noqa: BLE001 - one bad study never stops the others: it is a row that says why
            if not isinstance(error, FedlungError):
                logger.error("unexpected %s on case %s", type(error).__name__, self._case_id(series))
                # As text: the error itself would keep the volume alive.
                self.tracebacks.append("".join(traceback.format_exception(error)))
            self.left_out.append(row_of(series, error))
            return
        self.case_ids.append(self._case_id(series))
        self.remarks += [replace(remark, what=series.series_uid) for remark in remarks]

    def _prepare(self, series: Series, reading: Future[Volume], made_from: str) -> tuple[Remark, ...]:
        volume = reading.result()
        self.readable.add(series.series_uid)
        nodules = self.annotations.nodules_of(volume)
        case, remarks = prepare_with_remarks(volume, nodules, self.cfg, site_key=self.site_key, device=self.device)
        self.store.add(case, source=volume.geometry, made_from=made_from, remarks=remarks)
        # Not kept with the case: it is told once, of the disk and not of the series.
        return (REMADE, *remarks) if series.series_uid in self.damaged else remarks

    def _renew(self, series: Series) -> tuple[Remark, ...]:
        """Brings the annotations of a stored case up to date: they are a site's to correct, and shape no voxel."""
        self.readable.add(series.series_uid)
        case_id = self._case_id(series)
        geometry = self.store.source_geometry(case_id)
        unread = np.broadcast_to(np.int16(0), geometry.shape_DHW)
        nodules = self.annotations.nodules_of(Volume(unread, geometry, series.series_uid, series.patient_id))
        case = self.store.load(case_id)
        placed, off_grid, on_nodules = place_nodules(nodules, case.geometry, case.lung_DHW)
        others = (remark for remark in self.store.remarks(case_id) if not remark.code.startswith("NODULE_"))
        remarks = (*others, *on_nodules)
        if repr((placed, off_grid)) != repr((case.nodules, case.off_grid)):  # NaN ratings are equal here, not by ==
            self.store.annotate(case_id, placed, off_grid, remarks=remarks)
        return remarks


def chosen_series(
    folder: Path,
    annotations: AnnotationSource,
    select: frozenset[str] | None,
    *,
    repair: frozenset[Repair] = frozenset(),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Series], list[LeftOut]]:
    """The series to work on, and rows on what was left out so far.

    Of what is no case, only a UID that is not selected is another site's; a file that is told by its name is a row.
    """
    found, left_out = find_series(folder, repair=repair, progress=progress)
    ours = [one for one in found if select is None or one.series_uid in select]
    rows = [row for row in left_out if select is None or row.what in select or not _is_anothers(row)]
    known = {one.series_uid for one in ours} | {row.what for row in rows}
    lacking = sorted((select or frozenset()) - known)
    rows += [_absent("SELECTED_BUT_NOT_FOUND", uid, "the site's table") for uid in lacking]
    annotated = annotations.series_uids if select is None else annotations.series_uids & select
    lacking = sorted(annotated - known - set(lacking))
    rows += [_absent("ANNOTATED_BUT_NOT_FOUND", uid, "the annotations") for uid in lacking]
    return ours, rows


def _is_anothers(row: LeftOut) -> bool:
    """Whether a series that is not selected is another site's; a file whose UID nobody could read may be ours."""
    return row.is_series and is_uid(row.what)


def _absent(code: str, series_uid: str, where: str) -> LeftOut:
    sentence = f"the series is in {where} and not in the DICOM folder."
    return LeftOut(series_uid, code, sentence, "Export it, or take it out of the table.", 0)


def row_of(series: Series, error: Exception) -> LeftOut:
    """The row of a series that an error left out."""
    uid, num_files = series.series_uid, series.num_files
    if isinstance(error, SeriesError):
        return LeftOut(uid, error.code, error.sentence, error.remedy, num_files)
    if isinstance(error, FedlungError):
        code = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).upper()
        return LeftOut(uid, code, str(error), "Mend what the sentence names, and prepare again.", num_files)
    remedy = "Please report it with its traceback, without names; the other series are not affected."
    return LeftOut(uid, f"UNEXPECTED_{type(error).__name__}", str(error), remedy, num_files)
