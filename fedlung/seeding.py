"""One random stream per purpose: the seed of a run and the labels of a purpose give a generator.

Two purposes never share a stream, so that adding a draw in one place changes nothing in another. Nothing in the
library seeds a global generator.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive_int(seed: int, *labels: str | int) -> int:
    """A 63-bit integer that depends on the seed and on every label, and on nothing else."""
    text = "\x1f".join([str(int(seed)), *(f"{type(label).__name__}:{label}" for label in labels)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def derive(seed: int, *labels: str | int) -> np.random.Generator:
    """NumPy's generator for one purpose, e.g. ``derive(seed, "augment", site, server_round)``."""
    return np.random.default_rng(derive_int(seed, *labels))


def derive_torch(seed: int, *labels: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Torch's generator for one purpose, on ``device``."""
    import torch  # dear, and whoever draws no tensor, as a report, does without

    return torch.Generator(device=device).manual_seed(derive_int(seed, *labels))
