"""All source sites' patients in one place: what federated training is measured against, and only ever a simulation's.

Nothing here can run in a hospital: a node becomes a pool by its own configuration, and only where one machine simulates
all of the sites.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from fedlung.config import RunConfig
from fedlung.hospital.profile import SiteProfile
from fedlung.loso.plan import POOL
from fedlung.patches.dataset import ExampleSet
from fedlung.patches.examples import SiteExamples
from fedlung.patches.joined import JoinedSet
from fedlung.patches.sampling import IntArray
from fedlung.patches.splits import TRAIN
from fedlung.preprocess.case import Case
from fedlung.protocol import PrepareTask, SiteLedger, SplitCounts
from sites.worker import SiteWorker


class PooledExamples(SiteExamples):
    """The training patients of several sites. Their other patients are judged at the sites themselves."""

    def __init__(self, members: Sequence[SiteWorker]) -> None:
        self._members = members

    def training(self, server_round: int, mined: Mapping[str, IntArray] | None = None) -> ExampleSet:
        return JoinedSet([member.examples.training(server_round, mined) for member in self._members])

    def cases(self, split: str) -> list[Case]:
        return [case for member in self._members for case in member.examples.cases(split)]


class PooledWorker(SiteWorker):
    """The local loop over the training patients of all of ``profiles``."""

    def __init__(self, profiles: Sequence[SiteProfile], config: RunConfig) -> None:
        synthetic = any(profile.synthetic for profile in profiles)
        super().__init__(profiles[0].model_copy(update={"name": POOL, "synthetic": synthetic}), config)
        self.members = [SiteWorker(profile, config) for profile in profiles]
        self._examples = PooledExamples(self.members)

    def prepare(self, task: PrepareTask) -> SiteLedger:
        """The members' ledgers as one, with training patients only."""
        ledgers = [member.prepare(PrepareTask(held_out=False)) for member in self.members]
        training = [ledger.splits[TRAIN] for ledger in ledgers]
        nothing: dict[str, int] = {}
        return SiteLedger(
            site=POOL,
            num_declared=_sum(ledgers, lambda ledger: ledger.num_declared),
            num_readable=_sum(ledgers, lambda ledger: ledger.num_readable),
            num_prepared=_sum(ledgers, lambda ledger: ledger.num_prepared),
            left_out=nothing,
            ignored_files=nothing,
            unused_nodules=nothing,
            remarks=nothing,
            splits={
                TRAIN: SplitCounts(
                    num_patients=sum(counts.num_patients for counts in training),
                    num_positive=sum(counts.num_positive for counts in training),
                    num_negative=sum(counts.num_negative for counts in training),
                )
            },
            data_fingerprint=hashlib.sha256(
                "".join(ledger.data_fingerprint for ledger in ledgers).encode()
            ).hexdigest(),
            seconds=sum(ledger.seconds for ledger in ledgers),
            synthetic=any(ledger.synthetic for ledger in ledgers),
        )


def _sum(ledgers: Sequence[SiteLedger], of: Callable[[SiteLedger], int]) -> int:
    return sum(of(ledger) for ledger in ledgers)
