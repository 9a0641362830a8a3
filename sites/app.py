"""The ClientApp: four questions, four answers. What an answer holds is in ``fedlung/protocol``; nothing else leaves.

An exception of a site is told to the server by its kind and, of fedlung's own errors, by its public text; the whole of
it, with its traceback, goes to a file that only the site's own user can read (see ``fedlung/hospital/private.py``).
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedlung.config import RunConfig
from fedlung.errors import ConfigError, FedlungError, ProtocolError
from fedlung.hospital.private import ERRORS, discreet_readers, keep_error
from fedlung.hospital.profile import SiteProfile, load_profile
from fedlung.loso.plan import fold_named
from fedlung.protocol import (
    EvaluateTask,
    PrepareTask,
    RollCall,
    TrainTask,
    decode,
    decode_correction,
    decode_members,
    decode_weights,
    encode,
    encode_state,
    failure_text,
    fold_of,
)
from sites.pooled import PooledWorker
from sites.simulated import make_data, simulated_file, simulated_profile
from sites.worker import SiteWorker

THREADS = "FEDLUNG_THREADS"

Handler = Callable[[Message, Context], Message]

app = ClientApp()
logger = logging.getLogger(__name__)


class SiteError(Exception):
    """What may be said of an error outside the site."""


def guarded(handler: Handler) -> Handler:
    """Let nothing of an exception out but ``failure_text``: Flower sends the text of an exception as it is.

    The log has no more: in a simulation it is the coordinator's.
    """

    @functools.wraps(handler)
    def guard(message: Message, context: Context) -> Message:
        try:
            with discreet_readers():
                return handler(message, context)
        except Exception as error:  # noqa: BLE001 - kept in full below, and raised again in public words
            said = failure_text(error)
            logger.error("%s failed: %s; %s", handler.__name__, said, _kept(error, context))
        # Outside of the except block, so that the new exception has no chain to the old one.
        raise SiteError(said)

    return guard


@app.query("roll_call")
@guarded
def roll_call(message: Message, context: Context) -> Message:
    """Who is there?"""
    decode(RollCall, message.content)
    return Message(encode(worker_of(context, message).card()), reply_to=message)


@app.query("prepare")
@guarded
def prepare(message: Message, context: Context) -> Message:
    """Make cases of the CT and say what there is."""
    task, worker = decode(PrepareTask, message.content), worker_of(context, message)
    make_data(worker.profile)
    return Message(encode(worker.prepare(task)), reply_to=message)


@app.train()
@guarded
def train(message: Message, context: Context) -> Message:
    """One round of local training."""
    task = decode(TrainTask, message.content)
    correction = decode_correction(message.content)
    reply, state = worker_of(context, message).train(task, decode_weights(message.content), correction)
    return Message(encode(reply, weights=encode_state(state)), reply_to=message)


@app.evaluate()
@guarded
def evaluate(message: Message, context: Context) -> Message:
    """The statistics of one split's scores."""
    task = decode(EvaluateTask, message.content)
    reply = worker_of(context, message).evaluate(task, *decode_members(message.content))
    return Message(encode(reply), reply_to=message)


def worker_of(context: Context, message: Message) -> SiteWorker:
    """The worker of this node for this run, or for the message's fold of it."""
    profile = profile_of(context)
    if threads := os.environ.get(THREADS, "1" if profile.num_simulated else ""):
        # A fixed number, so that a simulation's digits do not depend on how many cores the machine has.
        torch.set_num_threads(int(threads))
    config, fold = RunConfig.from_run_config(context.run_config), fold_of(message.content)
    return _worker(context.run_id, profile, folded(config, fold), pool_of(context, config, fold))


def folded(config: RunConfig, fold: str) -> RunConfig:
    """The configuration that a message goes by. Raises ProtocolError where it names a fold and the run has none."""
    if bool(fold) != (config.protocol == "loso"):
        text = f"a message {'of' if fold else 'without'} a fold in a run of protocol {config.protocol}"
        raise ProtocolError(text, public=text)
    return fold_named(fold, config).config(config) if fold else config


def pool_of(context: Context, config: RunConfig, fold: str) -> tuple[SiteProfile, ...]:
    """The sites whose patients this node has in one place; none but in a simulation's pooled training."""
    if "pool" not in context.node_config:
        return ()
    unseen, num_sites = fold_named(fold, config).unseen, int(context.node_config["num-partitions"])
    profiles = (simulated_profile(number, num_sites) for number in range(num_sites))
    return tuple(profile for profile in profiles if profile.name != unseen)


def profile_of(context: Context) -> SiteProfile:
    """The site's profile: the file that the node was started with, or a site of the simulation."""
    node = context.node_config
    if "pool" in node:
        return simulated_profile(0, int(node["num-partitions"]))
    if "profile" in node:
        return load_profile(Path(str(node["profile"])))
    if "partition-id" in node:
        return simulated_profile(int(node["partition-id"]), int(node["num-partitions"]))
    raise ConfigError(
        "this node has no site: start it with --node-config 'profile=\"/path/of/site.toml\"'",
        public="the node was started without a site's profile",
    )


def _kept(error: Exception, context: Context) -> str:
    """Keep an error's full text for the site's own user; says where that is, in words without a path."""
    try:
        folder, where = profile_of(context).store, "store folder"
    except FedlungError:
        file = _site_file(context)
        if file is None:
            return "there is no site.toml beside which to keep its full text"
        folder, where = file.parent, "folder of its site.toml"
    try:
        keep_error(folder, error)
    except OSError as refusal:
        return f"its full text could not be kept in the site's {where}: {refusal.strerror}"
    return f"its full text is in {ERRORS} in the site's {where}"


def _site_file(context: Context) -> Path | None:
    node = context.node_config
    if "profile" in node:
        return Path(str(node["profile"]))
    return simulated_file(int(node["partition-id"])) if "partition-id" in node else None


@functools.lru_cache(maxsize=8)
def _worker(run_id: int, profile: SiteProfile, config: RunConfig, pool: tuple[SiteProfile, ...]) -> SiteWorker:
    """Kept between messages where the process is (in a simulation), so that examples are found only once."""
    return PooledWorker(pool, config) if pool else SiteWorker(profile, config)
