"""Where the lungs are: found on a coarse grid by air inside the body, closed so that what touches the pleura stays in.

    coarse grid -> tissue -> body, its holes filled -> air inside -> one or two lungs -> closing by a ball, holes filled

No annotation has any say in it: a mask that knew the nodules would be another one at a site without readers. D slice,
H row, W column, on the coarse grid unless said otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from fedlung.ct.geometry import Geometry
from fedlung.preprocess.resample import Box, isotropic_target, resample

BoolArray = npt.NDArray[np.bool_]

GRID_MM = 3.0
AIR_HU = -400.0  # half way from lung (-850) to soft tissue (40): the surface does not move when voxels are averaged
CLOSING_MM = 15.0  # radius: such a ball enters the dent of a 16 mm nodule on the pleura by 2.3 mm
SMALLEST_LUNG = 0.15  # of the larger one's volume; below that it is a windpipe or gas in the bowel
PLAUSIBLE_L = (0.3, 10.0)  # a slab of 10 cm with one lung, and more than anybody's inspiration

_IN_PLANE = np.array([[[0, 0, 0]] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0, 0, 0]] * 3], dtype=bool)


@dataclass(frozen=True)
class Lungs:
    """The lungs on a coarse grid.

    found     False: no plausible lungs, and the mask is the body, or everything where there is not even a body
    volume_l  litres of air inside the body in one or two lung-like pieces, plausible or not
    """

    mask_DHW: BoolArray
    geometry: Geometry
    found: bool
    volume_l: float

    def box_on(self, target: Geometry, margin_mm: float) -> Box:
        """The smallest box of ``target`` that holds the mask and ``margin_mm`` around it, within the grid."""
        occupied = np.argwhere(self.mask_DHW)
        corners = self.geometry.index_to_world([occupied.min(axis=0) - 0.5, occupied.max(axis=0) + 0.5])
        low, high = target.world_to_index(corners)
        margin = margin_mm / np.asarray(target.spacing_mm)
        start = np.maximum(np.floor(low - margin), 0).astype(int)
        stop = np.minimum(np.ceil(high + margin) + 1, target.shape_DHW).astype(int)
        z, y, x = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
        return z, y, x

    def mask_on(self, target: Geometry, device: torch.device) -> BoolArray:
        """The mask on another grid of the same direction: half of it or more by linear interpolation."""
        soft = torch.from_numpy(self.mask_DHW.astype(np.float32))
        fine = resample(soft, self.geometry, target, interpolation="linear", antialias=False, device=device)
        return (fine > 0.4999).cpu().numpy()  # exact halves are common, and must not hang on a device's rounding


def find_lungs(voxels_DHW: torch.Tensor, geometry: Geometry) -> Lungs:
    """The lungs of a CT in HU (padding clipped to air before).

    Always on the CPU: a voxel that rounding puts on the other side of the threshold could move the crop of a case, and
    a case must lie on the same grid whatever device a site has.
    """
    coarse, cpu = isotropic_target(geometry, GRID_MM), torch.device("cpu")
    hu_DHW = resample(voxels_DHW, geometry, coarse, interpolation="linear", antialias=True, device=cpu)
    tissue = (hu_DHW > AIR_HU).numpy()
    body = _body(tissue)
    pieces = _largest_two(body & ~tissue)
    volume_l = float(sum(np.count_nonzero(piece) for piece in pieces)) * GRID_MM**3 * 1e-6
    if PLAUSIBLE_L[0] <= volume_l <= PLAUSIBLE_L[1]:
        return Lungs(np.logical_or.reduce([_closed(piece) for piece in pieces]), coarse, True, volume_l)
    return Lungs(body if body.any() else np.ones_like(body), coarse, False, volume_l)


def lung_mask(
    voxels_DHW: npt.NDArray[np.int16] | npt.NDArray[np.float32], spacing_mm: tuple[float, float, float]
) -> BoolArray:
    """Bool mask on the CT's own grid; see ``find_lungs``, whose ``found`` says more."""
    geometry = Geometry(voxels_DHW.shape, spacing_mm, (0.0, 0.0, 0.0))  # type: ignore[arg-type]
    return find_lungs(torch.from_numpy(np.array(voxels_DHW)), geometry).mask_on(geometry, torch.device("cpu"))


