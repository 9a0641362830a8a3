"""A patch archive out of stacks of nodule slices: LIDC-IDRI nodules of four manufacturers as 8-bit crops.

The folder holds ``slices_center64_uint8.npz`` (``images`` and ``reader_votes``, both (S, 64, 64) uint8) and
``slices.csv`` with a row for each slice. Every slice was scaled to its own minimum and maximum, so HU are lost.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from fedlung.ct.nodule import UNDECIDED_MALIGNANCY
from fedlung.errors import StoreError
from fedlung.patches.archive import UNDECIDED_LABEL, PatchArchive
from fedlung.patches.partition import manufacturer_name

IMAGES_FILE, TABLE_FILE = "slices_center64_uint8.npz", "slices.csv"
SOURCE = (
    "LIDC-IDRI (CC BY 3.0, doi 10.7937/K9/TCIA.2015.LO9QL9SX), nodule slice stacks, 8 bit, each slice scaled on its "
    "own: HU are lost. Resampled at true spacing; outside the stack, which ends where the readers' outlines do, its "
    "border is repeated. Malignancy is the median rating; the diameter is of the sphere with the volume that half of "
    "the readers marked."
)
_COLUMNS = (
    "patient_id",
    "nodule",
    "slice",
    "manufacturer",
    "median_malignancy",
    "n_readers",
    "slice_spacing_mm",
    "pixel_spacing_mm",
)
_MOST_VOTES = 4  # a voxel's votes are capped there, though ambiguous clusters have up to eight readings

FloatArray = npt.NDArray[np.float32]


def build_from_stacks(
    folder: Path,
    *,
    edge: int = 32,
    spacing_mm: float = 1.5,
    progress: Callable[[int, int], None] | None = None,
) -> PatchArchive:
    """Cubes of ``edge``³ voxels of ``spacing_mm``, one for each nodule of the folder; the sites are manufacturers.

    Raises StoreError when the folder does not hold stacks of that form.
    """
    table, images_SHW, votes_SHW = _read_stacks(folder)
    stacks = [rows.index.to_numpy() for _, rows in table.groupby(["patient_id", "nodule"], sort=True)]
    nodules = table.loc[[rows[0] for rows in stacks]]
    cubes_NDHW = np.zeros((len(stacks), edge, edge, edge), dtype=np.uint8)
    diameter_mm_N = np.zeros(len(stacks), dtype=np.float32)
    spacing_N2 = nodules[["slice_spacing_mm", "pixel_spacing_mm"]].to_numpy(dtype=np.float64)
    readers_N = nodules["n_readers"].to_numpy(dtype=np.int64)
    for number, rows in enumerate(stacks):
        spacing = tuple(spacing_N2[number])
        cubes_NDHW[number] = resample_stack(images_SHW[rows], *spacing, edge=edge, spacing_mm=spacing_mm)
        diameter_mm_N[number] = consensus_diameter_mm(votes_SHW[rows], readers_N[number], *spacing)
        if progress:
            progress(number + 1, len(stacks))
    malignancy_N = nodules["median_malignancy"].to_numpy(dtype=np.float32)
    return PatchArchive(
        cubes_NDHW=cubes_NDHW,
        site_N=np.array([manufacturer_name(name) for name in nodules["manufacturer"]]),
        patient_N=nodules["patient_id"].to_numpy(dtype=str),
        label_N=malignancy_label(malignancy_N),
        malignancy_N=malignancy_N,
        readers_N=readers_N,
        diameter_mm_N=diameter_mm_N,
        split_N=np.full(len(stacks), ""),
        texture_N=np.full(len(stacks), np.nan, dtype=np.float32),
        thickness_mm_N=np.full(len(stacks), np.nan, dtype=np.float32),  # the table has the spacing, which is not it
        kernel_N=np.full(len(stacks), ""),
        spacing_mm=spacing_mm,
        source=SOURCE,
    )


def malignancy_label(malignancy_N: FloatArray) -> npt.NDArray[np.int64]:
    """1 above a rating of 3, 0 below it, -1 (undecided) at 3 and where nobody rated."""
    decided_N = np.isfinite(malignancy_N) & (malignancy_N != UNDECIDED_MALIGNANCY)
    return np.where(decided_N, malignancy_N > UNDECIDED_MALIGNANCY, UNDECIDED_LABEL).astype(np.int64)


def consensus_diameter_mm(
    votes_SHW: npt.NDArray[np.uint8], num_readers: int, slice_spacing_mm: float, pixel_spacing_mm: float
) -> float:
    """Diameter of the sphere whose volume is that of the voxels marked by half of the readers or more; 0 for none."""
    marked = 2 * votes_SHW >= min(num_readers, _MOST_VOTES)
    volume_mm3 = np.count_nonzero(marked) * slice_spacing_mm * pixel_spacing_mm**2
    return float(np.cbrt(6 * volume_mm3 / np.pi))


def resample_stack(
    stack_SHW: npt.NDArray[np.uint8],
    slice_spacing_mm: float,
    pixel_spacing_mm: float,
    *,
    edge: int,
    spacing_mm: float,
) -> npt.NDArray[np.uint8]:
    """(edge, edge, edge) uint8 around the stack's middle, antialiased where the new grid is coarser.

    Outside the stack its border is repeated: black there would tell a network where the readers stopped outlining.
    """
    num_slices, height, width = stack_SHW.shape
    slices_DS = _weights(num_slices, slice_spacing_mm, edge, spacing_mm)
    rows_DH = _weights(height, pixel_spacing_mm, edge, spacing_mm)
    columns_DW = _weights(width, pixel_spacing_mm, edge, spacing_mm)
    plane_SDD = rows_DH @ stack_SHW.astype(np.float32) @ columns_DW.T
    cube_DDD = np.tensordot(slices_DS, plane_SDD, axes=1)
    return np.rint(cube_DDD).clip(0, 255).astype(np.uint8)


def _weights(num_old: int, old_mm: float, num_new: int, new_mm: float) -> FloatArray:
    """(new, old) weights of a triangle as wide as the coarser of both grids; both are centred on the same point.

    A new sample beyond the outermost old one is taken from there. A row sums to one.
    """
    old_position = (np.arange(num_old) - (num_old - 1) / 2) * old_mm
    new_position = ((np.arange(num_new) - (num_new - 1) / 2) * new_mm).clip(old_position[0], old_position[-1])
    distance = np.abs(new_position[:, None] - old_position)
    weights = np.clip(1 - distance / max(old_mm, new_mm), 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _read_stacks(folder: Path) -> tuple[pd.DataFrame, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The table in the order of slices, with images and votes of its rows."""
    for name in (IMAGES_FILE, TABLE_FILE):
        if not (folder / name).is_file():
            raise StoreError(f"{folder}: expected the stacks' {IMAGES_FILE} and {TABLE_FILE}, {name} is not there")
    table = pd.read_csv(folder / TABLE_FILE)
    with np.load(folder / IMAGES_FILE, allow_pickle=False) as stored:
        images_SHW, votes_SHW = stored["images"], stored["reader_votes"]
    if missing := [name for name in _COLUMNS if name not in table.columns]:
        raise StoreError(f"{folder / TABLE_FILE}: lacks the columns {', '.join(missing)}")
    if not len(table) == len(images_SHW) == len(votes_SHW):
        raise StoreError(
            f"{folder}: {len(table)} rows of {TABLE_FILE}, {len(images_SHW)} images, "
            f"{len(votes_SHW)} votes; expected one of each for a slice"
        )
    return table.sort_values(["patient_id", "nodule", "slice"]), images_SHW, votes_SHW
