"""The folder of a run: config.json, rounds.jsonl (one line an event), checkpoints/, and the report made from them.

The server's memory of a run. Every line is on the disk before the run goes on, so that what was said to have happened
has happened.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from fedlung.config import RunConfig
from fedlung.errors import RunError
from fedlung.evaluation.runrecord import (
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    EVENTS_FILE,
    EventName,
    check_same_settings,
    run_name,
    what_numbers_depend_on,
)
from fedlung.training.checkpoint import load_checkpoint, save_checkpoint


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

    @property
    def name(self) -> str:
        return self.folder.name

    def append(self, event: EventName, **fields: Any) -> None:
        """Writes one event as one line, and returns when it is on the disk. Fields are what JSON has (no NaN)."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"event": event, "time": time, **fields}, allow_nan=False, ensure_ascii=False)
        with (self.folder / EVENTS_FILE).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def checkpoint_path(self, server_round: int) -> Path:
        return self.folder / CHECKPOINTS_FOLDER / f"round-{server_round:04d}.safetensors"

    def memory_path(self, server_round: int) -> Path:
        return self.checkpoint_path(server_round).with_suffix(".memory.safetensors")

    def save_memory(self, server_round: int, memory: Mapping[str, torch.Tensor]) -> None:
        """Keeps what the strategy carries from round to round beside the model; no file is made for nothing."""
        if memory:
            save_checkpoint(self.memory_path(server_round), memory, {"server_round": server_round})

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
