"""Group DRO: the worst site's share grows exponentially."""

from __future__ import annotations

import math
from collections.abc import Mapping

from server.aggregation import shares_of
from server.strategies.lossaware import MovingShares


class GroupDRO(MovingShares):
    """Group DRO (Sagawa et al., ICLR 2020, algorithm 1): lambda_k <- lambda_k exp(gamma F_k), normalised."""

    def moved(self, losses: Mapping[str, float]) -> dict[str, float]:
        """``strategy.group-step`` is gamma."""
        highest, step = max(losses.values(), default=0.0), self.config.strategy.group_step
        return shares_of(
            {
                site: share * math.exp(step * (losses.get(site, highest) - highest))
                for site, share in self.shares.items()
            }
        )
