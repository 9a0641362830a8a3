"""What is installed, and what travels."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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


def test_every_pin_is_what_the_project_allows_and_what_is_tested_here() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line.split("#")[0]) for line in lines if line.split("#")[0].strip()]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    allowed = {found.name: found.specifier for found in map(Requirement, itertools.chain(*groups))}
    for pin in pins:
        assert pin.specifier.contains(installed := version(pin.name)), f"{pin}, and {installed} is installed"
        assert allowed.get(pin.name, pin.specifier).contains(installed), f"{pin} is not what pyproject.toml allows"
    exact = {pin.name for pin in pins if any(part.operator == "==" for part in pin.specifier)}
    assert {"torch", "flwr"} <= exact, "these two change what a run does from one version to the next"
