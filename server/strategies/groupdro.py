"""Group DRO: the worst site's share grows exponentially."""

from __future__ import annotations

import math
from collections.abc import Mapping

from server.strategies.lossaware import MovingShares


class GroupDRO(MovingShares):
    """Group DRO (Sagawa et al., ICLR 2020, algorithm 1): lambda_k <- lambda_k exp(gamma F_k), normalised."""

    def moved(self, losses: Mapping[str, float]) -> dict[str, float]:
        """``strategy.group-step`` is gamma."""
        highest, step = max(losses.values()), self.config.strategy.group_step  # subtracted: exp must not overflow
        return {site: share * math.exp(step * (losses[site] - highest)) for site, share in self.shares.items()}
