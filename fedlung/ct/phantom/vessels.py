"""Trees of arteries, veins and bronchi that branch and cross: what a detector mistakes for nodules.

At a fork r0³ = r1³ + r2³ (Murray, The physiological principle of minimum work, PNAS 1926) and the branching angles are
those of least work for these radii, cos a1 = (r0⁴ + r1⁴ - r2⁴) / (2 r0² r1²) (Murray, J Gen Physiol 1926; Zamir 1978).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedlung.ct.phantom.field import Field, Float64Array
from fedlung.ct.phantom.tubes import Tubes

FREE_GENERATIONS = 2
PLEURA_GAP_MM = 2.0
BRONCHUS_GAP_MM = 18.0
# Up, backward and radius of the first branches: to the apex, forward, sideways, to the base in front and behind.
LOBAR_BRANCHES = ((1.3, 0.2, 4.4), (0.35, -1.3, 3.8), (0.1, 0.7, 3.9), (-1.1, -0.5, 4.4), (-0.9, 1.2, 4.6))


@dataclass(frozen=True)
class _Tips:
    """Growing ends: place, unit direction and unit normal of the last fork's plane (N, 3), radius (N,)."""

    place_N3: Float64Array
    direction_N3: Float64Array
    normal_N3: Float64Array
    radius_N: Float64Array

    def __getitem__(self, keep: np.ndarray) -> _Tips:
        return _Tips(self.place_N3[keep], self.direction_N3[keep], self.normal_N3[keep], self.radius_N[keep])


def grow_tree(
    rng: np.random.Generator,
    lung: Field,
    *,
    root_mm: tuple[float, float, float],
    direction: tuple[float, float, float],
    radius_mm: float,
    smallest_mm: float,
) -> Tubes:
    """One tree from its root: generation after generation, until the branches are thin or leave the lung."""
    heading = _unit(np.asarray([direction], dtype=np.float64))
    normal = _unit(np.cross(heading, rng.standard_normal((1, 3))))
    tips = _Tips(np.asarray([root_mm], dtype=np.float64), heading, normal, np.array([radius_mm]))
    grown = []
    generation = 0
    while len(tips.radius_N):
        middle_N3, end_N3 = _course(rng, tips)
        grown += [_tubes(tips.place_N3, middle_N3, tips.radius_N), _tubes(middle_N3, end_N3, tips.radius_N)]
        moved = _Tips(end_N3, _unit(end_N3 - middle_N3), tips.normal_N3, tips.radius_N)
        if generation >= FREE_GENERATIONS:
            moved = moved[lung.at(end_N3) < -PLEURA_GAP_MM]
        tips = _forked(rng, moved, np.asarray(root_mm))
        tips = tips[tips.radius_N >= smallest_mm]
        generation += 1
    return Tubes.joined(grown)


def _tubes(start_N3: Float64Array, end_N3: Float64Array, radius_N: Float64Array) -> Tubes:
    return Tubes(start_N3, end_N3, radius_N, radius_N)


def _course(rng: np.random.Generator, tips: _Tips) -> tuple[Float64Array, Float64Array]:
    """A slightly bent branch: its middle and its end (N, 3). Its length is a few of its diameters."""
    length_N1 = (tips.radius_N * rng.uniform(2.6, 5.2, len(tips.radius_N)) + 1.5)[:, None]
    middle_N3 = tips.place_N3 + 0.5 * length_N1 * tips.direction_N3
    bent_N3 = _unit(tips.direction_N3 + 0.22 * rng.standard_normal(tips.direction_N3.shape))
    return middle_N3, middle_N3 + 0.5 * length_N1 * bent_N3


def _forked(rng: np.random.Generator, tips: _Tips, root_mm: Float64Array) -> _Tips:
    """Two children at every end, in a plane about square to the fork before, drawn away from the root."""
    share_N = rng.uniform(0.22, 0.5, len(tips.radius_N))
    normal_N3 = _turned(tips.normal_N3, tips.direction_N3, rng.uniform(60, 120, len(share_N)))
    sideways_N3 = _unit(np.cross(normal_N3, tips.direction_N3))
    outward_N3 = 0.18 * _unit(tips.place_N3 - root_mm + 1e-6)
    children = []
    for own_N, other_N, side in ((share_N, 1 - share_N, 1.0), (1 - share_N, share_N, -1.0)):
        cosine_N1 = _fork_cosine(own_N, other_N)[:, None]
        heading_N3 = cosine_N1 * tips.direction_N3 + side * np.sqrt(1 - cosine_N1**2) * sideways_N3
        children.append((tips.place_N3, _unit(heading_N3 + outward_N3), normal_N3, tips.radius_N * np.cbrt(own_N)))
    return _Tips(*(np.concatenate(parts) for parts in zip(*children, strict=True)))


