"""Run by ``test_resume_crashes.py`` in a process of its own: kills the server of a run at its steps, one after another.

A step is whatever the kernel is asked to do to a file of the run: open it to write, write it out, rename, remove, make
a folder. The child is killed right before its n-th step, for every ``stride``-th n until one gets through; then the run
is gone on with, and must end in the digits of one that was never stopped. Prints how many times a child was killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Context, Message

from fedlung.config import RunConfig
from fedlung.evaluation.runrecord import has_finished, load_run
from fedlung.evaluation.statistics import score_statistics
from fedlung.launch.inprocess import InProcessGrid, _be_a_task
from fedlung.protocol import (
    EVALUATE,
    PREPARE,
    ROLL_CALL,
    EvaluateReply,
    EvaluateTask,
    SiteCard,
    SiteLedger,
    SplitCounts,
    TrainReply,
    TrainTask,
    decode,
    decode_weights,
    encode,
    encode_state,
)
from fedlung.training.checkpoint import load_checkpoint
from server.course import federate
from server.loso import _opened

NUM_PATIENTS = 20
CONFIG = RunConfig.from_run_config(
    {
        "task.name": "malignancy",
        "model.name": "simple-cnn",
        "model.width": 4,
        "federation.sites": "A,B,C",
        "federation.held-out": "C",
        "federation.rounds": 3,
        "federation.local-epochs": 1,
        "federation.strategy": "fedadam",
        "strategy.average-from": 1,
        "evaluate.replicates": 4,
    }
)


def site(message: Message, context: Context) -> Message:
    """A site whose answers follow from the weights that come, and from nothing else."""
    name = str(context.node_config["name"])
    kind = message.metadata.message_type
    if kind == ROLL_CALL:
        return Message(encode(SiteCard(name, True, "archive", "cpu", {})), reply_to=message)
    if kind == PREPARE:
        return Message(encode(ledger(name)), reply_to=message)
    if kind == EVALUATE:
        return Message(encode(judged(name, message)), reply_to=message)
    task, state = decode(TrainTask, message.content), decode_weights(message.content)
    moved = {key: values * (0.9 if name == "A" else 1.05) for key, values in state.items()}
    moved = {key: values.astype(state[key].dtype) for key, values in moved.items()}
    reply = TrainReply(name, task.server_round, NUM_PATIENTS, 3, total(state), 0.0)
    return Message(encode(reply, weights=encode_state(moved)), reply_to=message)


def total(state: dict[str, Any]) -> float:
    return float(sum(np.abs(values).sum(dtype=np.float64) for values in state.values()))


def ledger(name: str) -> SiteLedger:
    half = SplitCounts(NUM_PATIENTS, NUM_PATIENTS // 2, NUM_PATIENTS // 2)
    splits = {split: half for split in ("train", "validation", "test")}
    return SiteLedger(name, 20, 20, 20, {}, {}, {}, {}, splits, "0" * 16, 0.0, True)


def judged(name: str, message: Message) -> EvaluateReply:
    task, state = decode(EvaluateTask, message.content), decode_weights(message.content)
    rng = np.random.default_rng([ord(name), int(1e6 * total(state)) % 2**32])
    labels_N = np.arange(NUM_PATIENTS) % 2
    patients_N = np.array([f"{name}-{number}" for number in range(NUM_PATIENTS)])
    logits_N = rng.normal(labels_N, 1.0)
    found = score_statistics(logits_N, labels_N, patients_N, num_replicates=task.num_replicates, rng=rng)
    return EvaluateReply(name, task.server_round, task.split, total(state), 0.0, {"model": found})


def run_to_its_end(base: Path) -> dict[str, Any]:
    """Begin or go on; everything that the run shows, without clock times."""
    folder = base / "run"
    if not has_finished(folder):
        run = _opened(base, "run", CONFIG)
        nodes = {number: {"name": name} for number, name in enumerate("ABC", start=1)}
        with run.alone():
            federate(InProcessGrid(nodes, CONFIG.to_run_config(), site), run)
            run.finish()
    record = load_run(folder)
    weights = {path.name: load_checkpoint(path).state for path in sorted((folder / "checkpoints").iterdir())}
    return {
        "judgement": record.judgement.model_dump(mode="json", exclude={"timings"}),
        "tests": (folder / "tests.npz").read_bytes(),
        "weights": {name: {key: t.numpy().tobytes() for key, t in state.items()} for name, state in weights.items()},
        "rounds": [event["round"] for event in record.rounds],
    }


def kill_before_step(number: int, folder: Path) -> None:
    """From here on this process counts its steps, and kills itself before the given one."""
    left = [number]

    def step() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def heard(event: str, words: tuple[Any, ...]) -> None:
        if event not in {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}:
            return
        is_read = event == "open" and not int(words[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not is_read and str(words[0]).startswith(str(folder)):
            step()

    def synced(descriptor: int) -> None:
        step()

    os.fsync = synced
    sys.addaudithook(heard)


def survived(base: Path, number: int) -> bool:
    """Whether a child gets through the run with fewer than ``number`` steps."""
    child = os.fork()
    if child == 0:
        kill_before_step(number, base)
        run_to_its_end(base)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"the child failed at step {number}"
    return not os.WIFSIGNALED(status)


def count_kills(folder: Path, stride: int) -> int:
    whole = run_to_its_end(folder / "whole")
    num_kills, number = 0, 1
    while not survived(folder / f"{number}", number):
        again = run_to_its_end(folder / f"{number}")
        differing = [name for name in whole if again[name] != whole[name]]
        assert not differing, f"killed before step {number}: other {', '.join(differing)}"
        left = [path.name for path in (folder / f"{number}").rglob("*.unfinished")]
        assert not left, f"killed before step {number}: {left} are left"
        shutil.rmtree(folder / f"{number}")
        num_kills, number = num_kills + 1, number + stride
    return num_kills


if __name__ == "__main__":
    os.fsync = lambda descriptor: None  # what was written outlives the process; only a power cut would need the disk
    _be_a_task()
    sys.stdout.write(json.dumps(count_kills(Path(sys.argv[1]), int(sys.argv[2]))))
