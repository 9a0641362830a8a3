"""The folder of a run: config.json, rounds.jsonl (one line an event), checkpoints/, and the report made from them.

The server's memory of a run. Every line is on the disk before the run goes on, so that what was said to have happened
has happened.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from fedlung.config import RunConfig
from fedlung.errors import RunError
from fedlung.evaluation.runrecord import (
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    EVENTS_FILE,
    RESUME_FOLDER,
    EventName,
    check_same_settings,
    run_name,
    unfinished_run,
    what_numbers_depend_on,
)
from fedlung.files import UNFINISHED
from fedlung.training.checkpoint import load_checkpoint, save_checkpoint

LOCK = "lock"


@dataclass(frozen=True)
class RunDir:
    """An open run folder."""

    folder: Path
    config: RunConfig

    @classmethod
    def create(cls, base: Path, name: str, config: RunConfig) -> RunDir:
        """A new folder ``base/name`` with its config.json; an empty name is made of task, date and time.

        Raises RunError where a run of that name is, ConfigError where the name is no plain folder name.
        """
        name = run_name(name, config, datetime.now().astimezone())
        folder = base / name
        try:
            (folder / CHECKPOINTS_FOLDER).mkdir(parents=True, exist_ok=True)
            # Exclusive: of two runs that start under one name, one is refused. The folder itself may be there already,
            # with what the launcher keeps in it.
            with (folder / CONFIG_FILE).open("x", encoding="utf-8") as file:
                file.write(config.model_dump_json(by_alias=True, indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            raise RunError(
                f"run {name!r} is there already, in {base}; nothing was written. "
                "Give another name, leave name empty for one with date and time, or move that folder away."
            ) from None
        (folder / EVENTS_FILE).touch()
        return cls(folder, config)

    @classmethod
    def open_plan(cls, base: Path, name: str, config: RunConfig) -> RunDir:
        """The folder of a leave-one-site-out run, new or as an earlier one left it.

        Raises ConfigError where a run with other settings is under that name.
        """
        folder = base / run_name(name, config, datetime.now().astimezone())
        if not (folder / CONFIG_FILE).exists():
            return cls.create(base, folder.name, config)
        check_same_settings(folder, config)
        return cls(folder, config)

    @classmethod
    def resume(cls, base: Path, name: str, config: RunConfig) -> RunDir:
        """The folder of an unfinished run with these settings, to go on with.

        Raises RunError where there is none or it has finished, ConfigError where its settings are others.
        """
        folder = base / name
        unfinished_run(folder)
        check_same_settings(folder, config)
        return cls(folder, config)

    @property
    def name(self) -> str:
        return self.folder.name

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While this process writes the run, no other does; what an earlier one left half-written is taken away.

        Raises RunError where another process is at it.
        """
        lock = FileLock(self.folder / RESUME_FOLDER / LOCK, timeout=0)
        Path(lock.lock_file).parent.mkdir(exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise RunError(
                f"run {self.name!r} is not stopped: another process is writing it. Wait for its end."
            ) from None
        try:
            _mend(self.folder)
            yield
        finally:
            lock.release()

    def append(self, event: EventName, **fields: Any) -> None:
        """Writes one event as one line, and returns when it is on the disk. Fields are what JSON has (no NaN)."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"event": event, "time": time, **fields}, allow_nan=False, ensure_ascii=False)
        with (self.folder / EVENTS_FILE).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> None:
        """The last event; what the run could have gone on from is taken away."""
        self.append("finished")
        shutil.rmtree(self.folder / RESUME_FOLDER, ignore_errors=True)

    def checkpoint_path(self, server_round: int) -> Path:
        return self.folder / CHECKPOINTS_FOLDER / f"round-{server_round:04d}.safetensors"

    def memory_path(self, server_round: int) -> Path:
        return self.checkpoint_path(server_round).with_suffix(".memory.safetensors")

    def save_memory(self, server_round: int, memory: Mapping[str, torch.Tensor]) -> None:
        """Keeps what the strategy carries from round to round beside the model; no file is made for nothing."""
        if memory:
            save_checkpoint(self.memory_path(server_round), memory, {"server_round": server_round})
        else:
            # That of a process that was stopped before this round had its line.
            self.memory_path(server_round).unlink(missing_ok=True)

    def load_memory(self, server_round: int) -> dict[str, torch.Tensor]:
        """What ``save_memory`` kept of a round."""
        path = self.memory_path(server_round)
        return load_checkpoint(path).state if path.is_file() else {}

    def save_checkpoint(self, server_round: int, state: Mapping[str, torch.Tensor]) -> Path:
        """Keeps the global weights after a round, with the run's settings; round 0 is what everyone started from."""
        path = self.checkpoint_path(server_round)
        settings = what_numbers_depend_on(self.config).to_run_config()
        save_checkpoint(path, state, {"server_round": server_round, "config": settings})
        return path


def _mend(folder: Path) -> None:
    """Take away what a process left half-written when it was stopped: the end of a line, and files of no name yet."""
    with (folder / EVENTS_FILE).open("r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)
    for below in (folder, folder / CHECKPOINTS_FOLDER, folder / RESUME_FOLDER):
        for path in below.glob(f".*{UNFINISHED}"):
            path.unlink(missing_ok=True)
