"""What is installed, and what travels."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git would hand out, so that nothing of this folder's state leaks in."""
    target = tmp_path_factory.mktemp("checkout") / "fedlung"
    ignored = shutil.ignore_patterns("__pycache__", ".git", ".venv*", "runs", "data", "kits", "dist", ".*_cache")
    shutil.copytree(ROOT, target, ignore=ignored)
    return target


def test_the_wheel_puts_fedlung_and_nothing_else_into_site_packages(checkout: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*pip, "."], cwd=checkout, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"fedlung"}


def test_the_bundle_holds_fedlung_sites_and_server_only(checkout: Path) -> None:
    (checkout / "secret.json").write_text("{}")
    flwr = Path(sys.executable).with_name("flwr")
    subprocess.run([flwr, "build"], cwd=checkout, check=True, capture_output=True)
    (bundle,) = checkout.glob("*.fab")
    names = zipfile.ZipFile(bundle).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"pyproject.toml", "LICENSE", ".info", "fedlung", "sites", "server"}


def test_nothing_is_left_for_the_runtime_to_install() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    declared = {re.split(r"[\[<>=!~; ]", item)[0].lower() for group in groups for item in group}
    excluded = {item.lower() for item in project["tool"]["uv"]["exclude-dependencies"]}
    assert declared <= excluded


def test_constraints_pin_what_the_project_declares() -> None:
    pins = re.findall(r"^([A-Za-z0-9_-]+)\s*[=><]", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    assert {"torch", "flwr"} <= set(pins)
