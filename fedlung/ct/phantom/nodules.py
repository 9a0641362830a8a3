"""Nodules in a virtual lung: where they sit, how dense they are, and how they are drawn.

Shapes: N points; 3 is zyx in mm in the scene's space.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import ndtr

from fedlung.ct.phantom.donors import Shape
from fedlung.ct.phantom.field import Field, Float32Array, Float64Array, Grid
from fedlung.ct.phantom.tubes import Tubes

NUM_TRIALS = 600
END_GAP_MM = 5.0
NEIGHBOUR_GAP_MM = 8.0
VESSEL_GAP_MM = 3.0
AT_VESSEL, AT_PLEURA = 0.35, 0.2
TEXTURE_RATING = (1.0, 2.0, 3.0, 4.0, 5.0)
RIM_HU = (-610.0, -500.0, -470.0, -40.0, 25.0)
CORE_HU = (-600.0, -490.0, 20.0, 0.0, 30.0)


@dataclass(frozen=True, eq=False)
class PlacedNodule:
    """A donor's shape at its place.

    center_mm       (z, y, x) of the centroid
    turned_degrees  about the patient's long axis; ``mirrored`` along x before that
    rim_hu          density of the outer part; ``core_hu`` inside of ``core_mm`` below the surface
    enhancement     of the nodule, as a fraction of the blood's iodine
    edge_mm         standard deviation of its own blur at the surface
    """

    shape: Shape
    center_mm: tuple[float, float, float]
    turned_degrees: float
    mirrored: bool
    rim_hu: float
    core_hu: float
    core_mm: float
    edge_mm: float
    enhancement: float

    def distance_at(self, points_N3: Float64Array) -> Float64Array:
        """Signed distance (N,) to the nodule's surface in mm, negative inside."""
        z, y, x = (points_N3 - np.asarray(self.center_mm)).T
        cosine, sine = math.cos(math.radians(self.turned_degrees)), math.sin(math.radians(self.turned_degrees))
        across = cosine * x - sine * y
        return self.shape.distance_at(
            np.stack([z, sine * x + cosine * y, -across if self.mirrored else across], axis=1)
        )


def place_nodules(
    rng: np.random.Generator, shapes: Sequence[Shape], lung: Field, vessels: Tubes, *, coverage_mm: float
) -> tuple[PlacedNodule, ...]:
    """Put every shape into the lungs: free, at a vessel or at the pleura, none near the ends or near another."""
    placed: list[PlacedNodule] = []
    for shape in shapes:
        center_mm = _place(rng, shape, lung, vessels, placed, coverage_mm)
        placed.append(_prepared(rng, shape, center_mm))
    return tuple(placed)


def _place(
    rng: np.random.Generator,
    shape: Shape,
    lung: Field,
    vessels: Tubes,
    placed: Sequence[PlacedNodule],
    coverage_mm: float,
) -> tuple[float, float, float]:
    """The first of many random places that violates nothing, or the one that violates least."""
    kind = rng.choice(["vessel", "pleura", "free"], p=[AT_VESSEL, AT_PLEURA, 1 - AT_VESSEL - AT_PLEURA])
    # What is fainter than a vessel would vanish in one.
    kind = kind if shape.texture >= 4 else "free"
    trials_N3 = _trials(rng, shape, lung, vessels, kind)
    depth_N, reach = -lung.at(trials_N3), shape.reach_mm
    near, far = (0.6 * shape.depth_mm, 1.05 * shape.depth_mm) if kind == "pleura" else (reach + 1.0, np.inf)
    room = max(0.5 * coverage_mm - reach - END_GAP_MM, 0.0)
    violation_N = np.maximum(near - depth_N, 0) + np.maximum(depth_N - far, 0)
    violation_N += 3 * np.maximum(np.abs(trials_N3[:, 0]) - room, 0)
    if kind != "vessel" and len(vessels):
        clearance_N = cKDTree(vessels.end_N3).query(trials_N3)[0]
        violation_N += 0.5 * np.maximum(shape.depth_mm + VESSEL_GAP_MM - clearance_N, 0)
    for other in placed:
        least = reach + other.shape.reach_mm + NEIGHBOUR_GAP_MM
        violation_N += 5 * np.maximum(least - np.linalg.norm(trials_N3 - other.center_mm, axis=1), 0)
    best = int(np.argmin(violation_N))
    return tuple(trials_N3[best].tolist())


