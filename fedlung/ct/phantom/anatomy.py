"""The chest: body, muscles, ribs, spine, mediastinum, heart, great vessels, diaphragm and the two lungs.

Shapes are superellipsoids (|x/a|^n + |y/b|^n + |z/c|^n = 1) in the scene's millimetres; coarse fields of them are
interpolated later, so only what is smooth is painted here. A distance is negative inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedlung.ct.phantom.field import Field, Float32Array, Grid, fractal_tile

AIR_HU, FAT_HU, MUSCLE_HU, BLOOD_HU, MARROW_HU, CORTEX_HU = -1000.0, -100.0, 50.0, 42.0, 190.0, 620.0
SPACING_MM = (4.0, 2.5, 2.5)
RIB_PITCH_MM = 26.0
EVERYWHERE = np.inf


@dataclass(frozen=True)
class Shape:
    """A superellipsoid: centre and half axes along z, y, x in mm; an infinite half axis makes it a cylinder."""

    center_mm: tuple[float, float, float]
    half_mm: tuple[float, float, float]
    power: float = 2.0

    def distance_on(self, grid: Grid) -> Float32Array:
        """Distance to the surface in mm along the ray from the centre, on ``grid``; exact on the surface."""
        level, radius = (np.zeros((1, 1, 1), dtype=np.float32) for _ in range(2))
        for position, center, half in zip(grid.open_zyx(), self.center_mm, self.half_mm, strict=True):
            if np.isfinite(half):
                offset = position - np.float32(center)
                level = level + np.abs(offset / np.float32(half)) ** np.float32(self.power)
                radius = radius + offset**2
        level = np.maximum(level, np.float32(1e-6)) ** np.float32(1 / self.power)
        distance = np.sqrt(radius) * (1 - 1 / level)
        return np.broadcast_to(distance.astype(np.float32), grid.shape_DHW)

    def grown(self, margin_mm: float) -> Shape:
        """The same shape with half axes longer by a margin."""
        z, y, x = (half + margin_mm for half in self.half_mm)
        return Shape(self.center_mm, (z, y, x), self.power)


@dataclass(frozen=True)
class Chest:
    """What differs between patients."""

    body: Shape
    fat_mm: float
    cavity: Shape
    spine: Shape
    mediastinum: tuple[Shape, ...]
    vessels: tuple[Shape, ...]
    domes: tuple[Shape, ...]
    rib_phase: float

    @property
    def hila_mm(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Where vessels and bronchi enter the right and the left lung."""
        return (0.0, 6.0, -34.0), (4.0, 10.0, 36.0)


def draw_chest(rng: np.random.Generator) -> Chest:
    """A patient's proportions."""
    width, depth = rng.uniform(148, 162), rng.uniform(106, 120)
    fat = rng.uniform(8, 17)
    wall = fat + rng.uniform(15, 19)
    cavity = Shape((0.0, 0.0, 0.0), (rng.uniform(118, 128), depth - wall, width - wall), 2.6)
    back = depth - wall
    spine = Shape((0.0, back - 4, 0.0), (EVERYWHERE, 21.0, 19.0), 2.3)
    heart = Shape((rng.uniform(-50, -40), -26.0, 20.0), (rng.uniform(52, 62), rng.uniform(38, 46), rng.uniform(48, 56)))
    core = Shape((0.0, 0.0, 0.0), (EVERYWHERE, back, rng.uniform(22, 28)), 3.0)
    right, left = rng.uniform(-52, -40), rng.uniform(-60, -48)
    return Chest(
        body=Shape((0.0, 0.0, 0.0), (EVERYWHERE, depth, width), 2.3),
        fat_mm=fat,
        cavity=cavity,
        spine=spine,
        mediastinum=(core, heart, Shape((0.0, back - 28, 20.0), (EVERYWHERE, 18.0, 18.0))),
        vessels=(
            heart.grown(-7.0),
            Shape((0.0, back - 28, 22.0), (EVERYWHERE, 12.0, 12.0)),
            Shape((30.0, -30.0, -4.0), (45.0, 15.0, 15.0), 3.0),
            Shape((35.0, -26.0, -23.0), (60.0, 8.0, 8.0), 3.0),
            Shape((6.0, -22.0, 14.0), (14.0, 13.0, 24.0)),
        ),
        domes=(Shape((right - 90, 0.0, -62.0), (90.0, 92.0, 74.0)), Shape((left - 90, 0.0, 62.0), (90.0, 92.0, 74.0))),
        rib_phase=rng.uniform(0, 1),
    )


