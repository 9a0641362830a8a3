"""One reader's outline of one nodule, as LIDC keeps it: closed lines of pixels on some slices, and nine ratings.

Shapes: V vertices, L levels (slices that a reader drew on); D slices, H rows, W columns of a box on the scan's grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fedlung.ct.geometry import Float64Array

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ScanGrid:
    """The native grid of one LIDC scan: square pixels, axial slices.

    slices_z_mm  (D,) ascending z of every slice
    """

    slices_z_mm: Float64Array
    pixel_spacing_mm: float
    slice_thickness_mm: float

    @cached_property
    def slice_spacing_mm(self) -> float:
        """Median step from slice to slice; it is less than the thickness in 334 of 1018 scans."""
        return float(np.median(np.diff(self.slices_z_mm)))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Along slice, row and column."""
        return self.slice_spacing_mm, self.pixel_spacing_mm, self.pixel_spacing_mm

    def slice_index(self, z_mm: npt.ArrayLike) -> IntArray:
        """(N,) index of the slice nearest to each z (N,)."""
        distance_ND = np.abs(np.asarray(z_mm, dtype=np.float64)[:, None] - self.slices_z_mm)
        return distance_ND.argmin(axis=1)


@dataclass(frozen=True, eq=False)
class Contour:
    """A closed line of pixels (V, 2) as (row, column) on the slice at ``z_mm``; without inclusion it bounds a hole."""

    z_mm: float
    inclusion: bool
    points_V2: IntArray

    @cached_property
    def area_and_center_px(self) -> tuple[float, Float64Array]:
        """Area inside the line through the pixels' centres, negative for a hole, and its centre (row, column).

        Green's theorem (the shoelace formula). A line without an inside has area 0 and the mean of its pixels.
        """
        # Relative to the first pixel: large coordinates would cancel in the products.
        start_V2 = (self.points_V2 - self.points_V2[0]).astype(np.float64)
        end_V2 = np.concatenate([start_V2[1:], start_V2[:1]])
        cross_V = start_V2[:, 0] * end_V2[:, 1] - end_V2[:, 0] * start_V2[:, 1]
        area = cross_V.sum() / 2
        if area == 0:
            return 0.0, self.points_V2.mean(axis=0)
        center = (start_V2 + end_V2).T @ cross_V / (6 * area) + self.points_V2[0]
        return abs(float(area)) * (1 if self.inclusion else -1), center

    def inside_HW(self, first: tuple[int, int], shape_HW: tuple[int, int]) -> BoolArray:
        """Pixels that the line encloses, in a box that starts at pixel ``first``; the line's own pixels are inside.

        LIDC's readers drew the line just outside the nodule. To keep it makes a nodule half a pixel too wide on every
        side; to drop it would make the thin and small ones vanish, and those are what screening is for.
        """
        points_V2 = self.points_V2 - np.asarray(first)
        inside_HW = np.zeros(shape_HW, dtype=bool)
        if len(points_V2) > 2:
            from matplotlib.path import Path as Polygon  # half a second, of use where a nodule is drawn alone

            pixels_P2 = np.indices(shape_HW).reshape(2, -1).T
            inside_HW = Polygon(points_V2).contains_points(pixels_P2).reshape(shape_HW)
        inside_HW[tuple(points_V2.T)] = True
        return inside_HW


@dataclass(frozen=True, eq=False)
class Reading:
    """What one reader drew and rated. Readers are not identifiable from one nodule to the next."""

    contours: tuple[Contour, ...]
    ratings: Mapping[str, int]
    grid: ScanGrid

    @cached_property
    def vertices_V3(self) -> Float64Array:
        """Every vertex as z in mm, row and column in pixels."""
        heights = [np.full(len(contour.points_V2), contour.z_mm) for contour in self.contours]
        points_V2 = np.concatenate([contour.points_V2 for contour in self.contours])
        return np.column_stack([np.concatenate(heights), points_V2])

    @cached_property
    def _volume_by_contour_mm3(self) -> Float64Array:
        """Of each contour, holes negative: its area times the part of z that belongs to its slice."""
        levels_L, level = np.unique([contour.z_mm for contour in self.contours], return_inverse=True)
        share_mm_L = _share_of_z(levels_L, self.grid.slice_thickness_mm)
        area_px = np.array([contour.area_and_center_px[0] for contour in self.contours])
        return area_px * share_mm_L[level] * self.grid.pixel_spacing_mm**2

    @property
    def volume_mm3(self) -> float:
        """Volume inside the contours, holes subtracted; pylidc's ``Annotation.volume``."""
        return float(self._volume_by_contour_mm3.sum())

    @cached_property
    def center_V3(self) -> Float64Array:
        """(3,) centre of mass of the inside as z in mm, row, column; the mean vertex where there is no inside."""
        if self.volume_mm3 <= 0:
            return self.vertices_V3.mean(axis=0)
        centers = [(contour.z_mm, *contour.area_and_center_px[1]) for contour in self.contours]
        return np.average(centers, axis=0, weights=self._volume_by_contour_mm3)

    def mask_DHW(self, start: tuple[int, int, int], shape_DHW: tuple[int, int, int]) -> BoolArray:
        """Voxels of a box that starts at (slice, row, column): inside an inclusion and not inside a hole."""
        mask_DHW = np.zeros(shape_DHW, dtype=bool)
        slices = self.grid.slice_index([contour.z_mm for contour in self.contours]) - start[0]
        # ORDER: all inclusions before the holes, whatever the order in the database.
        for number in sorted(range(len(slices)), key=lambda number: not self.contours[number].inclusion):
            contour, k = self.contours[number], slices[number]
            inside_HW = contour.inside_HW(start[1:], shape_DHW[1:])
            mask_DHW[k] = mask_DHW[k] | inside_HW if contour.inclusion else mask_DHW[k] & ~inside_HW
        return mask_DHW


def _share_of_z(levels_L: Float64Array, slice_thickness_mm: float) -> Float64Array:
    """(L,) mm of z for each of a reader's slices: half way to either neighbour, at the ends as far out as in.

    A reading on a single slice is as thick as the slice.
    """
    if len(levels_L) == 1:
        return np.array([slice_thickness_mm])
    step_mm = np.diff(levels_L)
    return (np.append(step_mm[0], step_mm) + np.append(step_mm, step_mm[-1])) / 2
