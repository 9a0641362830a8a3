"""Examples as one other scanner would have shown them: what would such scanning cost a site that scans well?

The changes come on top of the scanner that took the images, and on what is kept of them: nothing is thinner or sharper
for it, and what lay outside of the window or below a step of 8 bits stays lost. N examples, B batch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from fedlung.config import PrepareConfig, RescanConfig
from fedlung.errors import ConfigError
from fedlung.patches.dataset import ExampleSet
from fedlung.patches.scanner_randomization import NOISE_WIDTHS_PER_MM, ScannerChange, apply


class RescannedSet:
    """The examples through the scanner of the configuration, each with a slice phase and a noise of its own.

    An example is changed alike in whatever batch it is loaded. Raises ConfigError for voxels without one edge in mm.
    """

    def __init__(
        self, examples: ExampleSet, scanner: RescanConfig, window: PrepareConfig, rng: np.random.Generator
    ) -> None:
        _check_voxels(examples, scanner)
        self._examples, self._window = examples, window
        self._change = _one_scanner(len(examples), scanner, examples.voxel_mm, rng)

    def __len__(self) -> int:
        return len(self._examples)

    def load(self, indices_B: npt.NDArray[np.int64]) -> torch.Tensor:
        """(B, 1, D, H, W) float32 in [0, 1] on the CPU, in float32 even where the network runs in less."""
        x_BCDHW, change = self._examples.load(indices_B), self._change.take(indices_B)
        with torch.autocast("cpu", enabled=False):
            return apply(x_BCDHW, change, voxel_mm=self._examples.voxel_mm, window=self._window)


def _check_voxels(examples: ExampleSet, scanner: RescanConfig) -> None:
    """Raises ConfigError where the examples are to be rescanned and their voxels have no one edge in mm."""
    if scanner.is_on and not examples.voxel_mm > 0.0:
        text = (
            "rescan: expected voxels of one edge in mm, found examples of unlike edges or none. Set its values to 0, "
            "or judge examples of one spacing."
        )
        raise ConfigError(text, public=text)


def _one_scanner(num: int, scanner: RescanConfig, voxel_mm: float, rng: np.random.Generator) -> ScannerChange:
    """The same scanner for all; slices no thicker than a voxel are none."""

    def alike(value: float) -> npt.NDArray[np.float64]:
        return np.full(num, value, dtype=np.float64)

    return ScannerChange(
        changed_B=np.full(num, scanner.is_on),
        f50_per_mm_B=alike(scanner.f50_per_mm),
        edge_gain_B=alike(scanner.edge_gain),
        pixel_scale_B=alike(1.0),
        thickness_mm_B=alike(scanner.thickness_mm or voxel_mm),
        increment_share_B=alike(1.0),
        phase_B=rng.random(num),
        noise_hu_B=alike(scanner.noise_hu),
        noise_peak_per_mm_B=alike(scanner.noise_peak_per_mm),
        noise_width_per_mm_B=alike(float(np.mean(NOISE_WIDTHS_PER_MM))),
        noise_seed_B=rng.integers(0, 2**62, size=num),
        gain_B=alike(1.0),
        offset_hu_B=alike(0.0),
    )
