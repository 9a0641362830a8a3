"""The phantom's two controls through the command: no gap where there is none, and one where there must be one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedlung.cli.app import app
from fedlung.loso.results import RESULTS_FILE


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("control", ["null", "positive"])
def test_a_control_comes_out_as_it_must(control: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked = ["loso", "--demo", "--control", control, "--runs", str(tmp_path), "--name", control]
    found = CliRunner().invoke(app, asked)
    assert found.exit_code == 0, found.output
    row = json.loads((tmp_path / control / RESULTS_FILE).read_text())["tables"]["auc"]["rows"][0]
    gap = row["gap"] if control == "null" else row["gaps"]["TOSHIBA"]
    assert gap["low"] <= 0 <= gap["high"] if control == "null" else gap["low"] > 0
