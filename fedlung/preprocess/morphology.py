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
    reached = np.pad(_reached_in_plane(~(rows[:, :, ::2] | rows[:, :, 1::2])), ((0, 0), (1, 1), (1, 1)))
    for step in reached.shape[2], 1:  # what the thicker mask has covered beside itself
        reached = _greatest_along(reached.ravel(), step).reshape(reached.shape)
    return doubled(reached[:, 1:-1, 1:-1], mask_DHW.shape) & ~mask_DHW


def _reached_in_plane(free_DHW: BoolArray) -> BoolArray:
    """What is connected with an axial plane's border."""
    # Planes are laid out below each other, each with a free ring about it: all that is outside is one piece.
    ringed = np.pad(free_DHW, ((0, 0), (1, 1), (1, 1)), constant_values=True)
    labels = ndimage.label(ringed.reshape(-1, ringed.shape[2]))[0].reshape(ringed.shape)
    return (labels == labels[0, 0, 0])[:, 1:-1, 1:-1]


def opened(mask_DHW: BoolArray) -> BoolArray:
    """Without what is thinner than three voxels along z, y or x. The grid's ends go on as they are."""
    padded = np.pad(mask_DHW, ((1, 1), (2, 2), (2, 2)), mode="edge")  # a flat cross spoils the outermost ring
    eroded = ~_greatest_in_cross(~padded.ravel(), _steps(padded))
    return _greatest_in_cross(eroded, _steps(padded)).reshape(padded.shape)[1:-1, 2:-2, 2:-2]


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
    ringed = np.pad(~mask_DHW[::2, ::2, ::2], 1, constant_values=True)  # all that is outside is one piece
    labels, _ = ndimage.label(ringed)
    outside = (labels == labels[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return ~(mask_DHW | doubled(cube_dilated(outside), mask_DHW.shape))


BALL_VOXELS = 4
"""How far ``ball_dilated`` reaches along an axis. Its neighbourhood lies between the balls of radius 4.0 and 4.6."""


def ball_dilated(values_DHW: npt.NDArray[Value]) -> npt.NDArray[Value]:
    """The greatest value in a neighbourhood that is nearly a ball; beyond the grid there is nothing.

    It is the Minkowski sum of a cube (27 voxels), a cube without its corners (19) and two crosses (7). Its tips are
    flat; a ball cut out of voxels ends in single ones, which slip into the dent of a small nodule.
    """
    padded = _with_margin(values_DHW, BALL_VOXELS)
    plane, row, one = steps = _steps(padded)
    values = _greatest_in_cube(padded.ravel(), steps)
    for _ in range(2):
        values = _greatest_in_cross(values, steps)
    # A cube without its corners is a square, and before and behind it a plane's cross.
    lines = _greatest_along(values, one)
    ball, cross = _greatest_along(lines, row), np.maximum(lines, _greatest_along(values, row))
    np.maximum(ball[plane:], cross[:-plane], out=ball[plane:])
    np.maximum(ball[:-plane], cross[plane:], out=ball[:-plane])
    return _without_margin(ball, padded, BALL_VOXELS)


def cube_dilated(values_DHW: npt.NDArray[Value]) -> npt.NDArray[Value]:
    """The greatest value of a voxel and its 26 neighbours."""
    padded = _with_margin(values_DHW, 1)
    return _without_margin(_greatest_in_cube(padded.ravel(), _steps(padded)), padded, 1)


# Below, whole arrays are shifted at once, as flat ones (N voxels), which is twice as fast as row by row. What a shift
# carries beyond the end of a row or of a plane falls on a margin, as wide as all the shifts together.


def _with_margin(values_DHW: npt.NDArray[Value], margin: int) -> npt.NDArray[Value]:
    """With that many zeros behind each row, and empty rows behind each plane."""
    D, H, W = values_DHW.shape
    padded = np.zeros((D, H + margin, W + margin), values_DHW.dtype)
    padded[:, :H, :W] = values_DHW
    return padded


def _without_margin(values_N: npt.NDArray[Value], padded_DHW: npt.NDArray[Value], margin: int) -> npt.NDArray[Value]:
    """The values in the shape that they had before their margin."""
    return values_N.reshape(padded_DHW.shape)[:, :-margin, :-margin]


def _steps(values_DHW: npt.NDArray[Value]) -> tuple[int, int, int]:
    """How far apart neighbours along z, y and x lie in the flat array."""
    _, H, W = values_DHW.shape
    return H * W, W, 1


def _greatest_in_cube(values_N: npt.NDArray[Value], steps: tuple[int, int, int]) -> npt.NDArray[Value]:
    """The greatest of a value and its 26 neighbours."""
    for step in steps:
        values_N = _greatest_along(values_N, step)
    return values_N


def _greatest_in_cross(values_N: npt.NDArray[Value], steps: tuple[int, int, int]) -> npt.NDArray[Value]:
    """The greatest of a value and its 6 nearest neighbours."""
    greatest = values_N.copy()
    for step in steps:
        np.maximum(greatest[step:], values_N[:-step], out=greatest[step:])
        np.maximum(greatest[:-step], values_N[step:], out=greatest[:-step])
    return greatest


def _greatest_along(values_N: npt.NDArray[Value], step: int) -> npt.NDArray[Value]:
    """The greatest of a value and the two that lie ``step`` before and behind it."""
    greatest = values_N.copy()
    np.maximum(greatest[step:], values_N[:-step], out=greatest[step:])
    np.maximum(greatest[:-step], values_N[step:], out=greatest[:-step])
    return greatest
