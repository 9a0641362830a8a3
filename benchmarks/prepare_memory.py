"""Peak memory of preparing 1 and 20 series of 200 slices: it does not grow with their number, and stays below 2 GB."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import inputs
from timing import begin, parser

TARGET_GB = 2.0


def peak_gb(dicom: Path, store_folder: Path, num: int) -> float:
    """Of a process that prepares ``num`` of the series and does nothing else; with the library itself."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_prepared, (dicom, store_folder, num))


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
            inputs.write_dicom(dicom / str(number), replace(volume, series_uid=uid(number)))
        print(f"\n{num} series of {volume.voxels_DHW.shape}, {volume.voxels_DHW.nbytes / 1e6:.0f} MB each")
        for count in (1, num):
            gb = peak_gb(dicom, Path(temporary, f"store{count}"), count)
            print(f"  {count:3} prepared: peak {gb:.2f} GB")
    print(f"  target: below {TARGET_GB} GB")


if __name__ == "__main__":
    main()
