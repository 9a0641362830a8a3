"""Several sets of examples as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from fedlung.patches.dataset import ExampleSet


class JoinedSet:
    """The examples of several sets, one set after the other."""

    def __init__(self, sets: Sequence[ExampleSet]) -> None:
        self._sets = sets
        self._first_of_set = np.cumsum([0, *(len(one) for one in sets)])
        self.labels_N = np.concatenate([one.labels_N for one in sets])
        self.patients_N = np.concatenate([one.patients_N for one in sets])
        self.diameter_mm_N = np.concatenate([one.diameter_mm_N for one in sets])
        self.texture_N = np.concatenate([one.texture_N for one in sets])
        self.thickness_mm_N = np.concatenate([one.thickness_mm_N for one in sets])
        self.kernel_N = np.concatenate([one.kernel_N for one in sets])
        edges_mm = {one.voxel_mm for one in sets}
        self.voxel_mm = edges_mm.pop() if len(edges_mm) == 1 else np.nan

    def __len__(self) -> int:
        return int(self._first_of_set[-1])

    def load(self, indices_B: npt.ArrayLike) -> torch.Tensor:
        """(B, 1, D, H, W) in the order of the indices."""
        indices = np.asarray(indices_B, dtype=np.int64)
        set_of_B = np.searchsorted(self._first_of_set, indices, side="right") - 1
        loaded = [
            self._sets[number].load([index - self._first_of_set[number]])
            for index, number in zip(indices.tolist(), set_of_B.tolist(), strict=True)
        ]
        return torch.cat(loaded)
