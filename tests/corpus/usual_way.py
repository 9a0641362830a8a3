"""What SimpleITK's usual way makes of the corpus: ``python tests/corpus/usual_way.py [KIND ...]``.

The usual way is GetGDCMSeriesIDs, the first id, GetGDCMSeriesFileNames and ImageSeriesReader; ReadImage for a MetaImage
or NIfTI file. Each folder is read in a process of its own with limits of memory and time, since some end the process.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import SimpleITK

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from corpus.kinds import Kind, all_kinds
from corpus.phantom import AIR_HU, Points, hu_error

MEMORY_BYTES = 4 << 30
TIMEOUT_S = 20
OUTCOMES = ("right", "wrong, silent", "wrong, with a warning", "refused", "crash or limit")


@dataclass(frozen=True)
class Verdict:
    """What came of one kind: an outcome, and the largest error in HU where a volume came back."""

    outcome: str
    error_hu: float = 0.0


def usual_way(folder: Path) -> SimpleITK.Image:
    """One image from a folder, as most scripts read it."""
    others = sorted(path for end in ("mhd", "mha", "nii", "nii.gz") for path in folder.rglob(f"*.{end}"))
    ids = SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not ids and others:
        return SimpleITK.ReadImage(str(others[0]))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), ids[0]))
    return reader.Execute()


def judge(kind: Kind, folder: Path) -> Verdict:
    """The kind written and read in a process of its own."""
    kind.write(folder)
    here, there = multiprocessing.Pipe(duplex=False)
    reader = multiprocessing.get_context("fork").Process(target=_judge_there, args=(kind, folder, there))
    reader.start()
    there.close()
    try:
        return here.recv() if here.poll(TIMEOUT_S) else Verdict("crash or limit")
    except EOFError:
        return Verdict("crash or limit")
    finally:
        reader.kill()
        reader.join()


def _judge_there(kind: Kind, folder: Path, answer: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    # As in a fresh process, whatever the one that this is a copy of has switched.
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(True)
    faulthandler.disable()
    warned = folder.parent / "stderr"
    os.dup2(os.open(warned, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 2)
    try:
        image = usual_way(folder)
    except (RuntimeError, TypeError, IndexError, UnicodeError):
        answer.send(Verdict("refused"))
        return
    error = _error_hu(kind, image)
    silence = "wrong, with a warning" if b"WARNING" in warned.read_bytes() else "wrong, silent"
    answer.send(Verdict("right" if error <= kind.expected.tolerance_hu + 1e-3 else silence, error))


def _error_hu(kind: Kind, image: SimpleITK.Image) -> float:
    """Infinite where the image is no volume of numbers. An axis of time with one step is forgiven."""
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    voxels_DHW = SimpleITK.GetArrayFromImage(image).astype(np.float64)
    if voxels_DHW.ndim != 3:
        return np.inf
    error = hu_error(np.maximum(voxels_DHW, AIR_HU), _world(image), kind.hu)
    return error if np.isfinite(error) else np.inf


def _world(image: SimpleITK.Image) -> Callable[[Points], Points]:
    matrix_33 = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    return lambda index_N3: index_N3[:, ::-1] @ matrix_33.T + image.GetOrigin()


def judge_all(names: Sequence[str] = ()) -> dict[str, Verdict]:
    """Every kind's verdict (of these, where any is named)."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            name: judge(kind, Path(folder, str(number), "scan"))
            for number, (name, kind) in enumerate(all_kinds().items())
            if not names or name in names
        }


def table(verdicts: dict[str, Verdict]) -> str:
    """Outcomes by family, and which kinds were silently wrong."""
    kinds, lines = all_kinds(), [" | ".join(("family", *OUTCOMES))]
    families = dict.fromkeys(kinds[name].family for name in verdicts)
    for family in (*families, ""):
        found = Counter(verdict.outcome for name, verdict in verdicts.items() if family in ("", kinds[name].family))
        lines.append(" | ".join((family or "all", *(str(found[outcome]) for outcome in OUTCOMES))))
    wrong = (name for name, verdict in verdicts.items() if verdict.outcome == "wrong, silent")
    return "\n".join([*lines, "", "silently wrong: " + ", ".join(wrong)])


if __name__ == "__main__":
    sys.stdout.write(table(judge_all(sys.argv[1:])) + "\n")
