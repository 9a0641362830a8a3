"""A folder -> the CT series in it, by DICOM headers alone: names and folders mean nothing."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.errors import InvalidDicomError

from fedlung.ct.audit import Finding, Slices, audit_file, audit_series
from fedlung.ct.headers import Header, read_header
from fedlung.ct.series import LeftOut, Series
from fedlung.errors import DataError

Progress = Callable[[int, int], None]

_NOT_A_FILE = Finding("NOT_A_FILE", "a broken link, a pipe, a socket or a device.", "Nothing to do.")
_UNREADABLE = Finding("UNREADABLE", "it cannot be opened.", "Give the site's user the right to read it.")
_NOT_DICOM = Finding("NOT_DICOM", "not a DICOM file.", "Nothing to do unless it should be.")
_DAMAGED = Finding("DAMAGED_HEADER", "the header ends too early or is garbled.", "Copy or export the file again.")


def find_series(folder: Path | str, *, progress: Progress | None = None) -> tuple[list[Series], list[LeftOut]]:
    """The trusted CT series below a folder, by UID, and a row for everything else.

    Folders are walked through links, each once. Files that are no CT slice are counted by folder and reason. Raises
    DataError where there is no such folder.
    """
    if not Path(folder).is_dir():
        sentence = "the DICOM folder does not exist; correct where it is said to be"
        raise DataError(f"{printable(folder)}: {sentence}.", public=sentence)
    left_out = _Tally()
    files = list(_walk(Path(folder), left_out))
    by_uid: dict[str, list[Header]] = defaultdict(list)
    for done, path in enumerate(files, start=1):
        header = _header_or_tally(path, left_out)
        if header is not None:
            by_uid[header.series_uid].append(header)
        if progress is not None:
            progress(done, len(files))
    judged = [judge_series(by_uid[uid]) for uid in sorted(by_uid)]
    rows = [row for row in judged if isinstance(row, LeftOut)]
    return [series for series in judged if isinstance(series, Series)], rows + left_out.rows()


def judge_series(headers: list[Header]) -> Series | LeftOut:
    """A series of slices that passed every check, or why it did not."""
    finding = audit_series(headers)
    if finding is not None:
        return LeftOut(headers[0].series_uid, finding.code, finding.sentence, finding.remedy, len(headers))
    slices, first = Slices(tuple(headers)), headers[0]
    return Series(
        series_uid=first.series_uid,
        patient_id=first.patient_id,
        study_uid=first.study_uid,
        files=tuple(header.path for header in slices.ascending),
        positions_mm=tuple(slices.ascending_mm.tolist()),
        modality=first.modality,
        manufacturer=first.manufacturer,
        scanner_model=first.scanner_model,
        slice_thickness_mm=first.slice_thickness_mm,
    )


def printable(path: Path | str) -> str:
    """A path as text that any log can take, also where its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@dataclass
class _Tally:
    """Files that are left out, counted by folder and reason."""

    counts: dict[tuple[str, Finding], list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, path: Path, finding: Finding) -> None:
        self.counts[printable(path.parent), finding].append(printable(path.name))

    def rows(self) -> list[LeftOut]:
        return [
            LeftOut(folder, finding.code, f"{names[0]}: {finding.sentence}", finding.remedy, len(names), False)
            for (folder, finding), names in sorted(self.counts.items(), key=lambda item: (item[0][0], item[0][1].code))
        ]


def _walk(folder: Path, left_out: _Tally) -> Iterator[Path]:
    """Every regular file below a folder, once, in the order of names. A file or folder met again is passed over."""
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            status = path.stat()
            children = sorted(path.iterdir(), reverse=True) if stat.S_ISDIR(status.st_mode) else []
        except OSError as error:
            left_out.add(path, _UNREADABLE if isinstance(error, PermissionError) else _NOT_A_FILE)
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        waiting.extend(children)
        if stat.S_ISREG(status.st_mode):
            yield path
        elif not stat.S_ISDIR(status.st_mode):
            left_out.add(path, _NOT_A_FILE)


def _header_or_tally(path: Path, left_out: _Tally) -> Header | None:
    try:
        header = read_header(path)
    except InvalidDicomError:
        left_out.add(path, _NOT_DICOM)
        return None
    except OSError:
        left_out.add(path, _UNREADABLE)
        return None
    # pydicom's parser raises whatever a garbled header makes it meet; the file becomes a row.
    except Exception:  # noqa: BLE001
        left_out.add(path, _DAMAGED)
        return None
    finding = audit_file(header)
    if finding is not None:
        left_out.add(path, finding)
    return header if finding is None else None
