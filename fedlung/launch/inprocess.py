"""A whole federation in one process: Flower's apps as they are, over a grid without sockets.

For many runs side by side on one machine, each of which would otherwise wait for Flower's and Ray's start and share
its cores with its own sites. The apps are those of the bundle, loaded by the names in its pyproject.toml as Flower
does; what crosses the grid is what crosses the wire.
"""

from __future__ import annotations

import importlib
import itertools
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedlung.config import Scalar
from fedlung.errors import ConfigError
from fedlung.protocol import PREPARE, PrepareTask, encode, with_fold

RUN_ID = 1
CLIENT_APP_RAISED = 2  # flwr.common.constant.ErrorCode

ClientCall = Callable[[Message, Context], Message]
NodeConfigs = Mapping[int, Mapping[str, Scalar]]


@dataclass
class InProcessGrid(Grid):
    """Nodes that answer when they are asked. An exception of a ClientApp is an error reply, as in Flower's runtimes."""

    node_configs: NodeConfigs
    run_config: Mapping[str, Any]
    client: ClientCall
    replies: dict[str, Message] = field(default_factory=dict)
    registered: Mapping[int, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.contexts = {
            node_id: Context(RUN_ID, node_id, dict(config), RecordDict(), dict(self.run_config))
            for node_id, config in self.node_configs.items()
        }

    @property
    def run(self) -> Run:
        return Run.create_empty(RUN_ID)

    def set_run(self, run: Run) -> None:
        raise AssertionError("the run is set")

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise AssertionError("deprecated by Flower")

    def get_node_ids(self) -> Iterable[int]:
        return list(self.node_configs)

    def get_nodes(self) -> Iterable[NodeInfo]:
        return [NodeInfo(node_id=node_id, name=self.registered.get(node_id)) for node_id in self.node_configs]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        pushed = list(messages)
        for message in pushed:
            message.metadata.__dict__["_message_id"] = f"message-{next(self._numbers)}"
            self.take(message, self._answer(message))
        return [message.metadata.message_id for message in pushed]

    def take(self, message: Message, reply: Message) -> None:
        """Keep a node's answer until it is pulled."""
        self.replies[message.metadata.message_id] = reply

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        return [self.replies.pop(message_id) for message_id in message_ids if message_id in self.replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        return self.pull_messages(self.push_messages(messages))

    def _answer(self, message: Message) -> Message:
        try:
            return self.client(message, self.contexts[message.metadata.dst_node_id])
        except Exception as error:  # noqa: BLE001 - as flwr.supernode.runtime.run_clientapp does
            return Message(Error(CLIENT_APP_RAISED, f"{type(error)}:<'{error}'>"), reply_to=message)


def run_in_process(app: Path, run_config: Mapping[str, Scalar], nodes: NodeConfigs) -> None:
    """One run of the bundle in ``app``, here and now. Whatever its ServerApp raises is raised."""
    _be_a_task()
    grid = InProcessGrid(nodes, run_config, component(app, "clientapp"))
    component(app, "serverapp")(grid, Context(RUN_ID, 0, {}, RecordDict(), dict(run_config)))


def prepare_in_process(
    app: Path,
    run_config: Mapping[str, Scalar],
    node_id: int,
    node_config: Mapping[str, Scalar],
    *,
    fold: str,
    held_out: bool,
) -> None:
    """Have one site make its cases. A site that cannot says so again in every fold."""
    _be_a_task()
    grid = InProcessGrid({node_id: node_config}, run_config, component(app, "clientapp"))
    content = with_fold(encode(PrepareTask(held_out=held_out)), fold)
    grid.push_messages([Message(content, node_id, PREPARE)])


def _be_a_task() -> None:
    """Flower makes no message outside of a task of its own."""
    TaskIdentity.task_id = TaskIdentity.run_id = RUN_ID
    TaskIdentity.node_id = 0


def component(app: Path, name: str) -> Any:
    """The ServerApp or ClientApp of a bundle, by the name in its pyproject.toml. Raises ConfigError."""
    description = tomllib.loads((app / "pyproject.toml").read_text(encoding="utf-8"))
    module, _, attribute = description["tool"]["flwr"]["app"]["components"][name].partition(":")
    if str(app) not in sys.path:
        sys.path.insert(0, str(app))
    loaded = importlib.import_module(module)
    if app not in Path(str(loaded.__file__)).resolve().parents:
        raise ConfigError(f"{module} was loaded from elsewhere than {app}; run it in the environment of that checkout.")
    return getattr(loaded, attribute)
