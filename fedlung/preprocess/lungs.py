"""Where the lungs are: found on a coarse grid by air inside the body, closed so that what touches the pleura stays in.

    coarse grid -> tissue -> body, its holes filled -> air inside -> one or two lungs -> closing by a ball, holes filled

A lung is kept as the share of each coarse voxel that it fills, 0 to 255, and closed as such (Sternberg, Grayscale
morphology, CVGIP 35, 1986): its surface is known to a part of a voxel, so that a nodule of 5 mm on the pleura, whose
centre lies 1 to 2 mm below it, is not lost to the grid.

No annotation has any say in it: a mask that knew the nodules would be another one at a site without readers. D slice,
H row, W column, on the coarse grid unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from fedlung.ct.geometry import Geometry
from fedlung.preprocess.resample import Box, isotropic_target, resample

BoolArray = npt.NDArray[np.bool_]
ShareArray = npt.NDArray[np.uint8]
Value = TypeVar("Value", np.bool_, np.uint8)

GRID_MM = 3.0
SAMPLES_MM = 2.0  # the mean of a coarse voxel is taken over samples this far apart, or as near as they can be
AIR_HU = -400.0  # half way from lung (-850) to soft tissue (50): the surface does not move when voxels are averaged
EDGE_HU = 900.0  # from the one to the other
WHOLE = 255  # the share of a voxel that is all lung
CLOSING_CUBES, CLOSING_CROSSES = 2, 3  # a ball of 15 mm: it enters the dent of a 16 mm nodule on the pleura by 2.3 mm
SMALLEST_LUNG = 0.15  # of the larger one's volume; below that it is a windpipe or gas in the bowel
PLAUSIBLE_L = (0.3, 10.0)  # a slab of 10 cm with one lung, and more than anybody's inspiration

_IN_PLANE = np.array([[[0, 0, 0]] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0, 0, 0]] * 3], dtype=bool)


@dataclass(frozen=True)
class Lungs:
    """The lungs on a coarse grid.

    share_DHW  how much of each voxel they fill, 0 to 255
    found      False: no plausible lungs, and the mask is the body, or everything where there is not even a body
    volume_l   litres of air inside the body in one or two lung-like pieces, plausible or not
    """

    share_DHW: ShareArray
    geometry: Geometry
    found: bool
    volume_l: float

    @property
    def mask_DHW(self) -> BoolArray:
        """The coarse voxels that are lung by half or more."""
        return _half(self.share_DHW)

    def box_on(self, target: Geometry, margin_mm: float) -> Box:
        """The smallest box of ``target`` that holds the mask and ``margin_mm`` around it, within the grid."""
        occupied = np.argwhere(self.mask_DHW)
        # One voxel more: the surface is somewhere between the last one of the mask and the one beyond.
        corners = self.geometry.index_to_world([occupied.min(axis=0) - 1, occupied.max(axis=0) + 1])
        low, high = target.world_to_index(corners)
        margin = margin_mm / np.asarray(target.spacing_mm)
        start = np.maximum(np.floor(low - margin), 0).astype(int)
        stop = np.minimum(np.ceil(high + margin) + 1, target.shape_DHW).astype(int)
        z, y, x = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
        return z, y, x

    def mask_on(self, target: Geometry) -> BoolArray:
        """The mask on another grid of the same direction: half of a voxel or more by linear interpolation."""
        share, cpu = torch.from_numpy(self.share_DHW), torch.device("cpu")
        fine = resample(share, self.geometry, target, interpolation="linear", antialias=False, device=cpu)
        return (fine > 0.4999 * WHOLE).numpy()  # where the mask is a body, exact halves are common: no rounding decides


def find_lungs(voxels_DHW: torch.Tensor, geometry: Geometry) -> Lungs:
    """The lungs of a CT in HU (padding clipped to air before).

    Always on the CPU, as is ``mask_on``: a voxel that rounding puts on the other side of the threshold could move the
    crop of a case, and a case must have the same grid and mask whatever device a site has.
    """
    coarse = isotropic_target(geometry, GRID_MM)
    hu_DHW = _averaged(voxels_DHW, geometry, coarse)
    tissue = hu_DHW > AIR_HU
    body = _body(tissue)
    pieces = _largest_two(body & ~tissue)
    volume_l = float(sum(np.count_nonzero(piece) for piece in pieces)) * GRID_MM**3 * 1e-6
    if PLAUSIBLE_L[0] <= volume_l <= PLAUSIBLE_L[1]:
        share = np.maximum.reduce([_closed(piece, hu_DHW) for piece in pieces])
        return Lungs(share, coarse, True, volume_l)
    anything = body if body.any() else np.ones_like(body)
    return Lungs(anything * np.uint8(WHOLE), coarse, False, volume_l)


def lung_mask(
    voxels_DHW: npt.NDArray[np.int16] | npt.NDArray[np.float32], spacing_mm: tuple[float, float, float]
) -> BoolArray:
    """Bool mask on the CT's own grid; see ``find_lungs``, whose ``found`` says more."""
    geometry = Geometry(voxels_DHW.shape, spacing_mm, (0.0, 0.0, 0.0))  # type: ignore[arg-type]
    return find_lungs(torch.from_numpy(np.array(voxels_DHW)), geometry).mask_on(geometry)


