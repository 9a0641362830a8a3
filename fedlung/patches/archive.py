"""A patch archive: prepared nodule cubes with site, patient and label in one ``.npz``.

A fourth source beside DICOM, and the form that NoduleMNIST3D of MedMNIST has, which is read as it is. Written without
pickle and read with pickle refused, because an archive comes from somewhere else.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedlung.config import TaskConfig
from fedlung.ct.scanners import KERNEL_CLASSES
from fedlung.errors import DataError, StoreError
from fedlung.files import replacing
from fedlung.patches.splits import SPLITS

FORMAT = "fedlung-archive-1"
UNDECIDED_LABEL = -1
_MEDMNIST_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_MEDMNIST_FIELD_MM = 28.0


@dataclass(frozen=True)
class PatchArchive:
    """Nodule cubes of one or several sites, N of them.

    cubes_NDHW       (N, D, H, W) uint8, the nodule in the middle
    site_N           name of the site
    patient_N        whoever the cubes belong to; a patient is at one site only
    label_N          1 malignant, 0 benign, -1 undecided
    malignancy_N     mean or median of the readers' ratings 1..5, as ``source`` says; NaN unknown
    readers_N        how many readers marked the nodule; 0 unknown
    diameter_mm_N    of the sphere of equal volume; NaN unknown
    split_N          "train", "validation" or "test" where the source has its own splits, else empty
    texture_N        mean of the readers' ratings 1 (ground glass) .. 5 (solid); NaN unknown
    thickness_mm_N   of the scan's slices; NaN unknown
    kernel_N         class of the reconstruction kernel: smooth, sharp or unknown; empty where the source tells none
    spacing_mm       edge of a voxel
    source           where the cubes are from and how they were made, in words
    """

    cubes_NDHW: npt.NDArray[np.uint8]
    site_N: npt.NDArray[np.str_]
    patient_N: npt.NDArray[np.str_]
    label_N: npt.NDArray[np.int64]
    malignancy_N: npt.NDArray[np.float32]
    readers_N: npt.NDArray[np.int64]
    diameter_mm_N: npt.NDArray[np.float32]
    split_N: npt.NDArray[np.str_]
    texture_N: npt.NDArray[np.float32]
    thickness_mm_N: npt.NDArray[np.float32]
    kernel_N: npt.NDArray[np.str_]
    spacing_mm: float
    source: str
    synthetic: bool = False

    def __post_init__(self) -> None:
        if mistakes := _mistakes(self):
            sentence = "a patch archive does not fit: " + "; ".join(mistakes) + ". Build it again."
            raise StoreError(sentence, public="the site's archive does not fit")

    def __len__(self) -> int:
        return len(self.label_N)

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites' names, sorted."""
        return tuple(np.unique(self.site_N).tolist())

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change with any cube, label or patient."""
        digest = hashlib.sha256()
        for name in _array_names():
            digest.update(getattr(self, name).tobytes())
        return digest.hexdigest()[:16]

    def take(self, keep_N: npt.NDArray[np.bool_]) -> PatchArchive:
        """The archive of some of the cubes."""
        return replace(self, **{name: getattr(self, name)[keep_N] for name in _array_names()})

    def of_site(self, site: str) -> PatchArchive:
        """One site's cubes. Raises DataError when the archive has no such site."""
        if site not in self.sites:
            raise DataError(
                f"the archive has no site {site!r}; it has {', '.join(self.sites)}. Set archive-site.",
                public="the site's archive has no cubes of this site: archive-site in its site.toml names one",
            )
        return self.take(self.site_N == site)

    def for_task(self, task: TaskConfig) -> tuple[PatchArchive, Mapping[str, int]]:
        """The cubes that are examples of the task, and how many nodules it cannot use by reason.

        readers-below-k          fewer readers than ``task.readers``; where the number is unknown the cube is kept
        malignancy-undecided     the ratings are 3 or there are none
        Raises DataError for another task than malignancy: the cubes are all nodules.
        """
        if task.name != "malignancy":
            raise DataError(
                f"a patch archive holds nodules only and cannot teach task {task.name!r}; "
                "set task.name to 'malignancy'",
                public="a patch archive serves task 'malignancy' only",
            )
        few_N = (self.readers_N > 0) & (self.readers_N < task.readers)
        undecided_N = ~few_N & (self.label_N == UNDECIDED_LABEL)
        unused = {"readers-below-k": int(few_N.sum()), "malignancy-undecided": int(undecided_N.sum())}
        return self.take(~few_N & ~undecided_N), {reason: number for reason, number in unused.items() if number}

    def save(self, path: Path) -> None:
        """Write one ``.npz``, whole or not at all; the same archive gives the same bytes."""
        content = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        with replacing(path) as file:
            np.savez_compressed(file, format=np.asarray(FORMAT), **content)  # type: ignore[arg-type]


