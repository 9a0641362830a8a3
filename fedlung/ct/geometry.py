"""Where a voxel is: the map between index space (zyx) and the patient's millimetres (xyz, DICOM's LPS)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Geometry:
    """A regular grid in the patient's space.

    shape_DHW   voxels along slice, row, column
    spacing_mm  distance of neighbouring voxels' centres along z, y, x
    origin_mm   world position (x, y, z) of the centre of voxel (0, 0, 0)
    direction   (3, 3); its columns are the unit vectors in world space along which the index x, y, z grows
                (ITK's convention)
    """

    shape_DHW: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: tuple[tuple[float, float, float], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    @property
    def matrix_zyx(self) -> Float64Array:
        """(3, 3) A with ``world_xyz = origin + A @ index_zyx``."""
        return (np.asarray(self.direction, dtype=np.float64) * np.asarray(self.spacing_mm[::-1]))[:, ::-1]

    def index_to_world(self, index_N3: npt.ArrayLike) -> Float64Array:
        """World positions (N, 3) as xyz in mm of (fractional) voxel indices (N, 3) as zyx."""
        index_N3 = np.asarray(index_N3, dtype=np.float64).reshape(-1, 3)
        return index_N3 @ self.matrix_zyx.T + np.asarray(self.origin_mm, dtype=np.float64)

    def world_to_index(self, world_N3: npt.ArrayLike) -> Float64Array:
        """Fractional voxel indices (N, 3) as zyx of world positions (N, 3) as xyz in mm."""
        world_N3 = np.asarray(world_N3, dtype=np.float64).reshape(-1, 3)
        return (world_N3 - np.asarray(self.origin_mm, dtype=np.float64)) @ np.linalg.inv(self.matrix_zyx).T

    def contains(self, index_N3: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """(N,) whether each zyx index lies within the grid's voxels (half a voxel beyond the outer centres)."""
        index_N3 = np.asarray(index_N3, dtype=np.float64).reshape(-1, 3)
        return np.all((index_N3 >= -0.5) & (index_N3 <= np.asarray(self.shape_DHW) - 0.5), axis=1)