def _averaged(voxels_DHW: torch.Tensor, geometry: Geometry, coarse: Geometry) -> npt.NDArray[np.float32]:
    """HU on the coarse grid, from samples no nearer than ``SAMPLES_MM`` needs: several times less to read."""
    z, y, x = (max(1, int(SAMPLES_MM / step_mm)) for step_mm in geometry.spacing_mm)
    thinned = voxels_DHW[::z, ::y, ::x]
    spacing_mm = tuple(step * step_mm for step, step_mm in zip((z, y, x), geometry.spacing_mm, strict=True))
    source = Geometry(tuple(thinned.shape), spacing_mm, geometry.origin_mm, geometry.direction)  # type: ignore[arg-type]
    cpu = torch.device("cpu")
    return resample(thinned, source, coarse, interpolation="linear", antialias=True, device=cpu).numpy()


def _share(hu_DHW: npt.NDArray[np.float32]) -> ShareArray:
    """How much of a voxel is air or lung, were the rest soft tissue."""
    return ((AIR_HU - hu_DHW) * (WHOLE / EDGE_HU) + (WHOLE + 1) / 2).clip(0, WHOLE).astype(np.uint8)


def _half(share_DHW: ShareArray) -> BoolArray:
    return share_DHW > WHOLE // 2


def _body(tissue_DHW: BoolArray) -> BoolArray:
    """The largest piece of tissue, with all that it encloses in an axial plane.

    The opening parts the body from the table and its blanket; lungs may be cut by the first and the last slice, so
    a hole is closed slice by slice.
    """
    opened = ~_dilated(~np.pad(tissue_DHW, 1, mode="edge"), crosses=1)
    labels, num = ndimage.label(_dilated(opened, crosses=1)[1:-1, 1:-1, 1:-1])
    sizes = _sizes(labels, num)
    body = labels == np.argmax(sizes) if sizes.any() else np.zeros_like(tissue_DHW)
    outside, _ = ndimage.label(~body, structure=_IN_PLANE)
    border = np.concatenate([outside[:, [0, -1]].ravel(), outside[:, :, [0, -1]].ravel()])
    return ~_labelled(outside, border)


def _largest_two(air_DHW: BoolArray) -> list[BoolArray]:
    """The largest piece of air, and the second if it may be a lung."""
    box = _box(air_DHW)
    labels, num = ndimage.label(air_DHW[box])
    sizes = _sizes(labels, num)
    kept = [label for label in np.argsort(-sizes, kind="stable")[:2] if sizes[label] > SMALLEST_LUNG * sizes.max()]
    pieces = np.zeros((len(kept), *air_DHW.shape), dtype=bool)
    for piece, label in zip(pieces, kept, strict=True):
        np.equal(labels, label, out=piece[box])
    return list(pieces)


