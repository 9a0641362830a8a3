"""AFL: the model is to be good for any mixture of the sites."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from server.strategies.lossaware import MovingShares


class AgnosticFed(MovingShares):
    """Agnostic federated learning (Mohri et al., ICML 2019): lambda <- projection on the simplex of lambda + g F."""

    def moved(self, losses: Mapping[str, float]) -> dict[str, float]:
        """``strategy.group-step`` is g."""
        sites, step = sorted(self.shares), self.config.strategy.group_step
        raised = np.array([self.shares[site] + step * losses[site] for site in sites])
        return dict(zip(sites, project_on_simplex(raised).tolist(), strict=True))


def project_on_simplex(values_K: np.ndarray) -> np.ndarray:
    """The nearest point with entries >= 0 and sum 1 (Duchi et al., ICML 2008, figure 1)."""
    descending = np.sort(values_K)[::-1]
    excess = (np.cumsum(descending) - 1.0) / np.arange(1, len(descending) + 1)
    return np.maximum(values_K - excess[np.flatnonzero(descending > excess)[-1]], 0.0)
