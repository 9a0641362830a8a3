"""What robust merging shares: all updates of a round beside each other, flat in memory.

A minority of wrong updates must not pull the model away. All sites count alike: a number of examples can be a lie.

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
from server.aggregation import Counters, Merged
from server.sums import is_floating

Floats = npt.NDArray[np.float64]

CHUNK = 1 << 20  # columns at a time


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


def gram_matrix(spool: Spool) -> Floats:
    """(K, K) inner products of the updates, measured from the first one, so that no digits are lost to the weights."""
    num_sites = len(spool.sites)
    gram_KK = np.zeros((num_sites, num_sites))
    for _, values_KC in spool.chunks():
        away_KC = values_KC - values_KC[0]
        gram_KK += away_KC @ away_KC.T
    return gram_KK
