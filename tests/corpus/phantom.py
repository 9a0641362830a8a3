"""HU as known functions of the patient's millimetres (LPS), so that any reader's voxels can be judged.

All of them differ along every axis and in every direction: a volume that is mirrored, shifted, stretched or sheared
by a fraction of a pixel is off by more than half a HU somewhere.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Hu = Callable[[Points], npt.NDArray[np.float64]]

CENTRE_MM = np.array([4.0, 42.0, -93.0])
"""Inside every scan of the corpus."""

AIR_HU = -1024.0
FIELD_RADIUS_MM = 13.0
_RAMP_HU_PER_MM = np.array([2.0, 3.0, 4.5])
_INWARDS = np.array([0.64, 0.48, 0.6])
_LESION_MM = CENTRE_MM + np.array([3.0, 2.0, 4.0])


def ramp_hu(xyz_mm: Points) -> npt.NDArray[np.float64]:
    """HU of points (..., 3): a straight slope along every axis, and a round lesion."""
    return 20.0 + (xyz_mm - CENTRE_MM) @ _RAMP_HU_PER_MM + 250.0 * _lesion(xyz_mm)


def chest_hu(xyz_mm: Points) -> npt.NDArray[np.float64]:
    """HU of points (..., 3): a piece of a chest from the air outside through its wall into a lung with a nodule."""
    depth_mm = (xyz_mm - CENTRE_MM) @ _INWARDS
    wall = _step(depth_mm + 7.0) * (1.0 - _step(depth_mm - 1.0))
    lung = _step(depth_mm - 1.0) * (1.0 - _lesion(xyz_mm))
    air = 1.0 - _step(depth_mm + 7.0)
    return 40.0 + 0.3 * ramp_hu(xyz_mm) + 60.0 * wall - 800.0 * lung - 880.0 * air


def contrast_hu(xyz_mm: Points) -> npt.NDArray[np.float64]:
    """The chest in another phase: blood and lesion are brighter, so no voxel may come from here."""
    return chest_hu(xyz_mm) + 45.0 + 60.0 * _lesion(xyz_mm)


def round_field_hu(xyz_mm: Points) -> npt.NDArray[np.float64]:
    """The chest in a round field of view: air beyond 13 mm around the centre, whatever the file holds there."""
    return np.where(outside_field(xyz_mm), AIR_HU, chest_hu(xyz_mm))


def outside_field(xyz_mm: Points) -> npt.NDArray[np.bool_]:
    """Whether points (..., 3) lie beyond the round field of view."""
    return np.hypot(*np.moveaxis((xyz_mm - CENTRE_MM)[..., :2], -1, 0)) > FIELD_RADIUS_MM


def _step(depth_mm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """0 to 1, smooth over some millimetres."""
    return 0.5 + 0.5 * np.tanh(depth_mm / 2.5)


def _lesion(xyz_mm: Points) -> npt.NDArray[np.float64]:
    return np.exp(-0.5 * np.sum(((xyz_mm - _LESION_MM) / 3.5) ** 2, axis=-1))


def hu_error(voxels_DHW: npt.NDArray, world_mm: Callable[[Points], Points], hu: Hu) -> float:
    """The largest error of a volume in HU. ``world_mm`` maps zyx indices (N, 3) to LPS millimetres (N, 3)."""
    return float(hu_errors(voxels_DHW, world_mm, hu).max())


def hu_errors(voxels_DHW: npt.NDArray, world_mm: Callable[[Points], Points], hu: Hu) -> npt.NDArray[np.float64]:
    """(D, H, W) every voxel's error in HU; what a file holds below air may be air."""
    index_N3 = np.indices(voxels_DHW.shape, dtype=np.float64).reshape(3, -1).T
    true_DHW = np.maximum(hu(world_mm(index_N3)), AIR_HU).reshape(voxels_DHW.shape)
    return np.abs(voxels_DHW.astype(np.float64) - true_DHW)