def _body(tissue_DHW: BoolArray) -> BoolArray:
    """The largest piece of tissue, with all that it encloses in an axial plane.

    The opening parts the body from the table and its blanket; lungs may be cut by the first and the last slice, so
    a hole is closed slice by slice.
    """
    opened = _dilate(_erode(np.pad(tissue_DHW, 1, mode="edge"), 1.0), 1.0)[1:-1, 1:-1, 1:-1]
    labels, num = ndimage.label(opened)
    body = labels == _by_size(labels)[0] if num else opened
    outside, _ = ndimage.label(~body, structure=_IN_PLANE)
    border = np.concatenate([outside[:, [0, -1]].ravel(), outside[:, :, [0, -1]].ravel()])
    is_outside = np.zeros(outside.max() + 1, dtype=bool)
    is_outside[border] = True
    is_outside[0] = False
    return ~is_outside[outside]


def _largest_two(air_DHW: BoolArray) -> list[BoolArray]:
    """The largest piece of air, and the second if it may be a lung."""
    labels, num = ndimage.label(air_DHW)
    sizes = np.bincount(labels.ravel())
    kept = [label for label in _by_size(labels)[: min(2, num)]]
    return [labels == label for label in kept if sizes[label] >= SMALLEST_LUNG * sizes[kept[0]]]


def _by_size(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.intp]:
    """Labels from the largest piece to the smallest, without the background."""
    return np.argsort(-np.bincount(labels.ravel())[1:], kind="stable") + 1


def _closed(piece_DHW: BoolArray) -> BoolArray:
    """The piece without dents and holes narrower than the ball, and without any enclosed hole."""
    radius = CLOSING_MM / GRID_MM
    margin = math.floor(radius) + 1
    box = ndimage.find_objects(piece_DHW.astype(np.uint8))[0]  # a closing never leaves the box of what it closes
    padded = np.pad(piece_DHW[box], margin)
    closed = _erode(_dilate(padded, radius), radius)
    whole = np.zeros_like(piece_DHW)
    whole[box] = _filled(closed[(slice(margin, -margin),) * 3])
    return whole


def _filled(mask_DHW: BoolArray) -> BoolArray:
    """The mask with every hole filled that touches no face of the grid.

    In three dimensions, not slice by slice: two lungs that touch before and behind the heart enclose it in a slice.
    """
    labels, _ = ndimage.label(~mask_DHW)
    faces = np.concatenate([np.take(labels, [0, -1], axis=axis).ravel() for axis in range(3)])
    is_outside = np.zeros(labels.max() + 1, dtype=bool)
    is_outside[faces] = True
    is_outside[0] = False
    return ~is_outside[labels]


def _dilate(mask_DHW: BoolArray, radius: float) -> BoolArray:
    """Dilation by a ball of ``radius`` voxels: for each line of the ball the mask widened along W, then shifted.

    Shifts wrap around: the caller pads where the mask comes nearer to a face than the ball.
    """
    reach = math.floor(radius)
    lines = [mask_DHW]
    for step in range(1, reach + 1):
        lines.append(lines[-1] | np.roll(mask_DHW, step, axis=2) | np.roll(mask_DHW, -step, axis=2))
    dilated = np.zeros_like(mask_DHW)
    for dz in range(-reach, reach + 1):
        for dy in range(-reach, reach + 1):
            if (square := radius**2 - dz**2 - dy**2) >= 0:
                dilated |= np.roll(lines[math.floor(math.sqrt(square))], (dz, dy), axis=(0, 1))
    return dilated


def _erode(mask_DHW: BoolArray, radius: float) -> BoolArray:
    return ~_dilate(~mask_DHW, radius)
