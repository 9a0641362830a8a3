"""A virtual patient without a scanner: true geometry, rendered in HU on whatever grid a scanner asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedlung.ct.phantom.anatomy import BLOOD_HU, ChestFields, chest_fields, draw_chest
from fedlung.ct.phantom.donors import Shape
from fedlung.ct.phantom.field import Field, Float32Array, Grid, blend, fractal_tile
from fedlung.ct.phantom.nodules import PlacedNodule, draw_nodule, grow_strands, place_nodules
from fedlung.ct.phantom.sheets import Sheet, draw_sheet_set, draw_sheets
from fedlung.ct.phantom.tubes import Tubes, draw_tubes
from fedlung.ct.phantom.vessels import LungTrees, grow_lung_trees
from fedlung.seeding import derive

WALL_HU, LUMEN_HU, STRAND_HU = -100.0, -985.0, 10.0
GRADIENT_HU_PER_MM = 0.22


@dataclass(frozen=True, eq=False)
class Scene:
    """A patient.

    lung_hu     density in mid-lung; it rises to the back by ``GRADIENT_HU_PER_MM`` (the patient lies supine)
    texture     fractal variation of the parenchyma, deviation 1, times ``texture_hu``
    """

    fields: ChestFields
    lung_hu: float
    texture: Field
    texture_hu: float
    trees: LungTrees
    sheets: tuple[Sheet, ...]
    nodules: tuple[PlacedNodule, ...]
    strands: Tubes

    def render(self, grid: Grid, *, iodine_hu: float = 0.0, fat_shift_hu: float = 0.0) -> Float32Array:
        """(D, H, W) HU with edges as soft as the grid's step; iodine in the blood, fat's shift with the voltage."""
        hu_DHW, lung_DHW = self._background(grid, iodine_hu, fat_shift_hu)
        draw_sheets(hu_DHW, lung_DHW, grid, self.sheets)
        for tubes, value in self._tubes(iodine_hu):
            blend(hu_DHW, draw_tubes(tubes, grid), value)
        for nodule in self.nodules:
            draw_nodule(hu_DHW, grid, nodule, iodine_hu=iodine_hu)
        return hu_DHW

    def _tissue(self, iodine_hu: float, fat_shift_hu: float) -> Field:
        fields = self.fields
        values = fields.tissue.values_DHW + np.float32(iodine_hu) * fields.blood.values_DHW
        return Field(fields.tissue.grid, values + np.float32(fat_shift_hu) * fields.fat.values_DHW)

    def _background(self, grid: Grid, iodine_hu: float, fat_shift_hu: float) -> tuple[Float32Array, Float32Array]:
        """(D, H, W) HU of chest wall, mediastinum and parenchyma, and the fraction of lung in each voxel."""
        hu_DHW, lung_DHW = (np.empty(grid.shape_DHW, dtype=np.float32) for _ in range(2))
        gravity_H1 = np.float32(self.lung_hu) + np.float32(GRADIENT_HU_PER_MM) * grid.open_zyx()[1][0]
        fields = (self.fields.lung, self._tissue(iodine_hu, fat_shift_hu), self.texture)
        for k, (distance, tissue, texture) in enumerate(zip(*(field.planes(grid) for field in fields), strict=True)):
            lung_DHW[k] = np.clip(0.5 - distance / np.float32(grid.ramp_mm), 0.0, 1.0)
            hu_DHW[k] = tissue + lung_DHW[k] * (gravity_H1 + np.float32(self.texture_hu) * texture - tissue)
        return hu_DHW, lung_DHW

    def _tubes(self, iodine_hu: float) -> tuple[tuple[Tubes, float], ...]:
        """In the order of drawing: airway walls, their lumen, blood vessels, strands."""
        airways = self.trees.airways
        wall = Tubes(
            airways.start_N3, airways.end_N3, 1.12 * airways.radius_start_N + 0.4, 1.12 * airways.radius_end_N + 0.4
        )
        return (
            (wall, WALL_HU),
            (airways, LUMEN_HU),
            (self.trees.vessels, BLOOD_HU + iodine_hu),
            (self.strands, STRAND_HU),
        )


def make_scene(
    patient_seed: int, shapes: Sequence[Shape], *, coverage_mm: float, smallest_vessel_mm: float = 0.55
) -> Scene:
    """The patient of this seed, with these nodules somewhere in the lungs. Knows no scanner."""
    chest = draw_chest(derive(patient_seed, "chest"))
    fields = chest_fields(chest, derive(patient_seed, "fields"), coverage_mm=coverage_mm)
    trees = grow_lung_trees(derive(patient_seed, "trees"), fields.lung, chest.hila_mm, smallest_mm=smallest_vessel_mm)
    rng = derive(patient_seed, "lung")
    texture = fractal_tile(rng, edge=72, spacing_mm=2.0, slope=2.6)
    lung_hu, texture_hu = rng.uniform(-885, -835), rng.uniform(18, 30)
    sheets = draw_sheet_set(derive(patient_seed, "sheets"))
    vessels = trees.vessels[trees.vessels.radius_end_N > 0.9]
    nodules = place_nodules(derive(patient_seed, "nodules"), shapes, fields.lung, vessels, coverage_mm=coverage_mm)
    strands = grow_strands(derive(patient_seed, "strands"), nodules)
    return Scene(fields, lung_hu, texture, texture_hu, trees, sheets, nodules, strands)
