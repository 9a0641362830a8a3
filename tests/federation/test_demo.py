"""The demo as a newcomer starts it, by its command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FEDLUNG = Path(sys.executable).with_name("fedlung")


def demo(folder: Path, name: str, *settings: str) -> dict:
    """The report of a demo, without clock times and the run's name."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "HOME": str(folder)}
    command = [FEDLUNG, "demo", "--runs", str(folder / "runs"), "--name", name]
    command += [word for setting in settings for word in ("-s", setting)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SYNTHETIC" in done.stdout
    report = json.loads((folder / "runs" / name / "report.json").read_text(encoding="utf-8"))
    report.pop("timings")
    return report


@pytest.mark.slow
def test_the_demo_holds_toshiba_out_and_gives_the_same_numbers_twice(tmp_path: Path) -> None:
    first = demo(tmp_path, "first", "federation.rounds=4")
    second = demo(tmp_path, "second", "federation.rounds=4")
    assert first == second
    assert first["synthetic"] and first["held_out"] == ["TOSHIBA"]
    assert [(row["name"], row["role"]) for row in first["sites"]] == [
        ("GE", "source"),
        ("Philips", "source"),
        ("SIEMENS", "source"),
        ("TOSHIBA", "held-out"),
    ]
    held_out = first["sites"][-1]
    assert held_out["auc"]["low"] > 0.6
    assert held_out["num_patients"] == 32