def _trials(rng: np.random.Generator, shape: Shape, lung: Field, vessels: Tubes, kind: str) -> Float64Array:
    grid = lung.grid
    low, extent = np.asarray(grid.origin_mm), np.asarray(grid.spacing_mm) * (np.asarray(grid.shape_DHW) - 1)
    if kind != "vessel" or not len(vessels):
        return low + rng.random((NUM_TRIALS, 3)) * extent
    which = rng.integers(len(vessels), size=NUM_TRIALS)
    sideways_N3 = rng.standard_normal((NUM_TRIALS, 3))
    sideways_N3 /= np.linalg.norm(sideways_N3, axis=1, keepdims=True)
    gap_N1 = (vessels.radius_end_N[which] + 0.8 * shape.depth_mm)[:, None]
    return vessels.end_N3[which] + gap_N1 * sideways_N3


def _prepared(rng: np.random.Generator, shape: Shape, center_mm: tuple[float, float, float]) -> PlacedNodule:
    """Density by the texture rating, calcium by the calcification rating, edge by the margin rating."""
    rim = float(np.interp(shape.texture, TEXTURE_RATING, RIM_HU)) + rng.normal(0, 20)
    core = float(np.interp(shape.texture, TEXTURE_RATING, CORE_HU)) + rng.normal(0, 15)
    core_part = float(np.interp(shape.texture, (2.0, 3.0, 4.0), (0.9, 0.5, 0.15)))
    if shape.calcification < 6:
        core, core_part = rng.uniform(200, 800), 0.25
    return PlacedNodule(
        shape,
        center_mm,
        turned_degrees=rng.uniform(0, 360),
        mirrored=bool(rng.random() < 0.5),
        rim_hu=rim,
        core_hu=core,
        core_mm=core_part * shape.depth_mm,
        edge_mm=float(np.interp(shape.margin, (1.0, 5.0), (1.2, 0.2))),
        enhancement=rng.uniform(0.08, 0.3),
    )


def grow_strands(rng: np.random.Generator, nodules: Sequence[PlacedNodule]) -> Tubes:
    """Radial strands around nodules that their readers called spiculated."""
    strands = []
    for nodule in nodules:
        num = int(rng.integers(5, 11)) if nodule.shape.spiculation >= 3.5 else 0
        outward_N3 = rng.standard_normal((num, 3))
        outward_N3 /= np.linalg.norm(outward_N3, axis=1, keepdims=True)
        start_N3 = nodule.center_mm + 0.7 * nodule.shape.depth_mm * outward_N3
        length_N1 = nodule.shape.reach_mm * rng.uniform(0.4, 1.0, (num, 1)) + 2.0
        strands.append(Tubes(start_N3, start_N3 + length_N1 * outward_N3, np.full(num, 0.9), np.full(num, 0.3)))
    return Tubes.joined(strands)


def draw_nodule(hu_DHW: Float32Array, grid: Grid, nodule: PlacedNodule, *, iodine_hu: float) -> None:
    """Draw one nodule into a volume in place. It only adds density: a vessel stays visible through ground glass."""
    reach = nodule.shape.reach_mm + 3 * nodule.edge_mm + grid.ramp_mm
    center = np.asarray(nodule.center_mm)
    low = np.maximum(np.floor(grid.index_of(center - reach)), 0).astype(int)
    high = np.minimum(np.ceil(grid.index_of(center + reach)) + 1, grid.shape_DHW).astype(int)
    if np.any(high <= low):
        return
    box = tuple(slice(first, last) for first, last in zip(low, high, strict=True))
    index_N3 = np.stack(np.meshgrid(*(np.arange(part.start, part.stop) for part in box), indexing="ij"), -1).reshape(
        -1, 3
    )
    distance_N = nodule.distance_at(index_N3 * np.asarray(grid.spacing_mm) + np.asarray(grid.origin_mm))
    # A box of width w blurs like a Gaussian of w / sqrt(12).
    filled_N = ndtr(-distance_N / math.hypot(nodule.edge_mm, grid.ramp_mm / math.sqrt(12)))
    core_N = ndtr(-(distance_N + nodule.core_mm) / max(nodule.edge_mm, 0.4))
    density_N = nodule.rim_hu + core_N * (nodule.core_hu - nodule.rim_hu) + nodule.enhancement * iodine_hu
    region = hu_DHW[box]
    region += (filled_N.reshape(region.shape) * np.maximum(density_N.reshape(region.shape) - region, 0)).astype(
        np.float32
    )
