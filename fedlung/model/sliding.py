"""A patch classifier over the lungs of a whole volume: one score for each window of a coarse grid of centres."""

# N windows, B batch, C channel, D slice, H row, W column; index space is zyx

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedlung.config import Precision, PrepareConfig
from fedlung.model.predict import predict_logits

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScoreGrid:
    """Scores of windows whose centres form a regular grid.

    logits_DHW  float64, one a cell of the grid; -inf where no window was scored
    first_3     fractional zyx index, in the volume, of the centre of the grid's first window
    stride      voxels of the volume between neighbouring centres
    """

    logits_DHW: Floats
    first_3: Floats
    stride: int

    def index_of(self, cell_N3: npt.ArrayLike) -> Floats:
        """(N, 3) fractional zyx indices in the volume of (fractional) cells of this grid."""
        return self.first_3 + self.stride * np.asarray(cell_N3, dtype=np.float64).reshape(-1, 3)


class Windows:
    """Cubes of ``size``³ voxels around every ``stride``-th voxel of the lungs, in the volume's order.

    The voxel is a cube's middle; with an even size the middle lies half a voxel after it. A cube is the training
    patch at the same place, bit for bit: the window of HU is [0, 1], and what lies outside of the volume has the
    value of ``hu_min``. The volume lies on the device once, as float32, and the cubes are cut from it there.
    """

    def __init__(
        self,
        image_DHW: npt.NDArray[np.int16],
        lung_DHW: npt.NDArray[np.bool_],
        *,
        size: int,
        stride: int,
        prepare: PrepareConfig,
        device: torch.device,
    ) -> None:
        offset_3 = (np.asarray(lung_DHW.shape) - 1) % stride // 2  # as much is left over before the grid as behind it
        self.inside_DHW = lung_DHW[tuple(slice(offset, None, stride) for offset in offset_3)]
        self.first_3 = offset_3 + (0.0 if size % 2 else 0.5)
        cells_N3 = np.argwhere(self.inside_DHW)
        self._voxel_N3 = torch.from_numpy(offset_3 + stride * cells_N3).to(device)
        self._cubes = _every_cube(_scaled(image_DHW, prepare, device), size)

    def __len__(self) -> int:
        return len(self._voxel_N3)

    def load(self, indices_B: npt.NDArray[np.int64]) -> Tensor:
        """(B, 1, size, size, size) float32 in [0, 1] on the device."""
        voxel_B3 = self._voxel_N3[torch.from_numpy(indices_B)]
        return self._cubes[voxel_B3.unbind(dim=1)].unsqueeze(1)


def score_windows(
    model: nn.Module,
    image_DHW: npt.ArrayLike,
    lung_DHW: npt.ArrayLike,
    *,
    size: int,
    stride: int,
    prepare: PrepareConfig,
    batch_size: int,
    device: torch.device,
    precision: Precision,
    progress: Callable[[int, int], None] | None = None,
) -> ScoreGrid:
    """The model's logit of each of ``Windows``; ``progress`` is told (windows scored, all windows).

    image_DHW int16 HU and lung_DHW bool are a case's. No lung gives a grid of -inf.
    """
    image_DHW, lung_DHW = np.asarray(image_DHW), np.asarray(lung_DHW)  # an encrypted case is decrypted once
    windows = Windows(image_DHW, lung_DHW, size=size, stride=stride, prepare=prepare, device=device)
    logits_N = predict_logits(
        model, windows, batch_size=batch_size, device=device, precision=precision, progress=progress
    )
    logits_DHW = np.full(windows.inside_DHW.shape, -np.inf)
    logits_DHW[windows.inside_DHW] = logits_N
    return ScoreGrid(logits_DHW, windows.first_3, stride)


def _scaled(image_DHW: npt.NDArray[np.int16], prepare: PrepareConfig, device: torch.device) -> Tensor:
    """The volume on the device, float32, [hu_min, hu_max] made [0, 1]."""
    x_DHW = torch.tensor(image_DHW, dtype=torch.float32, device=device)
    return x_DHW.sub_(prepare.hu_min).mul_(1 / (prepare.hu_max - prepare.hu_min))


def _every_cube(x_DHW: Tensor, size: int) -> Tensor:
    """(D, H, W, size, size, size): the cube around each voxel, a view of the volume padded with 0."""
    before, behind = (size - 1) // 2, size // 2
    padded_DHW = functional.pad(x_DHW, (before, behind) * 3)
    return padded_DHW.unfold(0, size, 1).unfold(1, size, 1).unfold(2, size, 1)
