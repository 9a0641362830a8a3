"""Federation folders: each site's series, its table of nodules and its profile, written once and kept.

A complete folder holds ``phantom.json``. That file is ``phantom.unfinished``, written first and renamed last: so
a site that was interrupted is known as such and made again, and anybody else's data are never touched.
"""

from __future__ import annotations

import difflib
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedlung.ct.annotations import write_annotations_csv
from fedlung.ct.nodule import Nodule
from fedlung.ct.phantom.config import PhantomConfig
from fedlung.ct.phantom.dealing import hands_of
from fedlung.ct.phantom.design import design_of
from fedlung.ct.phantom.dicom import Identity, write_series
from fedlung.ct.phantom.nodules import PlacedNodule
from fedlung.ct.phantom.pairs import write_pairs
from fedlung.ct.phantom.patient import virtual_patient
from fedlung.ct.phantom.profiles import PROFILES
from fedlung.ct.phantom.scanner import scan
from fedlung.errors import ConfigError, StoreError
from fedlung.seeding import derive
from fedlung.sitefile import site_toml, write_site_file

MARKER, UNFINISHED = "phantom.json", "phantom.unfinished"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Task:
    """One patient to be written."""

    folder: Path
    site: str
    patient: int
    cfg: PhantomConfig
    hand: tuple[str, ...]


@dataclass(frozen=True)
class _Written:
    """What became of a task."""

    site: str
    series_uid: str
    num_slices: int
    nodules: tuple[Nodule, ...]


def write_phantom(
    folder: Path,
    cfg: PhantomConfig,
    *,
    sites: Sequence[str] | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> None:
    """Write the sites that are not there yet: ``<site>/dicom/``, ``annotations.csv`` and ``site.toml``.

    A site's bytes depend on the configuration alone, not on which other sites are written nor on ``workers``. Paired
    sites have ``pairs.csv`` beside them, which says who is whom (``pairs.py``).
    ``progress`` is told (patients done, patients to do). Raises ConfigError for an unknown site or too few donors, and
    StoreError where a folder holds another phantom or something else.
    """
    wanted = [name for name in _checked(sites) if not _is_complete(folder / name, cfg)]
    tasks = [task for name in wanted for task in _tasks(folder / name, name, cfg)]
    for name in wanted:
        _begin(folder / name, cfg)
    if cfg.paired:
        write_pairs(folder, cfg)
    written: dict[str, list[_Written]] = {name: [] for name in wanted}
    with _mapper(min(workers, len(tasks))) as mapped:
        for done, row in enumerate(mapped(_write_patient, tasks), start=1):
            written[row.site].append(row)
            if len(written[row.site]) == cfg.patients_per_site:
                _finish(folder / row.site, row.site, cfg, written[row.site])
            if progress is not None:
                progress(done, len(tasks))


def _checked(sites: Sequence[str] | None) -> list[str]:
    mistakes = []
    for name in sites or ():
        if name not in PROFILES:
            near = difflib.get_close_matches(name, PROFILES, n=1)
            mistakes.append(f"no phantom site {name!r}" + (f"; did you mean {near[0]}?" if near else "."))
    if mistakes:
        raise ConfigError(f"{' '.join(mistakes)} The phantom's sites are {', '.join(PROFILES)}.")
    return list(PROFILES if sites is None else dict.fromkeys(sites))


def _is_complete(site_folder: Path, cfg: PhantomConfig) -> bool:
    """Whether this very phantom is there. Raises StoreError for another one, or for what is no phantom at all."""
    marker = site_folder / MARKER
    if marker.is_file():
        found = _fingerprint_in(marker)
        if found != cfg.fingerprint():
            raise StoreError(
                f"{site_folder} holds the phantom {found}, and {cfg.fingerprint()} is asked for (another seed, size or "
                "version). Choose another folder, or remove this one."
            )
        return True
    if site_folder.is_dir() and any(site_folder.iterdir()) and not (site_folder / UNFINISHED).is_file():
        raise StoreError(
            f"{site_folder} is not empty and holds no phantom (neither {MARKER} nor {UNFINISHED}). "
            "Nothing was changed. Choose another folder."
        )
    return False


def _fingerprint_in(marker: Path) -> str:
    try:
        return str(json.loads(marker.read_text(encoding="utf-8"))["fingerprint"])
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            f"{marker} is damaged: it has no fingerprint. Remove its folder and write the phantom again."
        ) from None