def _fork_cosine(own_N: Float64Array, other_N: Float64Array) -> Float64Array:
    """Cosine of a child's angle to its parent when it carries ``own_N`` of the flow (r³) and its sibling the rest."""
    own_squared = np.cbrt(own_N) ** 2
    return np.clip((1 + own_squared**2 - np.cbrt(other_N) ** 4) / (2 * own_squared), -1.0, 1.0)


def _turned(vector_N3: Float64Array, axis_N3: Float64Array, degrees_N: Float64Array) -> Float64Array:
    """Vectors turned about unit axes (Rodrigues), made square to them first."""
    square_N3 = _unit(vector_N3 - (vector_N3 * axis_N3).sum(axis=1, keepdims=True) * axis_N3)
    angle_N1 = np.deg2rad(degrees_N)[:, None]
    return np.cos(angle_N1) * square_N3 + np.sin(angle_N1) * np.cross(axis_N3, square_N3)


def _unit(vector_N3: Float64Array) -> Float64Array:
    return vector_N3 / np.maximum(np.linalg.norm(vector_N3, axis=1, keepdims=True), 1e-9)


@dataclass(frozen=True)
class LungTrees:
    """Blood vessels, and the lumen of the airways."""

    vessels: Tubes
    airways: Tubes


def grow_lung_trees(
    rng: np.random.Generator,
    lung: Field,
    hila_mm: tuple[tuple[float, float, float], ...],
    *,
    smallest_mm: float,
) -> LungTrees:
    """Arteries and veins of both lungs, bronchi beside the arteries, and the trachea with its fork."""
    vessels, airways = [], [_trachea(hila_mm)]
    for hilum in hila_mm:
        side = 1.0 if hilum[2] > 0 else -1.0
        for up, back, radius_mm in LOBAR_BRANCHES:
            heading = (up, back, side)
            artery = grow_tree(
                rng, lung, root_mm=hilum, direction=heading, radius_mm=radius_mm, smallest_mm=smallest_mm
            )
            root, heading = (hilum[0] - 9.0, hilum[1] - 13.0, hilum[2]), (up, back - 0.4, side)
            vein = grow_tree(rng, lung, root_mm=root, direction=heading, radius_mm=radius_mm, smallest_mm=smallest_mm)
            vessels += [artery, vein]
            airways.append(_bronchi_beside(artery, lung))
    return LungTrees(Tubes.joined(vessels), Tubes.joined(airways))


def _bronchi_beside(artery: Tubes, lung: Field) -> Tubes:
    """A bronchus runs along every artery that is neither small nor near the pleura, behind it and a little below."""
    large = artery[(artery.radius_start_N > 1.2) & (lung.at(artery.end_N3) < -BRONCHUS_GAP_MM)]
    away = _unit(np.array([[-0.35, 0.9, 0.2]]))
    lumen_N = 0.65 * large.radius_start_N
    shift_N3 = (large.radius_start_N + lumen_N + 0.6)[:, None] * away
    return Tubes(large.start_N3 + shift_N3, large.end_N3 + shift_N3, lumen_N, lumen_N)


def _trachea(hila_mm: tuple[tuple[float, float, float], ...]) -> Tubes:
    """The windpipe down to its fork above the hila, and the two main bronchi."""
    carina = (22.0, 14.0, -1.0)
    ends = [(180.0, 2.0, 0.0), *((z + 2, y + 8, x) for z, y, x in hila_mm)]
    start_N3, end_N3 = np.asarray([carina] * 3), np.asarray(ends)
    return Tubes(start_N3, end_N3, np.array([8.5, 7.0, 6.6]), np.array([8.5, 5.2, 5.0]))
