"""Where the lungs are, with what touches the pleura inside: found and closed on a coarse grid, drawn on a fine one.

    coarse grid  tissue -> body -> air inside -> one or two lungs -> closing by a ball, holes filled
    fine grid    the lungs' own air as it is, and what the closing added

A closing needs no detail and costs ten times less on the coarse grid; the pleura needs all the detail that there is.
On either grid a lung is the share of each voxel that it fills, 0 to 255, and is closed as such (Sternberg, Grayscale
morphology, CVGIP 35, 1986): its surface is known to a part of a voxel, so that a nodule of 5 mm on the pleura, whose
centre lies 1 to 2 mm below it, is not lost to the grid.

No annotation has any say in it: a mask that knew the nodules would be another one at a site without readers. D slice,
H row, W column.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fedlung.ct.geometry import Geometry
from fedlung.preprocess.morphology import (
    BALL_VOXELS,
    WHOLE,
    BoolArray,
    ShareArray,
    ball_dilated,
    box_of,
    cube_dilated,
    doubled,
    half,
    holes,
    largest,
    opened,
    outside_in_plane,
)
from fedlung.preprocess.resample import Box, crop, isotropic_target, resample

HUArray = npt.NDArray[np.int16] | npt.NDArray[np.float32]

GLANCE_MM = 6.0  # a chest wall and the room are told apart on samples this far apart
FINE_MM = 2.0  # the fine grid takes every n-th voxel along an axis, with the largest n that leaves them this near
COARSE_MM = 3.0  # with this the closing is one by a ball of 12 to 14 mm: it enters the dent of a 16 mm nodule by 2.5 mm
AIR_HU = -400  # half way from lung (-850) to soft tissue (50): the surface does not move when voxels are averaged
BESIDE = 0.1 * WHOLE  # air where the closed lungs have a smaller share is not theirs
CLOSED = 0.6 * WHOLE  # above a half: a straight pleura is drawn by its own air, not by what the coarse grid blurs
FILLED_MORE = 4  # and what the closing added counts by one part in so many more, for nothing else draws a dent
SMALLEST_LUNG = 0.15  # of the larger one's volume; below that it is a windpipe or gas in the bowel
PLAUSIBLE_L = (0.3, 10.0)  # a slab of 10 cm with one lung, and more than anybody's inspiration

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Lungs:
    """The lungs on the fine grid, which covers all of the image that has tissue in it.

    share_DHW  how much of each voxel they fill, 0 to 255
    found      False: no plausible lungs, and the mask is the body, or everything where there is not even a body
    volume_l   litres of air inside the body in one or two lung-like pieces, plausible or not
    """

    share_DHW: ShareArray
    geometry: Geometry
    found: bool
    volume_l: float

    @cached_property
    def mask_DHW(self) -> BoolArray:
        """The voxels of the fine grid that are lung by half or more."""
        return half(self.share_DHW)

    @cached_property
    def box(self) -> Box:
        """The smallest box of the fine grid that holds the mask."""
        return box_of(self.mask_DHW)

    def box_on(self, target: Geometry, margin_mm: float) -> Box:
        """The smallest box of ``target`` that holds the mask and ``margin_mm`` around it, within the grid."""
        return _box_on(self.box, self.geometry, target, margin_mm)

    def mask_on(self, target: Geometry) -> BoolArray:
        """The mask on another grid of the same direction: half of a voxel or more by linear interpolation."""
        near = _box_on(self.box, self.geometry, self.geometry, 0.0)
        share, source = torch.from_numpy(self.share_DHW[near]), crop(self.geometry, near)
        share = resample(share, source, target, interpolation="linear", antialias=False, device=_CPU)
        # Where the mask is a body, exact halves are common: no rounding decides.
        return (share > 0.4999 * WHOLE).numpy()


def find_lungs(voxels_DHW: torch.Tensor, geometry: Geometry) -> Lungs:
    """The lungs of a CT in HU.

    Always on the CPU, as is ``mask_on``: a voxel that rounding puts on the other side of the threshold could move the
    crop of a case, and a case must have the same grid and mask whatever device a site has.
    """
    box = _tissue_box(voxels_DHW.numpy(), geometry)
    air, fine = _air_share(voxels_DHW.numpy()[box], crop(geometry, box))
    coarse = isotropic_target(fine, COARSE_MM)
    share = _mean_share(air, fine, coarse)
    airy = half(share)
    body = _body(~airy)
    pieces = largest(airy & body, 2, at_least=SMALLEST_LUNG)
    volume_l = float(sum(np.count_nonzero(piece) for piece in pieces)) * COARSE_MM**3 * 1e-6
    if PLAUSIBLE_L[0] <= volume_l <= PLAUSIBLE_L[1]:
        closed = np.maximum.reduce([_closed(piece, share) for piece in pieces])
        return Lungs(_drawn(closed, coarse, air, fine), fine, True, volume_l)
    anything = body if body.any() else np.ones_like(body)
    return Lungs(_drawn(anything * np.uint8(WHOLE), coarse, np.zeros_like(air), fine), fine, False, volume_l)


def _tissue_box(voxels_DHW: HUArray, geometry: Geometry) -> Box:
    """All slices, and the rows and columns with tissue; often two thirds of an image, the rest is the room's air."""
    _, y, x = (max(1, int(GLANCE_MM / step_mm)) for step_mm in geometry.spacing_mm)
    glance = voxels_DHW[:, ::y, ::x].copy() > AIR_HU  # a comparison of scattered values takes twice as long
    _, H, W = voxels_DHW.shape
    _, rows, columns = box_of(glance, margin=2)
    if not glance.any():
        return slice(0, len(voxels_DHW)), slice(0, H), slice(0, W)
    (y0, y1), (x0, x1) = ((part.start * step, part.stop * step) for part, step in ((rows, y), (columns, x)))
    return slice(0, len(voxels_DHW)), slice(y0, min(y1, H)), slice(x0, min(x1, W))