def _begin(site_folder: Path, cfg: PhantomConfig) -> None:
    site_folder.mkdir(parents=True, exist_ok=True)
    (site_folder / UNFINISHED).write_text(json.dumps({"fingerprint": cfg.fingerprint()}), encoding="utf-8")
    if (site_folder / "dicom").is_dir():
        shutil.rmtree(site_folder / "dicom")


def _finish(site_folder: Path, name: str, cfg: PhantomConfig, rows: Sequence[_Written]) -> None:
    write_annotations_csv(site_folder / "annotations.csv", {row.series_uid: row.nodules for row in rows})
    source = {"dicom": "dicom", "annotations": "annotations.csv"}
    heading = "A synthetic site: computed chest CT, no patient."
    write_site_file(site_folder, site_toml(name, source, synthetic=True, heading=heading))
    unfinished = site_folder / UNFINISHED
    unfinished.write_text(json.dumps(_summary(name, cfg, rows), indent=2) + "\n", encoding="utf-8")
    unfinished.replace(site_folder / MARKER)


def _summary(name: str, cfg: PhantomConfig, rows: Sequence[_Written]) -> dict[str, object]:
    nodules = [nodule for row in rows for nodule in row.nodules]
    return {
        "fingerprint": cfg.fingerprint(),
        "site": name,
        "synthetic": True,
        "num_patients": len(rows),
        "num_patients_with_nodules": sum(bool(row.nodules) for row in rows),
        "num_nodules": len(nodules),
        "num_nodules_of_3_readers": sum(nodule.readers >= 3 for nodule in nodules),
        "num_slices": sum(row.num_slices for row in rows),
        "config": cfg.knobs(),
    }


def _tasks(site_folder: Path, name: str, cfg: PhantomConfig) -> list[_Task]:
    hands = hands_of(name, cfg)
    return [_Task(site_folder, name, patient, cfg, hand) for patient, hand in enumerate(hands)]


@contextmanager
def _mapper(workers: int) -> Iterator[Callable[..., Iterator[_Written]]]:
    """A map that keeps the order: in this process, or in spawned ones (a forked one may inherit a held lock)."""
    if workers <= 1:
        yield map  # type: ignore[misc]
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool.map


def _write_patient(task: _Task) -> _Written:
    """Make a patient, scan it and write its series."""
    cfg, labels = task.cfg, ("phantom", task.site, task.patient)
    scene = virtual_patient(task.site, task.patient, cfg, task.hand)
    image = scan(scene, design_of(task.site, cfg).profile, cfg, derive(cfg.seed, *labels, "scan"))
    shift = derive(cfg.seed, *labels, "table").uniform((-260, 120, -4), (-140, 180, 4)).round(2)
    shift_mm = (float(shift[0]), float(shift[1]), float(shift[2]))
    identity = Identity.of(cfg.seed, task.site, task.patient)
    write_series(task.folder / "dicom" / identity.patient_id / "CT", image, identity, cfg.seed, shift_mm=shift_mm)
    nodules = tuple(_annotated(placed, shift_mm) for placed in scene.nodules)
    return _Written(task.site, identity.series_uid, len(image.hu_DHW), nodules)


def _annotated(placed: PlacedNodule, shift_mm: tuple[float, float, float]) -> Nodule:
    """A placed nodule as a reader would report it, in the patient's millimetres."""
    z, y, x = (round(center + shift, 4) for center, shift in zip(placed.center_mm, shift_mm, strict=True))
    shape = placed.shape
    return Nodule(
        center_mm=(x, y, z),
        diameter_mm=round(shape.diameter_mm, 3),
        readers=shape.readers,
        malignancy=round(shape.malignancy, 4),
        texture=round(shape.texture, 4),
    )
