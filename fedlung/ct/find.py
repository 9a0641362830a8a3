"""A folder -> the CT series in it, by their headers alone: names and folders of DICOM files mean nothing."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from fedlung.ct.audit import COPY, Finding, Slices, audit_file, audit_series, needed_repairs, without_copies
from fedlung.ct.dicom.headers import DamagedHeaderError, Header, read_headers
from fedlung.ct.formats.metaimage import data_file, find_metaimage, is_metaimage
from fedlung.ct.formats.nifti import find_nifti, image_file, is_nifti
from fedlung.ct.formats.onefile import without_namesakes
from fedlung.ct.series import LeftOut, Repair, Series
from fedlung.ct.tree import UNREADABLE, Tally, printable, regular_files
from fedlung.errors import DataError, SeriesError

__all__ = ["find_series", "judge_series", "printable"]

NEVER_SLICES = frozenset({".ds_store", ".gitkeep", ".keep", ".nomedia", ".directory", "thumbs.db", "desktop.ini"})
"""What operating systems and tools leave in folders, in small letters: empty, they are no slice that was lost."""

Progress = Callable[[int, int], None]

MAX_KEPT_HEADERS = 16_384
"""Of all series together, for reading them: 32 MiB. The slices of the others are parsed again."""

SETTLED_NS = 2_000_000_000
"""The coarsest clock of a file system. A file last written just now may be written again and look the same."""


def find_series(
    folder: Path | str, *, repair: frozenset[Repair] = frozenset(), progress: Progress | None = None
) -> tuple[list[Series], list[LeftOut]]:
    """The trusted CT series below a folder, by UID, and a row for everything else.

    The folder may be a link; links to other folders are rows. Files that are no CT slice are counted by folder and
    reason. A series that needs mending is trusted where ``repair`` names all that it needs. Raises DataError where
    there is no such folder.
    """
    if not Path(folder).is_dir():
        sentence = "the DICOM folder does not exist; correct where it is said to be"
        raise DataError(f"{printable(folder)}: {sentence}.", public=sentence)
    found = _Found()
    files = list(regular_files(Path(folder), found.left_out))
    claimed = _claimed(files)
    for done, path in enumerate(files, start=1):
        found.look_at(path, is_claimed=path in claimed)
        if progress is not None:
            progress(done, len(files))
    return found.judged(repair)


def _claimed(files: Collection[Path]) -> set[Path]:
    """Files of voxels that a header beside them names: no rows of their own, unless they are DICOM after all."""
    of_metaimages = {data_file(path) for path in files if is_metaimage(path)}
    of_pairs = {image_file(path) for path in files if is_nifti(path)}
    return {path for path in of_metaimages | of_pairs if path is not None}


@dataclass
class _Found:
    """What was met until now."""

    by_uid: dict[str, list[Header]] = field(default_factory=lambda: defaultdict(list))
    damaged: Counter[str] = field(default_factory=Counter)
    not_dicom: dict[Path, list[str]] = field(default_factory=lambda: defaultdict(list))
    whole: list[Series | LeftOut] = field(default_factory=list)
    left_out: Tally = field(default_factory=Tally)
    began_ns: int = field(default_factory=time.time_ns)

    def look_at(self, path: Path, *, is_claimed: bool = False) -> None:
        """One file: slices of a series, a series by itself, or a row."""
        if is_metaimage(path):
            self.whole.append(find_metaimage(path))
        elif is_nifti(path):
            self.whole.append(find_nifti(path))
        else:
            self._look_for_slices(path, is_claimed)

    def _look_for_slices(self, path: Path, is_claimed: bool) -> None:
        try:
            headers = read_headers(path)
        except SeriesError as error:
            if not (is_claimed and error.code in ("NOT_DICOM", "EMPTY_FILE")):
                self._add_unreadable(path, error)
            return
        except OSError:
            self.left_out.add_lost(path, UNREADABLE)
            return
        finding = next((finding for header in headers if (finding := audit_file(header))), None)
        if finding is not None:
            self.left_out.add(path, finding)
        else:
            self.by_uid[headers[0].series_uid].extend(headers)

    def _add_unreadable(self, path: Path, error: SeriesError) -> None:
        uid = error.series_uid if isinstance(error, DamagedHeaderError) else ""
        self.damaged.update([uid] if uid else [])
        finding = Finding(error.code, error.sentence, error.remedy)
        if isinstance(error, DamagedHeaderError) and error.is_series:
            what, where = uid or printable(path), printable(path.parent)
            self.whole.append(LeftOut(what, error.code, error.sentence, error.remedy, folder=where))
        elif _may_be_slice(path, error):
            self.left_out.add_lost(path, finding)
        else:
            self.left_out.add(path, finding)
            if error.code == "NOT_DICOM":
                self.not_dicom[path.parent].append(path.name)

    def judged(self, repair: frozenset[Repair]) -> tuple[list[Series], list[LeftOut]]:
        """The series, and a row for everything else."""
        judged = list(self.whole)
        for uid in sorted(self.by_uid):
            headers = _without_copies(self.by_uid[uid], self.left_out)
            num_lost = self._num_lost({header.path for header in headers})
            judged.append(judge_series(headers, repair, num_damaged=self.damaged[uid], num_lost=num_lost))
        series, namesakes = without_namesakes([one for one in judged if isinstance(one, Series)])
        series = list(_with_few_headers(series, self.began_ns - SETTLED_NS))
        rows = [row for row in judged if isinstance(row, LeftOut)]
        return sorted(series, key=lambda one: one.series_uid), rows + namesakes + self.left_out.rows()

    def _num_lost(self, paths: set[Path]) -> int:
        """Files beside a series' own that may be slices of it: they tell not what they are, or have a slice's name."""
        folders = {path.parent for path in paths}
        in_doubt = [(folder, name) for folder in folders for name in self.not_dicom.get(folder, ())]
        forms = {(path.parent, _form(path.name)) for path in paths} if in_doubt else set()
        num_named_alike = sum((folder, _form(name)) in forms for folder, name in in_doubt)
        return self.left_out.num_lost(folders) + num_named_alike


def judge_series(
    headers: list[Header], repair: frozenset[Repair] = frozenset(), *, num_damaged: int = 0, num_lost: int = 0
) -> Series | LeftOut:
    """A series of slices that passed every check, or will by the repairs that were asked for; or why it did not.

    num_damaged  files of the series whose header cannot be read: an end of the scan may be in them
    num_lost     files beside its own that tell not what they are or were: so it may be, and that is a warning
    """
    finding = audit_series(headers, repair=repair) or _damaged(num_damaged)
    num_files = len({header.path for header in headers})
    if finding is not None:
        where = printable(headers[0].path.parent)
        return LeftOut(headers[0].series_uid, finding.code, finding.sentence, finding.remedy, num_files, folder=where)
    slices, first = Slices(tuple(headers)), headers[0]
    return Series(
        series_uid=first.series_uid,
        patient_id=first.patient_id,
        study_uid=first.study_uid,
        files=tuple(dict.fromkeys(header.path for header in slices.ascending)),
        positions_mm=tuple(slices.ascending_mm.tolist()),
        modality=first.modality,
        manufacturer=first.manufacturer,
        scanner_model=first.scanner_model,
        slice_thickness_mm=first.slice_thickness_mm,
        repairs=needed_repairs(headers) if repair else (),
        warnings=_maybe_truncated(num_lost),
        headers=slices.ascending,
    )


def _may_be_slice(path: Path, error: SeriesError) -> bool:
    """Whether a file that cannot be read tells neither what it is nor whose."""
    if error.code == "EMPTY_FILE":
        return path.name.lower() not in NEVER_SLICES
    return isinstance(error, DamagedHeaderError) and not error.series_uid


def _form(name: str) -> str:
    """A name without what counts, and what a packer or a download that was broken off appends."""
    return re.sub(r"\d+", "0", name.lower().removesuffix(".gz").removesuffix(".part"))


def _with_few_headers(series: list[Series], settled_ns: int) -> Iterator[Series]:
    """The series with their headers up to the limit; none of a file that was written after ``settled_ns``."""
    num_kept = 0
    for one in series:
        settled = tuple(header for header in one.headers if header.file_stamp[2] < settled_ns)
        num_kept += len(settled)
        yield replace(one, headers=settled if num_kept <= MAX_KEPT_HEADERS else ())


def _maybe_truncated(num_lost: int) -> tuple[str, ...]:
    if not num_lost:
        return ()
    found = f"{num_lost} files beside the slices are empty, damaged, packed, broken links or may not be read"
    return (f"MAYBE_TRUNCATED: {found}; an end may be missing.",)


def _damaged(num_files: int) -> Finding | None:
    if not num_files:
        return None
    sentence = f"{num_files} more files of the series have a damaged header; an end of the scan may be in them."
    return Finding("DAMAGED_HEADER", sentence, "Copy or export the series again.")


def _without_copies(headers: list[Header], left_out: Tally) -> list[Header]:
    kept, copies = without_copies(headers)
    for copy in copies:
        left_out.add(copy.path, COPY)
    return kept
