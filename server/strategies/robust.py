"""Merging that a minority of wrong updates cannot pull away. All sites count alike: a number of examples can be a lie.

The updates of a round are laid beside each other in a file without a name and read back some columns at a time, so that
memory does not grow with the number of sites. K sites, P numbers of a state, C columns of a chunk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedlung.protocol import State, TrainReply
from server.aggregation import Counters, Merged, Merging, is_floating
from server.strategies.fedavg import FedAvg

Floats = npt.NDArray[np.float64]

CHUNK = 1 << 20  # columns at a time
MAX_WEISZFELD = 50
SMOOTHING = 1e-6  # of the distance in Weiszfeld's weights (Pillutla et al., algorithm 2)


@dataclass
class Spool:
    """One row of float32 for each site."""

    current: State
    sites: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._names = sorted(name for name, values in self.current.items() if is_floating(values))
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the spool
        self.num_columns = sum(self.current[name].size for name in self._names)

    def __del__(self) -> None:
        self._file.close()  # of a round below the quorum nobody reads it

    def add(self, site: str, state: State) -> None:
        """One more row."""
        self.sites.append(site)
        for name in self._names:
            self._file.write(np.ascontiguousarray(state[name], dtype=np.float32).tobytes())
        self._file.flush()

    def chunks(self) -> Iterator[tuple[slice, Floats]]:
        """Columns and their values_KC."""
        rows_KP = np.memmap(self._file, np.float32, "r", shape=(len(self.sites), self.num_columns))
        for start in range(0, self.num_columns, CHUNK):
            columns = slice(start, min(start + CHUNK, self.num_columns))
            yield columns, rows_KP[:, columns].astype(np.float64)

    def state(self, values_P: npt.NDArray[np.float32]) -> State:
        """One row as tensors."""
        state, start = {}, 0
        for name in self._names:
            like = self.current[name]
            state[name] = values_P[start : start + like.size].reshape(like.shape).astype(like.dtype)
            start += like.size
        return state


class RobustMerging:
    """Spools every update, then combines them by ``combine``."""

    def __init__(self, current: State) -> None:
        self._spool = Spool(current)
        self._counters = Counters()

    def add(self, reply: TrainReply, state: State) -> None:
        """Take one site in."""
        self._spool.add(reply.site, state)
        self._counters.add(state)

    def merged(self) -> Merged:
        """The combined state."""
        combined_P = np.empty(self._spool.num_columns, np.float32)
        weights_K = self.site_weights(self._spool)
        for columns, values_KC in self._spool.chunks():
            combined_P[columns] = self.combine(values_KC, weights_K)
        shares = dict(zip(self._spool.sites, weights_K.tolist(), strict=True))
        state = self._spool.state(combined_P) | self._counters.largest
        return Merged({name: state[name] for name in sorted(state)}, shares)

    def site_weights(self, spool: Spool) -> Floats:
        """What share each site has as a whole; equal unless the algorithm weighs sites."""
        return np.full(len(spool.sites), 1.0 / len(spool.sites))

    def combine(self, values_KC: Floats, weights_K: Floats) -> Floats:
        """One value for each column."""
        return weights_K @ values_KC


class MedianMerging(RobustMerging):
    """The median of each number."""

    def combine(self, values_KC: Floats, weights_K: Floats) -> Floats:
        """Of an even number of sites the mean of the middle two."""
        return np.median(values_KC, axis=0)


class TrimmedMerging(RobustMerging):
    """The mean of each number without its ``num_trimmed`` largest and smallest."""

    def __init__(self, current: State, trim: float) -> None:
        super().__init__(current)
        self._trim = trim

    def combine(self, values_KC: Floats, weights_K: Floats) -> Floats:
        """At least one value is left."""
        num_sites = len(values_KC)
        num_trimmed = min(int(self._trim * num_sites), (num_sites - 1) // 2)
        return np.sort(values_KC, axis=0)[num_trimmed : num_sites - num_trimmed].mean(axis=0)


class GeometricMedianMerging(RobustMerging):
    """The point with the least sum of distances to the updates, by smoothed Weiszfeld steps."""

    def site_weights(self, spool: Spool) -> Floats:
        """Each site's share in the geometric median, which is a convex combination of the updates."""
        gram_KK = gram_matrix(spool)
        weights_K = super().site_weights(spool)
        for _ in range(MAX_WEISZFELD):
            distance_K = np.sqrt(np.maximum(distances_to_mean(gram_KK, weights_K), 0.0))
            raised = 1.0 / np.maximum(distance_K, SMOOTHING)
            before, weights_K = weights_K, raised / raised.sum()
            if np.abs(weights_K - before).max() < 1e-9:
                break
        return weights_K


class KrumMerging(RobustMerging):
    """The one update that lies nearest to its neighbours."""

    def __init__(self, current: State, num_byzantine: int) -> None:
        super().__init__(current)
        self._num_byzantine = num_byzantine

    def site_weights(self, spool: Spool) -> Floats:
        """All of the share to the site with the least sum of squared distances to its K - f - 2 nearest."""
        gram_KK = gram_matrix(spool)
        squared_K = np.diag(gram_KK)
        distance_KK = squared_K[:, None] + squared_K[None, :] - 2.0 * gram_KK
        np.fill_diagonal(distance_KK, np.inf)
        num_near = max(1, min(len(squared_K) - 1, len(squared_K) - self._num_byzantine - 2))
        scores_K = np.sort(distance_KK, axis=1)[:, :num_near].sum(axis=1)
        return np.eye(len(squared_K))[np.argmin(scores_K)]


class CoordinateMedian(FedAvg):
    """Coordinate-wise median (Yin et al., ICML 2018, option I)."""

    def merging(self) -> Merging:
        """By the median."""
        return MedianMerging(self.current)


class TrimmedMean(FedAvg):
    """Coordinate-wise trimmed mean (Yin et al., ICML 2018, option II); ``strategy.trim`` is cut off at each end."""

    def merging(self) -> Merging:
        """By the trimmed mean."""
        return TrimmedMerging(self.current, self.config.strategy.trim)


class GeometricMedian(FedAvg):
    """Robust federated aggregation (Pillutla et al., IEEE TSP 2022, algorithm 2), sites weighted alike."""

    def merging(self) -> Merging:
        """By the geometric median."""
        return GeometricMedianMerging(self.current)


class Krum(FedAvg):
    """Krum (Blanchard et al., NeurIPS 2017): bears ``strategy.num-byzantine`` wrong sites of at least 2 f + 3."""

    def merging(self) -> Merging:
        """One of the updates as it is."""
        return KrumMerging(self.current, self.config.strategy.num_byzantine)


def gram_matrix(spool: Spool) -> Floats:
    """(K, K) inner products of the updates, measured from the first one, so that no digits are lost to the weights."""
    num_sites = len(spool.sites)
    gram_KK = np.zeros((num_sites, num_sites))
    for _, values_KC in spool.chunks():
        away_KC = values_KC - values_KC[0]
        gram_KK += away_KC @ away_KC.T
    return gram_KK


def distances_to_mean(gram_KK: Floats, weights_K: Floats) -> Floats:
    """(K,) squared distances of the updates to their weighted mean: g_kk - 2 (G w)_k + w' G w."""
    projected_K = gram_KK @ weights_K
    return np.diag(gram_KK) - 2.0 * projected_K + weights_K @ projected_K