def load_archive(path: Path) -> PatchArchive:
    """An archive of ours or MedMNIST's, told apart by its fields. Raises StoreError when it is neither."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            content = {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise StoreError(
            f"{path}: there is no such archive; `fedlung archive build` makes one",
            public="the site's archive is missing",
        ) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(
            f"{path}: not a readable .npz without pickled objects ({error}); build or download it again",
            public="the site's archive cannot be read",
        ) from error
    if "train_images" in content:
        return _from_medmnist(path, content)
    content = {**_not_told(len(content.get("label_N", ()))), **content}
    expected = {field.name for field in fields(PatchArchive)} | {"format"}
    if missing := sorted(expected - set(content)):
        raise StoreError(
            f"{path}: not a patch archive; it lacks {', '.join(missing)} and has {', '.join(sorted(content))}. "
            "`fedlung archive build` makes one.",
            public="the site's archive is none: fields are missing",
        )
    if content["format"].tolist() != FORMAT:
        raise StoreError(
            f"{path}: archive of form {content['format']}, expected {FORMAT}; build it again",
            public="the site's archive is of another form: build it again",
        )
    return _from_content(content)


def _from_content(content: Mapping[str, np.ndarray]) -> PatchArchive:
    arrays = {name: content[name] for name in _array_names()}
    return PatchArchive(
        **arrays,
        spacing_mm=float(content["spacing_mm"]),
        source=str(content["source"]),
        synthetic=bool(content["synthetic"]),
    )


def _from_medmnist(path: Path, content: Mapping[str, np.ndarray]) -> PatchArchive:
    """NoduleMNIST3D (medmnist.com): one site, its own splits; who is behind a cube is not told."""
    needed = [f"{split}_{part}" for split in _MEDMNIST_SPLITS for part in ("images", "labels")]
    if missing := [name for name in needed if name not in content]:
        raise StoreError(
            f"{path}: looks like MedMNIST's form but lacks {', '.join(missing)}; download it again",
            public="the site's archive is none: fields are missing",
        )
    cubes_NDHW = np.concatenate([content[f"{split}_images"] for split in _MEDMNIST_SPLITS])
    sizes = [len(content[f"{split}_images"]) for split in _MEDMNIST_SPLITS]
    num = len(cubes_NDHW)
    return PatchArchive(
        cubes_NDHW=cubes_NDHW,
        site_N=np.full(num, "NoduleMNIST3D"),
        patient_N=np.array([f"cube-{index:05d}" for index in range(num)]),
        label_N=np.concatenate([content[f"{split}_labels"].reshape(-1) for split in _MEDMNIST_SPLITS]).astype(np.int64),
        malignancy_N=np.full(num, np.nan, dtype=np.float32),
        readers_N=np.zeros(num, dtype=np.int64),
        diameter_mm_N=np.full(num, np.nan, dtype=np.float32),
        split_N=np.repeat(list(_MEDMNIST_SPLITS.values()), sizes),
        **_not_told(num),
        spacing_mm=_MEDMNIST_FIELD_MM / cubes_NDHW.shape[-1],
        source="NoduleMNIST3D (MedMNIST, from LIDC-IDRI) with its own splits; patients are not told, so every cube "
        "counts as a patient of its own and intervals by patient are intervals by nodule",
    )


def _not_told(num: int) -> dict[str, Any]:
    """Texture, slice thickness and kernel of ``num`` cubes of a source that tells none."""
    return {
        "texture_N": np.full(num, np.nan, dtype=np.float32),
        "thickness_mm_N": np.full(num, np.nan, dtype=np.float32),
        "kernel_N": np.full(num, ""),
    }


def _array_names() -> list[str]:
    return [field.name for field in fields(PatchArchive) if field.name.endswith(("_N", "_NDHW"))]


def _mistakes(archive: PatchArchive) -> list[str]:
    cubes_NDHW = archive.cubes_NDHW
    mistakes = []
    if cubes_NDHW.ndim != 4 or cubes_NDHW.dtype != np.uint8:
        mistakes.append(f"cubes must be (N, D, H, W) uint8, found {cubes_NDHW.shape} {cubes_NDHW.dtype}")
    lengths = {name: np.shape(getattr(archive, name))[:1] for name in _array_names()}
    if len(set(lengths.values())) > 1:
        return [*mistakes, f"every field must have one entry for each cube, found {lengths}"]
    if not set(np.unique(archive.label_N).tolist()) <= {UNDECIDED_LABEL, 0, 1}:
        mistakes.append(f"labels must be 0, 1 or -1 (undecided), found {np.unique(archive.label_N).tolist()[:5]}")
    if not set(np.unique(archive.split_N).tolist()) <= {"", *SPLITS}:
        mistakes.append(f"splits must be empty or one of {', '.join(SPLITS)}")
    if not set(np.unique(archive.kernel_N).tolist()) <= {"", *KERNEL_CLASSES}:
        mistakes.append(f"kernels must be empty or one of {', '.join(KERNEL_CLASSES)}")
    if not (np.isfinite(archive.spacing_mm) and archive.spacing_mm > 0):
        mistakes.append(f"spacing_mm must be above 0, found {archive.spacing_mm}")
    return mistakes + _patients_at_two_places(archive)


def _patients_at_two_places(archive: PatchArchive) -> list[str]:
    mistakes = []
    for what, place_N in (("sites", archive.site_N), ("splits", archive.split_N)):
        pairs = set(zip(archive.patient_N.tolist(), place_N.tolist(), strict=True))
        if torn := sum(number > 1 for number in Counter(patient for patient, _ in pairs).values()):
            mistakes.append(f"{torn} patients stand in two {what}; a patient must be whole in one")
    return mistakes
