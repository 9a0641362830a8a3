"""Shapes on a grid: boxes, pieces, holes, and what a ball can reach. D slice, H row, W column."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from fedlung.preprocess.resample import Box

BoolArray = npt.NDArray[np.bool_]
ShareArray = npt.NDArray[np.uint8]
Value = TypeVar("Value", np.bool_, np.uint8)

WHOLE = 255  # the share of a voxel that is filled


def half(share_DHW: ShareArray) -> BoolArray:
    """Where a voxel is filled by half or more."""
    return share_DHW > WHOLE // 2


def box_of(mask_DHW: BoolArray, margin: int = 0) -> Box:
    """The smallest box that holds the mask, and a margin within the grid; empty for an empty mask."""
    plane_HW: BoolArray = np.any(mask_DHW, axis=0)
    lines = np.any(mask_DHW, axis=(1, 2)), np.any(plane_HW, axis=1), np.any(plane_HW, axis=0)
    occupied = [np.flatnonzero(line) for line in lines]
    z, y, x = (slice(max(int(at[0]) - margin, 0), int(at[-1]) + 1 + margin) if len(at) else slice(0) for at in occupied)
    return z, y, x


def largest(mask_DHW: BoolArray, num: int, *, at_least: float = 0.0) -> list[BoolArray]:
    """The largest pieces, in order of their size; none with less than ``at_least`` of the first one's voxels."""
    box = box_of(mask_DHW)
    labels, num_pieces = ndimage.label(mask_DHW[box])
    sizes = np.bincount(labels[::2, ::2, ::2].ravel(), minlength=num_pieces + 1)  # an eighth tells large from small
    sizes[0] = 0
    kept = [label for label in np.argsort(-sizes, kind="stable")[:num] if sizes[label] > at_least * sizes.max()]
    pieces = np.zeros((len(kept), *mask_DHW.shape), dtype=bool)
    for piece, label in zip(pieces, kept, strict=True):
        np.equal(labels, label, out=piece[box])
    return list(pieces)


def outside_in_plane(mask_DHW: BoolArray) -> BoolArray:
    """What is reached from an axial plane's border without crossing the mask.

    Found on every second row and column, where the mask is thicker: a thin wall has no gap there.
    """
    _, H, W = mask_DHW.shape
    even = np.pad(mask_DHW, ((0, 0), (0, H % 2), (0, W % 2)), mode="edge")
    rows = even[:, ::2] | even[:, 1::2]
    free = ~(rows[:, :, ::2] | rows[:, :, 1::2])
    # Planes are laid out below each other: they touch along their borders alone, which are outside on either plane.
    labels = ndimage.label(free.reshape(-1, free.shape[2]))[0].reshape(free.shape)
    reached = _labelled(labels, np.concatenate([labels[:, [0, -1]].ravel(), labels[:, :, [0, -1]].ravel()]))
    reached = _greatest_along(_greatest_along(reached, [1]), [2])  # what the thicker mask has covered beside itself
    return doubled(reached, mask_DHW.shape) & ~mask_DHW


def opened(mask_DHW: BoolArray) -> BoolArray:
    """Without what is thinner than three voxels along z, y or x. The grid's ends go on as they are."""
    padded = np.pad(mask_DHW, 1, mode="edge")
    return _greatest_along(~_greatest_along(~padded, [0, 1, 2]), [0, 1, 2])[1:-1, 1:-1, 1:-1]


def doubled(mask_DHW: BoolArray, shape_DHW: tuple[int, ...]) -> BoolArray:
    """A mask of every second row and column, and slice where it has fewer, spread over a grid of this shape."""
    D, H, W = shape_DHW
    pairs = mask_DHW.astype(np.uint16) * np.uint16(0x0101)  # two voxels in a word: several times as fast as np.repeat
    spread = pairs.view(np.bool_).repeat(2, axis=1)
    return (spread.repeat(2, axis=0) if len(spread) < D else spread)[:D, :H, :W]


def holes(mask_DHW: BoolArray) -> BoolArray:
    """What the mask encloses: all else that is not reached from the grid's faces.

    In three dimensions, not slice by slice: two lungs that touch before and behind the heart enclose it in a slice.
    What is outside is found on every second voxel, and is wider by one of these: a mask that has been closed has no
    crevice that is narrower.
    """
    labels, _ = ndimage.label(~mask_DHW[::2, ::2, ::2])
    faces = np.concatenate([np.take(labels, [0, -1], axis=axis).ravel() for axis in range(3)])
    outside = doubled(cube_dilated(_labelled(labels, faces)), mask_DHW.shape)
    return ~(mask_DHW | outside)


def _labelled(labels_DHW: npt.NDArray[np.int32], which_N: npt.NDArray[np.int32]) -> BoolArray:
    """Where one of these labels is, the background left out."""
    chosen = np.zeros(labels_DHW.max() + 1, dtype=bool)
    chosen[which_N] = True
    chosen[0] = False
    return chosen[labels_DHW]


BALL_VOXELS = 4
"""How far ``ball_dilated`` reaches along an axis. Its neighbourhood lies between the balls of radius 4.0 and 4.6."""


def ball_dilated(values_DHW: npt.NDArray[Value]) -> npt.NDArray[Value]:
    """The greatest value in a neighbourhood that is nearly a ball; beyond the grid there is nothing.

    It is the Minkowski sum of a cube (27 voxels), a cube without its corners (19) and two crosses (7). Its tips are
    flat; a ball cut out of voxels ends in single ones, which slip into the dent of a small nodule.
    """
    for axis in range(3):
        values_DHW = _greatest_along(values_DHW, [axis])
    for _ in range(2):
        values_DHW = _greatest_along(values_DHW, [0, 1, 2])
    squares = [_greatest_along(_greatest_along(values_DHW, [one]), [other]) for one, other in ((0, 1), (1, 2), (2, 0))]
    return np.maximum(np.maximum(squares[0], squares[1], out=squares[0]), squares[2], out=squares[0])


def cube_dilated(values_DHW: npt.NDArray[Value]) -> npt.NDArray[Value]:
    """The greatest value of a voxel and its 26 neighbours."""
    for axis in range(3):
        values_DHW = _greatest_along(values_DHW, [axis])
    return values_DHW


def _greatest_along(values_DHW: npt.NDArray[Value], axes: list[int]) -> npt.NDArray[Value]:
    """The greatest of a voxel and its two neighbours along each of the axes."""
    greatest = values_DHW.copy()
    for axis in axes:
        source, target = np.moveaxis(values_DHW, axis, 0), np.moveaxis(greatest, axis, 0)
        np.maximum(target[1:], source[:-1], out=target[1:])
        np.maximum(target[:-1], source[1:], out=target[:-1])
    return greatest
