"""Each site makes cases of its CT and says what it has; who cannot is out of the run, by name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedlung.config import RunConfig
from fedlung.errors import ProtocolError, RunError
from fedlung.evaluation.judgement import Absence
from fedlung.patches.sampling import most_background
from fedlung.protocol import PREPARE, PrepareTask, SiteLedger, decode, encode
from server.exchange import hear, replies
from server.rollcall import Roster, check_quorum
from server.rundir import RunDir

logger = logging.getLogger(__name__)


def prepare(grid: Grid, roster: Roster, run: RunDir) -> tuple[dict[str, SiteLedger], list[Absence]]:
    """The ledgers by site, and a row for each site that has none. Each ledger is an event "prepared" when it comes."""
    timeout_s = run.config.federation.prepare_timeout_s
    asked = {
        site: Message(encode(PrepareTask(held_out=site in roster.held_out)), node_id, PREPARE, ttl=timeout_s)
        for site, node_id in roster.node_ids.items()
    }

    def read(site: str, content: RecordDict) -> SiteLedger:
        ledger = decode(SiteLedger, content)
        if ledger.site != site:
            raise ProtocolError(f"{site} answered for another site")
        run.append("prepared", **asdict(ledger))
        logger.info("%s prepared %d of %d", site, ledger.num_prepared, ledger.num_declared)
        return ledger

    ledgers, absent = hear(asked, replies(grid, asked.values(), timeout_s=timeout_s), read)
    for site, reason in absent.items():
        logger.warning("%s is out of the run, it prepared nothing: %s", site, reason)
    return ledgers, [Absence(site=site, stage="prepare", reason=reason) for site, reason in absent.items()]


def training_sites(ledgers: Mapping[str, SiteLedger], roster: Roster) -> tuple[str, ...]:
    """Source sites with something to train on."""
    return tuple(site for site in roster.sources if site in ledgers and ledgers[site].num_examples("train"))


def plausible_examples(ledger: SiteLedger, config: RunConfig) -> tuple[int, int]:
    """The fewest and the most training examples that a site can have in a round, by what it said it holds.

    Its share in the model goes by this number, so it may not be chosen round by round. Nodules are the same in every
    round; background is drawn anew, and a case may give less than is asked of it.
    """
    told = ledger.num_examples("train")
    if config.task.name != "nodule":
        return told, told
    num_nodules = ledger.splits["train"].num_positive
    return max(num_nodules, 1), num_nodules + most_background(num_nodules, ledger.num_prepared, config.patches)


def check_teachable(ledgers: Mapping[str, SiteLedger], roster: Roster, config: RunConfig) -> None:
    """Raises RunError where the source sites together lack what the run needs: now, not after hours of training."""
    own = [ledgers[site].splits for site in roster.sources if site in ledgers]
    training = [splits["train"] for splits in own if "train" in splits]
    num_negative = sum(counts.num_negative for counts in training)
    num_positive = sum(counts.num_positive for counts in training)
    if not (num_negative and num_positive):
        raise RunError(
            f"the source sites ({', '.join(roster.sources)}) have {num_positive} positive and {num_negative} negative "
            f"training examples of task {config.task.name!r} together; both are needed. See what they left out and why."
        )
    check_quorum(training_sites(ledgers, roster), config, "with training examples")
    if not any(splits["validation"].num_patients for splits in own if "validation" in splits):
        raise RunError(
            "no source site has a validation patient, so no round could be chosen. A site with two patients has one: "
            "bring more patients, or fewer sites with more each."
        )
