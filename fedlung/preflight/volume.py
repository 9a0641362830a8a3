"""What one volume shows: tissues where they should be, lungs inside the field of view, nodules inside the lungs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from fedlung.ct.geometry import Float64Array
from fedlung.ct.nodule import Nodule
from fedlung.ct.volume import Volume
from fedlung.preflight.findings import WARN, Finding
from fedlung.preprocess.lungs import Lungs, find_lungs
from fedlung.preprocess.prepare import SCANNER_HU
from fedlung.preprocess.remarks import REMEDIES, volume_remarks

THICK_MM = 5.0  # beyond, a nodule of 6 mm, the smallest that is followed up (Fleischner 2017), is on one slice
CUT_AT_END_MM2 = 800.0  # twice what the windpipe takes of an outermost slice; it is in the mask
CUT_AT_SIDE_MM2 = (
    4000.0  # a lung cut lengthwise has 7,000 and more; clothes and blankets were up to 3,000 on real scans
)
SQUARE_MM, PARENCHYMA_HU, EVEN_HU = 10.0, (-930.0, -650.0), 60.0
SAME_NODULE = 0.25  # of the smaller diameter: centres nearer than this are the same nodule's


@dataclass(frozen=True)
class VolumeCheck:
    """Findings, and what a picture and a histogram need."""

    findings: tuple[Finding, ...]
    lungs: Lungs
    on_grid: tuple[Nodule, ...]


def check_volume(volume: Volume, nodules: Sequence[Nodule]) -> VolumeCheck:
    """Judge a volume and its nodules."""
    voxels_DHW = torch.from_numpy(np.clip(volume.voxels_DHW, *SCANNER_HU))
    lungs = find_lungs(voxels_DHW, volume.geometry)
    index_N3 = volume.world_to_index([nodule.center_mm for nodule in nodules]) if nodules else np.zeros((0, 3))
    on_grid_N = volume.geometry.contains(index_N3)
    findings = (
        *(_warn(one.code, one.sentence, one.remedy) for one in volume_remarks(volume, lungs)),
        *_on_protocol(volume),
        *_on_lungs(volume, lungs),
        *_on_nodules(volume, nodules, lungs),
    )
    return VolumeCheck(findings, lungs, tuple(one for one, there in zip(nodules, on_grid_N, strict=True) if there))


def _warn(code: str, sentence: str, remedy: str) -> Finding:
    return Finding(WARN, code, sentence, remedy)


def _on_protocol(volume: Volume) -> Iterator[Finding]:
    thickness_mm = volume.acquisition.slice_thickness_mm
    thick_mm = max(volume.spacing_mm[0], 0.0 if math.isnan(thickness_mm) else thickness_mm)
    if thick_mm > THICK_MM:
        sentence = f"slices of {thick_mm:.3g} mm, expected at most {THICK_MM:g} mm; small nodules are lost."
        yield _warn("THICK_SLICES", sentence, "Export the thin reconstruction of the same scan where there is one.")


def _on_lungs(volume: Volume, lungs: Lungs) -> Iterator[Finding]:
    if sides := sides_cut(volume, lungs):
        sentence = f"the lungs go beyond the image: {', '.join(sides)}."
        yield _warn("LUNGS_CUT", sentence, "Export the whole chest; what is beyond the image cannot be found.")


def sides_cut(volume: Volume, lungs: Lungs) -> tuple[str, ...]:
    """Where the lungs reach the end of the image, in the patient's words.

    The first and the last slice show it in the mask. A lung that is open to the side is not in the mask, for the body
    does not enclose it: there it is looked for by its density. Not in front and behind: the table's foam is alike.
    """
    cut = []
    for end, sign in ((0, -1), (-1, 1)):
        if lungs.found and _mask_mm2(lungs, end) >= CUT_AT_END_MM2:
            cut.append(_side(np.asarray(volume.direction)[:, 2] * sign))
        if _parenchyma_mm2(volume, end) >= CUT_AT_SIDE_MM2:
            cut.append(_side(np.asarray(volume.direction)[:, 0] * sign))
    return tuple(cut)


def _mask_mm2(lungs: Lungs, end: int) -> float:
    """Of lung on the first or the last plane of the mask."""
    _, y_mm, x_mm = lungs.geometry.spacing_mm
    return float(np.count_nonzero(lungs.mask_DHW[end])) * y_mm * x_mm


def _parenchyma_mm2(volume: Volume, end: int) -> float:
    """Of what is as dense as lung, and even, on the image's first or last column, in squares of about a centimetre."""
    face = torch.from_numpy(volume.voxels_DHW[:, :, end].astype(np.float32))[None, None]
    steps_mm = volume.spacing_mm[:2]
    square = [min(num, max(1, round(SQUARE_MM / step))) for num, step in zip(face.shape[2:], steps_mm, strict=True)]
    mean_hu = torch.nn.functional.avg_pool2d(face, square)
    variance = torch.nn.functional.avg_pool2d(face.square(), square) - mean_hu.square()
    is_lung = (mean_hu > PARENCHYMA_HU[0]) & (mean_hu < PARENCHYMA_HU[1]) & (variance < EVEN_HU**2)
    return int(is_lung.sum()) * square[0] * steps_mm[0] * square[1] * steps_mm[1]


