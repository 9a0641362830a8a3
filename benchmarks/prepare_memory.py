"""Peak memory of preparing 1 and 20 series of 200 slices: it does not grow with their number, and stays below 2 GB.

The series are JPEG-LS, so that decoders work. Counted is the whole tree: the preparing process by its high-water mark
of resident memory, and with it the most that its children held at any one time, whether at that moment or not. Children
count on Linux alone, looked at every 20 ms, each with its proportional set: what several processes map counts once.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import inputs
from timing import begin, living_descendants, parser

TARGET_GB = 2.0
EVERY_S = 0.02
HAS_PROPORTIONAL = Path("/proc/self/smaps_rollup").exists()


class Peak(NamedTuple):
    """In GB: of the preparing process, and of all its children together; the most children at a time."""

    preparing: float
    children: float
    num_children: int


def peak(dicom: Path, store_folder: Path, num: int) -> Peak:
    """Of a process that prepares ``num`` of the series and does nothing else; with the library itself."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pid = pool.submit(os.getpid).result()
        work = pool.submit(_prepared, dicom, store_folder, num)
        held, most = 0.0, 0
        while not work.done():
            children = _descendants(pid)
            held, most = max(held, sum(map(proportional_gb, children))), max(most, len(children))
            time.sleep(EVERY_S)
        return Peak(work.result(), held, most)


def proportional_gb(pid: int) -> float:
    """What a process holds, shared pages by their share; 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e9


def _descendants(pid: int) -> list[int]:
    try:
        return list(living_descendants(pid))
    except OSError:  # one of them ended meanwhile
        return []


def _prepared(dicom: Path, store_folder: Path, num: int) -> float:
    import torch

    from fedlung.config import PrepareConfig
    from fedlung.ct.annotations import AnnotationSource
    from fedlung.preprocess import CaseStore, prepare_series, store_fingerprint

    cfg, none = PrepareConfig(), AnnotationSource({})
    store = CaseStore.open(store_folder, store_fingerprint(cfg))
    chosen = frozenset(uid(number) for number in range(num))
    ledger = prepare_series(dicom, none, cfg, store, site_key=b"key", device=torch.device("cpu"), select=chosen)
    assert ledger.num_prepared == num, ledger.left_out
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def uid(number: int) -> str:
    return f"1.2.826.0.1.7.{number + 1}"


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    begin(options)
    num, shape = (2, None) if options.quick else (20, (200, 512, 512))
    volume = inputs.chest(quick=options.quick, shape_DHW=shape)
    with tempfile.TemporaryDirectory() as temporary:
        dicom = Path(temporary, "dicom")
        dicom.mkdir()
        for number in range(num):
            inputs.write_dicom(dicom / str(number), replace(volume, series_uid=uid(number)), jpegls=True)
        print(f"\n{num} series of {volume.voxels_DHW.shape}, {volume.voxels_DHW.nbytes / 1e6:.0f} MB each, JPEG-LS")
        for count in (1, num):
            found = peak(dicom, Path(temporary, f"store{count}"), count)
            decoders = f"{found.num_children} children {found.children:.2f}" if HAS_PROPORTIONAL else "no child counted"
            together = f"peak {found.preparing + found.children:.2f} GB"
            print(f"  {count:3} prepared: {together} (the preparing process {found.preparing:.2f}, {decoders})")
    print(f"  target: below {TARGET_GB} GB")


if __name__ == "__main__":
    main()