def _air_share(voxels_DHW: HUArray, geometry: Geometry) -> tuple[ShareArray, Geometry]:
    """How much of each voxel of the fine grid is air or lung, were the rest soft tissue; and the grid."""
    steps = [max(1, int(FINE_MM / step_mm)) for step_mm in geometry.spacing_mm]
    thinned = voxels_DHW[:: steps[0], :: steps[1], :: steps[2]]
    share = np.empty(thinned.shape, dtype=np.uint8)
    _in_threads(_fill_air_share, share, thinned)
    spacing_mm = tuple(step * step_mm for step, step_mm in zip(steps, geometry.spacing_mm, strict=True))
    return share, Geometry(share.shape, spacing_mm, geometry.origin_mm, geometry.direction)  # type: ignore[arg-type]


def _fill_air_share(out_DHW: ShareArray, voxels_DHW: HUArray) -> None:
    """Some slices of ``_air_share``, from their HU."""
    for out_HW, hu_HW in zip(out_DHW, voxels_DHW, strict=True):  # by slices: they fit a cache
        # Four HU are a step of 255: the clip leaves 0 to 255 for it, and AIR_HU itself is the least half.
        whole_HW = np.ascontiguousarray(hu_HW).clip(AIR_HU - 508, AIR_HU + 512).astype(np.int16, copy=False)
        np.subtract(AIR_HU + 512, whole_HW, out=whole_HW)
        out_HW[:] = np.right_shift(whole_HW, 2, out=whole_HW)


def _mean_share(air_DHW: ShareArray, fine: Geometry, coarse: Geometry) -> ShareArray:
    """How much of each coarse voxel is air: the mean of yes and no, for bone beside a lung must not outweigh it."""
    # Added by pairs, small numbers are quickly halved; a pair may be a little wider than a coarse voxel.
    by_z, by_y, by_x = (
        2 if 2 * step_mm <= 1.2 * COARSE_MM and num > 1 else 1
        for step_mm, num in zip(fine.spacing_mm, fine.shape_DHW, strict=True)
    )
    counts = _counts(air_DHW, by_z, by_y, by_x)
    z_mm, y_mm, x_mm = fine.spacing_mm
    origin_mm = tuple(fine.index_to_world([[(by - 1) / 2 for by in (by_z, by_y, by_x)]])[0].tolist())
    source = Geometry(counts.shape, (by_z * z_mm, by_y * y_mm, by_x * x_mm), origin_mm, fine.direction)
    mean = resample(torch.from_numpy(counts), source, coarse, interpolation="linear", antialias=True, device=_CPU)
    return mean.mul_(WHOLE / float(by_z * by_y * by_x)).round_().to(torch.uint8).numpy()


