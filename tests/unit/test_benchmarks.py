"""Every benchmark runs: at tiny sizes, beside whichever of its peers are installed."""

from __future__ import annotations

import gc
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if "def main(" in path.read_text(encoding="utf-8"))
QUICK = ["augment", "gpu", "lungs", "patches", "store"]


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scripts' folder is the first on the path, as when one is run; what was imported from it is forgotten."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    gc.freeze()  # a race collects garbage before every run, and has no need to walk through all that the tests hold
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


def test_without_a_gpu_the_gpus_table_runs_on_the_cpu_and_equals_it(benchmarks, capsys) -> None:
    script("gpu").main(["--quick", "--rounds", "1", "--threads", "1", "--device", "cpu"])
    printed = capsys.readouterr().out
    assert printed.count("at most 0.00000 HU apart") == 2
    assert "lung mask: intersection over union 1.000000" in printed
    assert all(
        f"{job}\n" in printed for job in ("lung mask; MONAI has none", "4 cubes of 16 along each edge, augmented")
    )
    assert "a decoded series to a case at 1.25 mm" in printed


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux to see a process's memory")
def test_the_memory_of_a_tree_counts_the_children_of_children(benchmarks) -> None:
    memory, timing = script("prepare_memory"), script("timing")
    hold = "import sys; kept = b'x' * (60 << 20); print('ready', flush=True); sys.stdin.read()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        (child,) = timing.living_descendants(process.pid)
        own, grown = memory.proportional_gb(process.pid), memory.proportional_gb(child)
        process.communicate()
    assert own < 0.06 <= grown < 0.12
    assert memory.proportional_gb(process.pid) == 0.0
    assert list(timing.living_descendants(process.pid)) == []


def test_a_peer_that_is_not_installed_is_named_and_left_out(benchmarks, capsys) -> None:
    timing = script("timing")
    ways = [timing.Way("ours", lambda: None), timing.Way("theirs", lambda: None, ("no_such_peer",))]
    assert timing.race("a race", ways, base="theirs", rounds=1) == {}
    assert "theirs: not installed (no_such_peer)" in capsys.readouterr().out


def test_a_ratio_is_that_of_the_times(benchmarks, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock of the test's own, for a busy machine would stretch one way's time and not the other's."""
    timing, now_s = script("timing"), [0.0]

    def busy(seconds: float) -> None:
        now_s[0] += seconds

    clock = SimpleNamespace(perf_counter=lambda: now_s[0], process_time=lambda: now_s[0] / 2)
    monkeypatch.setattr(timing, "time", clock)
    monkeypatch.setattr(timing, "cpu_seconds", clock.process_time)
    ways = [timing.Way("ours", lambda: busy(0.005)), timing.Way("theirs", lambda: busy(0.02))]
    assert timing.race("a race", ways, base="theirs", rounds=5)["ours"] == pytest.approx((0.25, 0.25))