@dataclass(frozen=True)
class ChestFields:
    """Coarse fields of one chest.

    lung      signed distance to the lungs' surface in mm, negative inside
    tissue    HU of everything else
    blood     fraction of what iodine reaches: heart and great vessels
    fat       fraction of fat, whose HU depends on the tube's voltage
    """

    lung: Field
    tissue: Field
    blood: Field
    fat: Field


def chest_fields(chest: Chest, rng: np.random.Generator, *, coverage_mm: float) -> ChestFields:
    """Paint the chest over its whole width and ``coverage_mm`` of its length."""
    grid = Grid.centred((coverage_mm + 2 * SPACING_MM[0], 240.0, 340.0), SPACING_MM)
    clumps = fractal_tile(rng, edge=32, spacing_mm=6.0, slope=2.5).on(grid)
    cavity = chest.cavity.distance_on(grid)
    lung = _lungs(chest, cavity, grid)
    tissue, fat = _walls(chest, cavity, clumps, grid)
    inside = _soft(cavity) * (clumps > 0.9)
    tissue += inside * (FAT_HU - tissue)
    fat += inside * (1 - fat)
    blood = np.zeros(grid.shape_DHW, np.float32)
    for shape in chest.vessels:
        blood = np.maximum(blood, _soft(shape.distance_on(grid)))
    for layer, value in ((blood, BLOOD_HU), (_domes(chest, grid), 55.0)):
        tissue += layer * (value - tissue)
        fat *= 1 - layer
    _paint_bones(tissue, chest, cavity, grid)
    return ChestFields(*(Field(grid, np.ascontiguousarray(values)) for values in (lung, tissue, blood, fat)))


def _soft(distance: npt.NDArray[np.floating]) -> Float32Array:
    """Fraction of a coarse voxel inside a surface."""
    return np.clip(0.5 - distance / np.float32(SPACING_MM[1]), 0.0, 1.0)


def _lungs(chest: Chest, cavity: Float32Array, grid: Grid) -> Float32Array:
    """The cavity less mediastinum, spine and diaphragm."""
    lung = cavity
    for shape in (*chest.mediastinum, chest.spine, *chest.domes):
        lung = np.maximum(lung, -shape.distance_on(grid))
    return lung


def _walls(chest: Chest, cavity: Float32Array, clumps: Float32Array, grid: Grid) -> tuple[Float32Array, Float32Array]:
    """HU and fat fraction of skin, fat and the muscles of the chest wall."""
    body = chest.body.distance_on(grid)
    muscle = _soft(chest.body.grown(-chest.fat_mm).distance_on(grid))
    # Streaks of fat between the layers of muscle, but none next to the pleura.
    streak = _soft(-np.abs(cavity - 11) + 1.5) * (clumps > 0.2)
    fat = _soft(body + 2.5) * (1 - muscle * (1 - 0.7 * streak))
    tissue = AIR_HU + _soft(body) * (MUSCLE_HU - AIR_HU)
    return (tissue + fat * (FAT_HU - MUSCLE_HU)).astype(np.float32), fat


def _domes(chest: Chest, grid: Grid) -> Float32Array:
    return np.maximum(*(_soft(dome.distance_on(grid)) for dome in chest.domes))


def _paint_bones(tissue: Float32Array, chest: Chest, cavity: Float32Array, grid: Grid) -> None:
    """Spine with disc-free vertebrae, a sternum and ribs that fall from back to front."""
    z, y, x = grid.open_zyx()
    back, front = chest.spine.center_mm[1], -chest.cavity.half_mm[1]
    vertebra = Shape((0.0, back + 3, 0.0), (EVERYWHERE, 15.0, 17.0), 2.3).distance_on(grid)
    canal = Shape((0.0, back + 27, 0.0), (EVERYWHERE, 8.0, 9.0)).distance_on(grid)
    arch = np.maximum(Shape((0.0, back + 27, 0.0), (EVERYWHERE, 14.0, 16.0)).distance_on(grid), -canal)
    sternum = Shape((0.0, front - 9, 0.0), (EVERYWHERE, 6.0, 20.0), 3.0).distance_on(grid)
    phase = (z + 0.6 * y) / RIB_PITCH_MM + chest.rib_phase + 0.5 * (x > 0)
    along_mm = (np.abs(phase - np.floor(phase) - 0.5)) * RIB_PITCH_MM - 4.8
    rib = np.maximum(along_mm, np.abs(cavity - 6.5) - 4.0)
    rib = np.where(np.abs(x) > 24, rib, np.float32(9.0))
    for distance in (vertebra, arch, sternum, rib):
        bone = _soft(distance)
        marrow = _soft(distance + 3.0)
        tissue += bone * (CORTEX_HU - tissue)
        tissue += marrow * (MARROW_HU - tissue)