def _counts(air_DHW: ShareArray, by_z: int, by_y: int, by_x: int) -> ShareArray:
    """How many of one or two neighbours along each axis are air by half or more; an odd last one is left out."""
    D, H, W = (num // by for num, by in zip(air_DHW.shape, (by_z, by_y, by_x), strict=True))
    counts = np.zeros((D, H, W), dtype=np.uint8)
    for z, air_HW in enumerate(air_DHW[: D * by_z]):
        rows = half(air_HW[: H * by_y, : W * by_x]).view(np.uint8)
        rows = rows[::2] + rows[1::2] if by_y == 2 else rows
        counts[z // by_z] += _column_pairs(rows) if by_x == 2 else rows
    return counts


def _column_pairs(counts_HW: ShareArray) -> ShareArray:
    """Each two columns' sum, as two bytes of one word: several times as fast as every second byte and the next."""
    words_Hw = counts_HW.view(np.uint16)
    return (words_Hw + (words_Hw >> 8)).astype(np.uint8)


def _body(tissue_DHW: BoolArray) -> BoolArray:
    """The largest piece of tissue, with all that it encloses in an axial plane.

    The opening parts the body from the table and its blanket; lungs may be cut by the first and the last slice, so
    a hole is closed slice by slice.
    """
    thick = opened(tissue_DHW)
    body = np.zeros_like(thick)
    for piece in largest(thick[::2, ::2, ::2], 1):
        np.logical_and(doubled(cube_dilated(piece), thick.shape), thick, out=body)
    return ~outside_in_plane(body)


def _closed(piece_DHW: BoolArray, share_DHW: ShareArray) -> ShareArray:
    """The piece's share of each voxel, without dents and holes narrower than the ball, nor any enclosed hole.

    Along the slices the ends go on as they are: beyond the last slice of a scan a lung is not cut off, and a nodule
    there has a dent like any other.
    """
    reach = BALL_VOXELS
    _, rows, columns = box_of(piece_DHW, margin=1)  # what is beyond, a closing leaves empty
    box = slice(None), rows, columns
    own = share_DHW[box] * cube_dilated(piece_DHW[box])
    longer = np.pad(own, ((reach, reach), (0, 0), (0, 0)), mode="edge")
    padded = np.pad(longer, ((0, 0), (reach, reach), (reach, reach)))
    closed = ~ball_dilated(~ball_dilated(padded))[(slice(reach, -reach),) * 3]
    more = (closed - own) // FILLED_MORE  # a closing takes nothing away
    closed += np.minimum(more, WHOLE - closed)
    closed[holes(half(closed))] = WHOLE
    share = np.zeros(piece_DHW.shape, np.uint8)
    share[box] = closed
    return share


def _drawn(closed_DHW: ShareArray, coarse: Geometry, air_DHW: ShareArray, fine: Geometry) -> ShareArray:
    """The share of each fine voxel: of its own air beside the closed lungs, and of what lies well inside of them."""
    box = box_of(closed_DHW > 0)
    near, into = _box_on(box, coarse, coarse, 0.0), _box_on(box, coarse, fine, 0.0)
    # Twice the share, to draw steeply with, for it counts beside a straight pleura as well.
    source, twice = crop(coarse, near), torch.from_numpy(closed_DHW[near].astype(np.int16) * 2)
    inside = resample(twice, source, crop(fine, into), interpolation="linear", antialias=False, device=_CPU).numpy()
    drawn = np.zeros_like(air_DHW)
    _in_threads(_draw, drawn[into], inside, air_DHW[into])
    return drawn


def _draw(out_DHW: ShareArray, twice_DHW: npt.NDArray[np.float32], air_DHW: ShareArray) -> None:
    """Some slices of the lungs, with twice the share that the closed ones have there; that is used up."""
    for out_HW, twice_HW, air_HW in zip(out_DHW, twice_DHW, air_DHW, strict=True):  # by slices: they fit a cache
        np.multiply(air_HW, (twice_HW > 2 * BESIDE).view(np.uint8), out=out_HW)
        twice_HW -= 2 * CLOSED - WHOLE / 2
        np.maximum(out_HW, twice_HW.clip(0, WHOLE, out=twice_HW).astype(np.uint8), out=out_HW)


def _in_threads(work: Callable[..., None], *stacks_DHW: npt.NDArray[Any]) -> None:
    """The work, on as many equal parts of all stacks as torch has threads: NumPy lets others run while it computes."""
    num_threads = torch.get_num_threads()
    if num_threads == 1:
        work(*stacks_DHW)
        return
    with ThreadPoolExecutor(num_threads) as pool:
        parts = pool.map(work, *(np.array_split(stack_DHW, num_threads) for stack_DHW in stacks_DHW))
        list(parts)  # raises what a part has raised


def _box_on(box: Box, source: Geometry, target: Geometry, margin_mm: float) -> Box:
    """The smallest box of ``target`` that holds a box of ``source`` and a margin around it, within the grid."""
    # One voxel more: a surface is somewhere between the last voxel inside and the one beyond.
    ends = [[part.start - 1 for part in box], [part.stop for part in box]]
    low, high = target.world_to_index(source.index_to_world(ends))
    margin = margin_mm / np.asarray(target.spacing_mm)
    start = np.maximum(np.floor(low - margin), 0).astype(int)
    stop = np.minimum(np.ceil(high + margin) + 1, target.shape_DHW).astype(int)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return z, y, x
