"""The slice that a radiologist should see of a series: small, in lung window, its nodules ringed."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib.image
import numpy as np
import numpy.typing as npt
import torch

from fedlung.ct.nodule import Nodule
from fedlung.ct.volume import Volume
from fedlung.preprocess.lungs import Lungs

WINDOW_HU = (-1350.0, 150.0)  # centre -600, width 1500
LONGER_SIDE = 256
RING_RGB = np.array([255.0, 207.0, 51.0])
RING_PIXELS = 1.6
QUALITY = 78

FloatArray = npt.NDArray[np.float32]


def slice_picture(volume: Volume, lungs: Lungs, nodules: Sequence[Nodule]) -> tuple[bytes, str]:
    """A JPEG and what it shows: the slice through the largest nodule, else through the middle of the lungs."""
    number = _slice_number(volume, lungs, nodules)
    gray_HW = _small(volume.voxels_DHW[number], volume.spacing_mm[1:])
    scale_yx = [small / large for small, large in zip(gray_HW.shape, volume.geometry.shape_DHW[1:], strict=True)]
    rgb_HW3 = np.repeat(gray_HW[..., None], 3, axis=2)
    num_ringed = 0
    for nodule in nodules:
        z, y, x = volume.world_to_index([nodule.center_mm])[0]
        if abs(z - number) * volume.spacing_mm[0] <= max(nodule.diameter_mm / 2, volume.spacing_mm[0] / 2):
            radius = nodule.diameter_mm / 2 / volume.spacing_mm[1] * scale_yx[0]
            _ring(rgb_HW3, (y + 0.5) * scale_yx[0] - 0.5, (x + 0.5) * scale_yx[1] - 0.5, radius + 3)
            num_ringed += 1
    file = io.BytesIO()
    pixels_HW3 = np.ascontiguousarray(rgb_HW3.round().astype(np.uint8))
    matplotlib.image.imsave(file, pixels_HW3, format="jpeg", pil_kwargs={"quality": QUALITY})
    return file.getvalue(), _words(number, volume.geometry.shape_DHW[0], num_ringed)


def _words(number: int, num_slices: int, num_ringed: int) -> str:
    ringed = "no nodule" if not num_ringed else f"{num_ringed} nodule{'s' * (num_ringed > 1)} ringed"
    return f"slice {number + 1} of {num_slices}, {ringed}"


def _slice_number(volume: Volume, lungs: Lungs, nodules: Sequence[Nodule]) -> int:
    if nodules:
        largest = max(nodules, key=lambda nodule: nodule.diameter_mm)
        index = volume.world_to_index([largest.center_mm])[0, 0]
    else:
        index = volume.world_to_index(lungs.geometry.index_to_world([_middle(lungs)]))[0, 0]
    return int(np.clip(np.rint(index), 0, volume.geometry.shape_DHW[0] - 1))


def _middle(lungs: Lungs) -> npt.NDArray[np.float64]:
    """The middle of the mask's box along each axis, as an index."""
    occupied = np.argwhere(lungs.mask_DHW)
    return (occupied.min(axis=0) + occupied.max(axis=0)) / 2


def _small(slice_HW: npt.NDArray, spacing_mm: tuple[float, ...]) -> FloatArray:
    """0 to 255 in the lung window, with square pixels, the longer side ``LONGER_SIDE``, each the mean of its area."""
    extent_mm = [num * step for num, step in zip(slice_HW.shape, spacing_mm, strict=True)]
    size = [max(1, round(LONGER_SIDE * extent / max(extent_mm))) for extent in extent_mm]
    low, high = WINDOW_HU
    gray_HW = ((torch.from_numpy(slice_HW.astype(np.float32)) - low) * (255 / (high - low))).clamp(0, 255)
    return torch.nn.functional.interpolate(gray_HW[None, None], size=size, mode="area")[0, 0].numpy()


def _ring(rgb_HW3: FloatArray, y: float, x: float, radius: float) -> None:
    """Draw a circle of pixels, its edge smooth."""
    rows, columns = np.ogrid[: rgb_HW3.shape[0], : rgb_HW3.shape[1]]
    away_HW = np.abs(np.hypot(rows - y, columns - x) - radius)
    opaque_HW1 = np.clip(RING_PIXELS / 2 + 0.5 - away_HW, 0, 1)[..., None]
    rgb_HW3 += opaque_HW1 * (RING_RGB - rgb_HW3)
