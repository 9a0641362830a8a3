"""A server and three sites on loopback with TLS and node keys, one command each, as hospitals would start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedlung.launch.flower import free_port
from fedlung.launch.processes import Children, process_table

SITES = ("Alpha", "Beta", "Gamma")
SETTINGS = {
    "task.name": "malignancy",
    "patches.size": 16,
    "model.width": 4,
    "model.stem": "quarter",
    "federation.held-out": "Gamma",
    "federation.rounds": 1,
    "federation.roll-call-timeout-s": 240,
    "evaluate.replicates": 20,
}


def fedlung(*words: object) -> list[str]:
    return [sys.executable, "-m", "fedlung", *map(str, words)]


def leftovers(folder: Path) -> list[int]:
    """Living processes with this folder among the words of their command."""
    found = []
    for pid in process_table():
        try:
            if str(folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_a_server_and_three_sites_on_loopback_end_with_a_report_and_stop_when_told(
    tmp_path: Path, archive: Callable[..., Any]
) -> None:
    archive(SITES).save(tmp_path / "archive.npz")
    kit, port = tmp_path / "kit", free_port()
    subprocess.run(fedlung("kit", kit, "--server", f"127.0.0.1:{port}", "--sites", ",".join(SITES)), check=True)
    for name in SITES:
        profile = f'name = "{name}"\narchive = "{tmp_path / "archive.npz"}"\ndevice = "cpu"\nsynthetic = true\n'
        (kit / "sites" / name / "site.toml").write_text(profile, encoding="utf-8")
    knobs = [word for key, value in SETTINGS.items() for word in ("-s", f"{key}={value}")]
    start = fedlung("server", "start", kit / "server", "--runs", tmp_path / "runs", "--name", "loopback", *knobs)

    with Children({**os.environ, "OMP_NUM_THREADS": "1"}, grace_s=30) as children, (tmp_path / "log").open("wb") as log:
        sites = {
            name: children.start(fedlung("site", "start", kit / "sites" / name), output=log, cwd=tmp_path)
            for name in SITES
        }
        server = children.start(start, output=log, cwd=Path(__file__).resolve().parents[2])
        assert server.wait(420) == 0, (tmp_path / "log").read_text()[-4000:]
        assert {name: site.poll() for name, site in sites.items()} == dict.fromkeys(SITES, None), "sites stay"
        for site in sites.values():
            site.terminate()
        assert {name: site.wait(60) for name, site in sites.items()} == dict.fromkeys(SITES, 0)
        assert leftovers(tmp_path) == []

    report = json.loads((tmp_path / "runs" / "loopback" / "report.json").read_text(encoding="utf-8"))
    assert {row["name"]: row["role"] for row in report["sites"]} == {
        "Alpha": "source",
        "Beta": "source",
        "Gamma": "held-out",
    }
    assert report["absences"] == []
