"""What a training batch goes through before the network sees it: first another pose, then another scanner."""

# B batch, C channel, D slice, H row, W column

from __future__ import annotations

from torch import Tensor

from fedlung.config import RunConfig
from fedlung.errors import ConfigError
from fedlung.patches import augment, scanner_randomization
from fedlung.patches.dataset import ExampleSet
from fedlung.seeding import derive


class BatchChanges:
    """The changes of one round at one site; each kind has a random stream of its own.

    ORDER: the patient is turned and bent, then scanned, so that a virtual scanner's slices lie along z as the real
    ones do. An archive's cubes have lost their HU: the window of the configuration is taken for theirs. Raises
    ConfigError for a virtual scanner on voxels without one edge in mm.
    """

    def __init__(self, cfg: RunConfig, examples: ExampleSet, *, site: str, server_round: int) -> None:
        if cfg.scanner.probability and not examples.voxel_mm > 0.0:
            text = (
                "scanner.probability: expected voxels of one edge in mm, found examples of unlike edges or none. Set "
                "it to 0, or train on examples of one spacing."
            )
            raise ConfigError(text, public=text)
        self._cfg, self._examples = cfg, examples
        self._augment_rng = derive(cfg.seed, "augment", site, server_round)
        self._scanner_rng = derive(cfg.seed, "scanner", site, server_round)

    def applied(self, x_BCDHW: Tensor) -> Tensor:
        """The changed batch, on the batch's device."""
        if self._cfg.augment.enabled:
            pose = augment.draw(len(x_BCDHW), x_BCDHW.shape[-1], self._cfg.augment, self._augment_rng)
            x_BCDHW = augment.apply(x_BCDHW, pose)
        if self._cfg.scanner.probability:
            scanner = scanner_randomization.draw(len(x_BCDHW), self._cfg.scanner, self._scanner_rng)
            x_BCDHW = scanner_randomization.apply(
                x_BCDHW, scanner, voxel_mm=self._examples.voxel_mm, window=self._cfg.prepare
            )
        return x_BCDHW