def _side(toward_3: Float64Array) -> str:
    """The patient's side that a direction of LPS space leads to."""
    names = (("right", "left"), ("front", "back"), ("below", "above"))
    axis = int(np.abs(toward_3).argmax())
    return names[axis][int(toward_3[axis] > 0)]


# --- nodules -------------------------------------------------------------------------------------


def _on_nodules(volume: Volume, nodules: Sequence[Nodule], lungs: Lungs) -> Iterator[Finding]:
    if not nodules:
        return
    center_N3 = np.array([nodule.center_mm for nodule in nodules])
    on_grid_N = volume.geometry.contains(volume.world_to_index(center_N3))
    inside_N = _in_lungs(lungs, center_N3) if lungs.found else on_grid_N
    yield from _on_places(len(nodules), on_grid_N, inside_N)
    yield from _on_signs(center_N3, inside_N, lungs)
    if num := _num_duplicates(center_N3, np.array([nodule.diameter_mm for nodule in nodules])):
        sentence = f"{num} of {len(nodules)} nodules lie where another one lies."
        yield _warn("NODULE_DUPLICATE", sentence, "Give one row for each nodule.")
    if num := sum(_volume_l(nodule) > lungs.volume_l for nodule in nodules if lungs.found):
        sentence = f"{num} of {len(nodules)} nodules are larger than the lungs."
        yield _warn("NODULE_TOO_LARGE", sentence, "diameter_mm is in millimetres: check the unit.")


def _on_places(num: int, on_grid_N: npt.NDArray[np.bool_], inside_N: npt.NDArray[np.bool_]) -> Iterator[Finding]:
    if off := int(np.count_nonzero(~on_grid_N)):
        sentence = f"{off} of {num} nodules lie outside of the image."
        yield _warn("NODULE_OFF_GRID", sentence, REMEDIES["NODULE_OFF_GRID"])
    if outside := int(np.count_nonzero(on_grid_N & ~inside_N)):
        sentence = f"{outside} of {num} nodules have their centre outside of the lungs."
        yield _warn("NODULE_OUTSIDE_LUNG", sentence, REMEDIES["NODULE_OUTSIDE_LUNG"])


def _on_signs(center_N3: Float64Array, inside_N: npt.NDArray[np.bool_], lungs: Lungs) -> Iterator[Finding]:
    """Of coordinates in RAS, as NIfTI has them, x and y have the other sign than in DICOM's LPS."""
    outside_N3 = center_N3[~inside_N]
    if lungs.found and 2 * len(outside_N3) > len(center_N3) and _in_lungs(lungs, outside_N3 * (-1, -1, 1)).all():
        sentence = f"with the signs of x and y turned, all {len(outside_N3)} nodules outside would lie in the lungs."
        yield _warn("ANNOTATIONS_MIRRORED", sentence, "The table seems to be in RAS; write it in DICOM's LPS.")


def _in_lungs(lungs: Lungs, center_N3: Float64Array) -> npt.NDArray[np.bool_]:
    """(N,) whether each place is lung on the grid of the mask."""
    index_N3 = lungs.geometry.world_to_index(center_N3)
    nearest_N3 = np.rint(index_N3).astype(int).clip(0, np.asarray(lungs.geometry.shape_DHW) - 1)
    return lungs.geometry.contains(index_N3) & lungs.mask_DHW[tuple(nearest_N3.T)]


def _num_duplicates(center_N3: Float64Array, diameter_N: Float64Array) -> int:
    """Nodules whose centre lies within a quarter of the smaller diameter from an earlier one's."""
    apart_NN = np.linalg.norm(center_N3[:, None] - center_N3, axis=2)
    near_NN = apart_NN < SAME_NODULE * np.minimum(diameter_N[:, None], diameter_N)
    return int(np.tril(near_NN, k=-1).any(axis=1).sum())


def _volume_l(nodule: Nodule) -> float:
    return math.pi / 6 * nodule.diameter_mm**3 * 1e-6
