"""Killed at whatever step, a run can be gone on with, and its judgement is the one it would have had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("stride", "fewest"), [(29, 4), pytest.param(1, 100, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_a_run_survives_being_killed_before_any_step(tmp_path: Path, stride: int, fewest: int) -> None:
    """Some seconds: a process that imports torch, forks before each of the steps and judges a run after each."""
    script = Path(__file__).with_name("stop_a_run_at_every_step.py")
    alone = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    words = [sys.executable, str(script), str(tmp_path), str(stride)]
    done = subprocess.run(words, capture_output=True, text=True, env=alone, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= fewest, "fewer steps than a run has files and lines"
