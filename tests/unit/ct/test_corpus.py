"""The referee: every kind of the corpus is read right, refused or counted, as its own expectation says.

Three promises hold for each, whatever is expected: a volume that comes back is right in every voxel, nothing but our
own errors is raised, and no file is lost without a row.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from corpus.kinds import Kind, all_kinds
from corpus.phantom import AIR_HU, hu_error, hu_errors
from corpus.scan import COLUMNS, ROWS

from fedlung.ct import LeftOut, Series, Volume, find_series, read_series
from fedlung.ct.series import Repair
from fedlung.errors import SeriesError

KINDS = all_kinds()
# Stored values are rounded to whole steps, so a voxel may be off by exactly half of one.
ROUNDING_HU = 1e-3
BOMBS = [name for name in KINDS if any(word in name for word in ("bomb", "giant", "billion", "thousand", "four-gig"))]
MAX_GROWTH_MB = 200


@dataclass
class Outcome:
    """What our reader makes of a folder."""

    series: list[Series]
    left_out: list[LeftOut]
    volumes: list[Volume]
    refusals: list[str]


def outcome(folder: Path, repair: frozenset[Repair] = frozenset()) -> Outcome:
    """Find and read everything; only SeriesError passes for a refusal."""
    series, left_out = find_series(folder, repair=repair)
    made = Outcome(series, left_out, [], [row.code for row in left_out if row.is_series])
    for one in series:
        try:
            made.volumes.append(read_series(one))
        except SeriesError as error:
            made.refusals.append(error.code)
    return made


def num_entries(folder: Path) -> int:
    """Files below a folder, each of their names; a link to nowhere counts, one to a folder does not."""
    return sum(
        len(files) + sum(_is_no_folder(root, name) for name in folders) for root, folders, files in os.walk(folder)
    )


def _is_no_folder(root: str, name: str) -> bool:
    try:
        return not stat.S_ISDIR(Path(root, name).stat().st_mode)
    except OSError:
        return True


def num_accounted(made: Outcome) -> int:
    """Files that are in a series or in a row."""
    in_series = {path.resolve() for one in made.series for path in one.files}
    return len(in_series) + sum(row.num_files for row in made.left_out)


def error_hu(kind: Kind, volume: Volume) -> float:
    assert np.isfinite(volume.voxels_DHW).all()
    return hu_error(volume.voxels_DHW, volume.index_to_world, kind.hu)


@pytest.mark.parametrize("name", KINDS)
def test_the_corpus_is_read_right_or_refused_by_name(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    if not kind.as_root and os.geteuid() == 0:
        pytest.skip("root may read everything")
    folder = tmp_path / "scan"
    kind.write(folder)
    made = outcome(folder)

    silently_wrong = [error for volume in made.volumes if (error := error_hu(kind, volume)) > _tolerance_hu(kind)]
    assert not silently_wrong, f"a volume is wrong by up to {max(silently_wrong):.1f} HU"
    assert num_accounted(made) == num_entries(folder), "a file was lost without a row"

    expected = kind.expected
    assert [len(volume.voxels_DHW) for volume in made.volumes] == list(expected.volumes), made.refusals
    assert set(made.refusals) <= expected.codes
    assert bool(made.refusals) == bool(expected.codes)
    beside = Counter[str]()
    for row in made.left_out:
        beside[row.code] += 0 if row.is_series else row.num_files
    assert dict(+beside) == dict(expected.beside)
    assert all(row.sentence and row.remedy for row in made.left_out)


def _tolerance_hu(kind: Kind) -> float:
    return kind.expected.tolerance_hu + ROUNDING_HU


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.expected.repair])
def test_a_repair_that_was_asked_for_is_right_and_told(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    kind.write(tmp_path)
    repair: Repair = kind.expected.repair  # type: ignore[assignment]
    made = outcome(tmp_path, frozenset({repair}))
    (volume,) = made.volumes
    assert volume.repairs == (repair,)
    assert volume.warnings
    # Where slices were shifted, the grid has corners that none of them covers; they are air, which no true voxel is.
    measured_DHW = volume.voxels_DHW > AIR_HU
    assert measured_DHW.sum() > 0.95 * 16 * ROWS * COLUMNS
    errors_DHW = hu_errors(volume.voxels_DHW, volume.index_to_world, kind.hu)
    assert errors_DHW[measured_DHW].max() <= _tolerance_hu(kind)
    assert num_accounted(made) == num_entries(tmp_path)


# ru_maxrss remembers the imports' own peak; the kernel's high-water mark can be set back before the bombs.
_MEASURE = """
import os, resource, sys
from pathlib import Path
from fedlung.ct import find_series, read_series
from fedlung.errors import SeriesError
def status_mb(pid, key):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024
def workers(pid):
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from (child, *workers(child))
here = os.getpid()
Path(f"/proc/{here}/clear_refs").write_text("5")
before_mb = status_mb(here, "VmRSS")
for folder in Path(sys.argv[1]).iterdir():
    for one in find_series(folder)[0]:
        try: read_series(one)
        except SeriesError: pass
ended_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
alive_mb = [status_mb(pid, "VmHWM") for pid in workers(here)]
print(status_mb(here, "VmHWM") - before_mb, max(ended_mb, *alive_mb, 0.0))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux to set back a peak of memory")
def test_bombs_cost_little_memory_here_and_in_the_decoders(tmp_path: Path) -> None:
    for name in BOMBS:
        KINDS[name].write(tmp_path / name)
    command = [sys.executable, "-c", _MEASURE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    growth_mb, decoder_peak_mb = map(float, done.stdout.split())
    assert growth_mb < MAX_GROWTH_MB
    assert decoder_peak_mb < MAX_GROWTH_MB


def test_the_corpus_holds_every_family_and_tells_each_story() -> None:
    assert len(KINDS) > 400
    assert all(kind.story.endswith((".", "!")) for kind in KINDS.values())
    assert len(BOMBS) >= 10
