"""Every benchmark runs: at tiny sizes, beside whichever of its peers are installed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if "def main(" in path.read_text(encoding="utf-8"))
QUICK = ["augment", "gpu", "lungs", "patches", "store"]


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scripts' folder is the first on the path, as when one is run; what was imported from it is forgotten."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in {path.stem for path in FOLDER.glob("*.py")} - before:
        sys.modules.pop(name, None)


def script(name: str) -> ModuleType:
    module = importlib.import_module(name)
    assert Path(str(module.__file__)).parent == FOLDER
    return module


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_imports_and_says_what_it_measures(benchmarks, name: str) -> None:
    assert script(name).__doc__


@pytest.mark.parametrize("name", QUICK)
def test_a_benchmark_runs_and_prints_its_machine_and_table(benchmarks, capsys, name: str) -> None:
    assert set(QUICK) <= set(SCRIPTS)
    script(name).main(["--quick", "--rounds", "1", "--threads", "1"])
    printed = capsys.readouterr().out
    assert "1 threads, Python" in printed
    assert "fedlung" in printed or "no CUDA device" in printed


def test_a_peer_that_is_not_installed_is_named_and_left_out(benchmarks, capsys) -> None:
    timing = script("timing")
    ways = [timing.Way("ours", lambda: None), timing.Way("theirs", lambda: None, ("no_such_peer",))]
    assert timing.race("a race", ways, base="theirs", rounds=1) == {}
    assert "theirs: not installed (no_such_peer)" in capsys.readouterr().out


def test_a_ratio_is_that_of_the_times(benchmarks) -> None:
    timing = script("timing")
    clock = timing.time.perf_counter

    def busy(seconds: float) -> None:
        end = clock() + seconds
        while clock() < end:
            pass

    ways = [timing.Way("ours", lambda: busy(0.005)), timing.Way("theirs", lambda: busy(0.02))]
    wall, _ = timing.race("a race", ways, base="theirs", rounds=5)["ours"]
    assert 0.15 < wall < 0.5
