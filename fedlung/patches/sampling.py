"""Where patches are cut from a case: at nodules, and at background inside the lung.

Hard background stands on local maxima of brightness, most of them vessels and their crossings, which is what a nodule
is mistaken for; easy background anywhere in the lung. Index space is zyx.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fedlung.config import PatchConfig, TaskConfig
from fedlung.ct.nodule import Nodule
from fedlung.preprocess.case import Case

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Centers = tuple[FloatArray, IntArray, FloatArray]

VESSEL_HU = -500  # lung parenchyma is near -850, a vessel filled with blood near 40
SCAN_DIAMETER_MM = 3.0
_MAX_STARTS = 2048
_MAX_STEPS = 6
_MAX_TRIES = 20


def patch_centers(
    case: Case,
    task: TaskConfig,
    cfg: PatchConfig,
    rng: np.random.Generator,
    *,
    training: bool,
    candidates_N3: IntArray | None = None,
) -> Centers:
    """Centres (N, 3) as fractional zyx indices, labels (N,), diameters (N,) in mm (NaN for background).

    nodule       positive: marked by ``task.readers`` or more. No background centre lies within ``exclusion_mm`` of the
                 surface of any nodule, one with fewer readers included; that one is no example at all.
    malignancy   nodules of ``task.readers`` or more whose mean rating is not 3; positive above it; no background.

    training     every centre is shifted uniformly within ± ``jitter_mm`` along each axis, background as well: a centre
                 that is exact for one class only would give the class away. Else nodules stand at their exact centre.
    candidates_N3  ``hard_candidates(case)``, when the caller keeps them

    A case whose lung mask holds no place far enough from its nodules gives less background than asked for.
    """
    chosen = [index for index, nodule in enumerate(case.nodules) if counts(nodule, task)]
    jitter_3 = (cfg.jitter_mm if training else 0.0) / np.asarray(case.geometry.spacing_mm)
    centers_N3 = case.nodule_centers_N3[chosen]
    centers_N3 = centers_N3 + rng.uniform(-jitter_3, jitter_3, size=centers_N3.shape)
    diameter_N = np.array([case.nodules[index].diameter_mm for index in chosen], dtype=np.float64)
    if task.name == "malignancy":
        labels_N = np.array([case.nodules[index].malignant for index in chosen], dtype=np.int64)
        return centers_N3, labels_N, diameter_N
    background_N3 = _background(case, cfg, rng, jitter_3, len(chosen), candidates_N3)
    return (
        np.concatenate([centers_N3, background_N3]),
        np.repeat(np.array([1, 0]), [len(centers_N3), len(background_N3)]),
        np.concatenate([diameter_N, np.full(len(background_N3), np.nan)]),
    )


def counts(nodule: Nodule, task: TaskConfig) -> bool:
    """Whether a nodule is an example (nodule, malignancy) or makes its scan positive (scan).

    The label of a scan is the original tutorial's: any nodule of 3 mm or more, however few its readers.
    """
    if task.name == "scan":
        return nodule.diameter_mm >= SCAN_DIAMETER_MM
    if nodule.readers < task.readers:
        return False
    return task.name == "nodule" or nodule.malignant is not None


def textures_of(case: Case, task: TaskConfig, num_patches: int) -> npt.NDArray[np.float32]:
    """(num_patches,) mean texture ratings of the patches of ``patch_centers``, in its order; NaN for background."""
    texture_N = np.full(num_patches, np.nan, dtype=np.float32)
    own = [nodule.texture for nodule in case.nodules if counts(nodule, task)]
    texture_N[: len(own)] = own
    return texture_N


def most_background(num_nodules: int, num_cases: int, cfg: PatchConfig) -> int:
    """More background than this is never drawn from ``num_cases`` cases with ``num_nodules`` nodules together."""
    # Each case is asked for the larger of two numbers, one of them rounded, which adds a half at most.
    return math.floor(num_cases * (cfg.min_background + 0.5) + cfg.background_per_nodule * num_nodules)


def patient_labels(cases: Sequence[Case], task: TaskConfig) -> dict[str, int]:
    """patient_key -> 1 when the patient has a positive, else 0; a patient without any example is not in it."""
    labels: dict[str, int] = {}
    for case in cases:
        own = [nodule for nodule in case.nodules if counts(nodule, task)]
        if task.name == "malignancy" and not own:
            continue
        positive = any(task.name != "malignancy" or nodule.malignant for nodule in own)
        labels[case.patient_key] = max(labels.get(case.patient_key, 0), int(positive))
    return dict(sorted(labels.items()))


def hard_candidates(case: Case) -> IntArray:
    """(N, 3) distinct zyx voxels in the lung that are maxima of the 3³ mean among their neighbours.

    Hill climbing from at most 2048 voxels above -500 HU, evenly taken, at most six steps each: a gather of small
    windows instead of a filter over the whole volume. The same case gives the same candidates.
    """
    image_DHW, lung_DHW = np.asarray(case.image_DHW), np.asarray(case.lung_DHW)  # an encrypted case is decrypted once
    bright_N = np.flatnonzero((image_DHW > VESSEL_HU) & lung_DHW)
    start_N = bright_N[:: max(1, -(-len(bright_N) // _MAX_STARTS))]
    index_N3 = np.stack(np.unravel_index(start_N, image_DHW.shape), axis=1).astype(np.int64)
    for _ in range(_MAX_STEPS):
        index_N3 = np.unique(_step_uphill(image_DHW, index_N3), axis=0)
    return index_N3[lung_DHW[tuple(index_N3.T)]]


_WINDOW_125_3 = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
_NEIGHBOURS_27_3 = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def _step_uphill(image_DHW: npt.NDArray[np.int16], index_N3: IntArray) -> IntArray:
    """Each voxel's brightest neighbour (itself included) by the mean over 3³; the volume's edge is repeated."""
    last_3 = np.asarray(image_DHW.shape) - 1
    window_N3 = np.clip(index_N3[:, None, :] + _WINDOW_125_3, 0, last_3)
    hu_N555 = image_DHW[tuple(np.moveaxis(window_N3, -1, 0))].reshape(-1, 5, 5, 5).astype(np.int32)
    for axis in (1, 2, 3):
        hu_N555 = sum(np.take(hu_N555, range(shift, shift + 3), axis=axis) for shift in range(3))
    sums_N27 = hu_N555.reshape(-1, 27)
    here_N = sums_N27[:, 13]
    best_N = np.where(sums_N27.max(axis=1) > here_N, sums_N27.argmax(axis=1), 13)
    return np.clip(index_N3 + _NEIGHBOURS_27_3[best_N], 0, last_3)


def _num_background(num_nodules: int, cfg: PatchConfig) -> int:
    """How many background centres one case is asked for."""
    return max(cfg.min_background, round(cfg.background_per_nodule * num_nodules))


def _background(
    case: Case,
    cfg: PatchConfig,
    rng: np.random.Generator,
    jitter_3: FloatArray,
    num_nodules: int,
    candidates_N3: IntArray | None,
) -> FloatArray:
    """(N, 3) background centres: first the hard ones, then easy ones up to the number that ``cfg`` asks for."""
    wanted = _num_background(num_nodules, cfg)
    candidates_N3 = hard_candidates(case) if candidates_N3 is None else candidates_N3
    hard_N3 = rng.permutation(candidates_N3).astype(np.float64)
    hard_N3 = _far_from_nodules(case, cfg, hard_N3 + rng.uniform(-jitter_3, jitter_3, size=hard_N3.shape))
    hard_N3 = hard_N3[: round(cfg.hard_fraction * wanted)]
    return np.concatenate([hard_N3, _easy_background(case, cfg, rng, wanted - len(hard_N3))])


def _easy_background(case: Case, cfg: PatchConfig, rng: np.random.Generator, wanted: int) -> FloatArray:
    """(<= wanted, 3) uniform voxels of the lung, by rejection: the list of all lung voxels is never made."""
    found_N3 = np.zeros((0, 3))
    for _ in range(_MAX_TRIES):
        if len(found_N3) >= wanted:
            break
        drawn_N3 = rng.integers(0, case.lung_DHW.shape, size=(16 * wanted, 3))
        inside_N3 = drawn_N3[case.lung_DHW[tuple(drawn_N3.T)]].astype(np.float64)
        found_N3 = np.concatenate([found_N3, _far_from_nodules(case, cfg, inside_N3)])
    return found_N3[:wanted]


def _far_from_nodules(case: Case, cfg: PatchConfig, index_N3: FloatArray) -> FloatArray:
    """Those of the centres that are farther than ``exclusion_mm`` from every nodule's surface, taken as a sphere."""
    spacing_3 = np.asarray(case.geometry.spacing_mm)
    radius_M = np.array([nodule.diameter_mm / 2 for nodule in case.nodules])
    offset_NM3 = (index_N3[:, None, :] - case.nodule_centers_N3[None]) * spacing_3
    surface_NM = np.linalg.norm(offset_NM3, axis=-1) - radius_M
    return index_N3[(surface_NM > cfg.exclusion_mm).all(axis=1)]
