"""FedYogi: FedAdam whose second moment moves by no more than the square itself."""

from __future__ import annotations

import numpy as np

from server.strategies.fedadam import FedAdam


class FedYogi(FedAdam):
    """FedAdam with v <- v - (1 - b2) Delta² sign(v - Delta²) (Reddi et al., ICLR 2021, algorithm 2)."""

    def second_moment(self, before: np.ndarray, squared: np.ndarray) -> np.ndarray:
        """Additive: one large update is not forgotten slowly."""
        return before - (1.0 - self.config.strategy.beta2) * squared * np.sign(before - squared)