def _sizes(labels_DHW: npt.NDArray[np.int32], num: int) -> npt.NDArray[np.intp]:
    """The pieces' sizes by label, 0 for the background; counted on every second voxel along each axis."""
    sizes = np.bincount(labels_DHW[::2, ::2, ::2].ravel(), minlength=num + 1)
    sizes[0] = 0
    return sizes


def _box(mask_DHW: BoolArray, margin: int = 0) -> Box:
    """The smallest box that holds the mask, and a margin within the grid; empty for an empty mask."""
    occupied = [np.flatnonzero(mask_DHW.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    z, y, x = (slice(max(at[0] - margin, 0), at[-1] + 1 + margin) if len(at) else slice(0) for at in occupied)
    return z, y, x


def _labelled(labels_DHW: npt.NDArray[np.int32], which_N: npt.NDArray[np.int32]) -> BoolArray:
    """Where one of these labels is, the background left out."""
    chosen = np.zeros(labels_DHW.max() + 1, dtype=bool)
    chosen[which_N] = True
    chosen[0] = False
    return chosen[labels_DHW]


def _closed(piece_DHW: BoolArray, hu_DHW: npt.NDArray[np.float32]) -> ShareArray:
    """The piece's share of each voxel, without dents and holes narrower than the ball, nor any enclosed hole.

    Along the slices the ends go on as they are: beyond the last slice of a scan a lung is not cut off, and a nodule
    there has a dent like any other.
    """
    reach = CLOSING_CUBES + CLOSING_CROSSES
    _, rows, columns = _box(piece_DHW, margin=1)  # what is beyond, a closing leaves empty
    box = slice(None), rows, columns
    own = np.where(_dilated(piece_DHW[box], cubes=1), _share(hu_DHW[box]), np.uint8(0))
    longer = np.pad(own, ((reach, reach), (0, 0), (0, 0)), mode="edge")
    padded = np.pad(longer, ((0, 0), (reach, reach), (reach, reach)))
    widened = _dilated(padded, cubes=CLOSING_CUBES, crosses=CLOSING_CROSSES)
    closed = ~_dilated(~widened, cubes=CLOSING_CUBES, crosses=CLOSING_CROSSES)[(slice(reach, -reach),) * 3]
    share = np.zeros(piece_DHW.shape, np.uint8)
    share[box] = _filled(closed)
    return share


def _filled(share_DHW: ShareArray) -> ShareArray:
    """Every hole filled that touches no face of the grid.

    In three dimensions, not slice by slice: two lungs that touch before and behind the heart enclose it in a slice.
    """
    labels, _ = ndimage.label(~_half(share_DHW))
    faces = np.concatenate([np.take(labels, [0, -1], axis=axis).ravel() for axis in range(3)])
    holes = (labels > 0) & ~_labelled(labels, faces)
    return np.where(holes, np.uint8(WHOLE), share_DHW)


def _dilated(values_DHW: npt.NDArray[Value], *, cubes: int = 0, crosses: int = 0) -> npt.NDArray[Value]:
    """The greatest value in a neighbourhood; beyond the grid there is nothing.

    The neighbourhood is the Minkowski sum of cubes (27 voxels) and crosses (7). Two cubes and three crosses are nearly
    a ball of radius 5: they lie between those of 4.9 and 5.8. Their tips are flat; a ball cut out of voxels ends in
    single ones, which slip into the dent of a small nodule.
    """
    for _ in range(cubes):
        for axis in range(3):
            values_DHW = _greatest_along(values_DHW, [axis])
    for _ in range(crosses):
        values_DHW = _greatest_along(values_DHW, [0, 1, 2])
    return values_DHW


def _greatest_along(values_DHW: npt.NDArray[Value], axes: list[int]) -> npt.NDArray[Value]:
    """The greatest of a voxel and its two neighbours along each of the axes."""
    greatest = values_DHW.copy()
    for axis in axes:
        source, target = np.moveaxis(values_DHW, axis, 0), np.moveaxis(greatest, axis, 0)
        np.maximum(target[1:], source[:-1], out=target[1:])
        np.maximum(target[:-1], source[1:], out=target[:-1])
    return greatest
