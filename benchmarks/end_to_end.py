"""A folder of DICOM to a stored case: ours with every check, the lung mask and a store that survives a crash."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import inputs
import numpy as np
import torch
from timing import Way, begin, parser, race

from fedlung.config import PrepareConfig
from fedlung.ct.annotations import AnnotationSource
from fedlung.preprocess import CaseStore, prepare_series, store_fingerprint

CFG = PrepareConfig()
MONAI = "MONAI, ITKReader"


def by_fedlung(dicom: Path, folder: Path, secret: bytes | None = None) -> None:
    store = CaseStore.open(folder, store_fingerprint(CFG), secret=secret)
    none = AnnotationSource({})
    ledger = prepare_series(dicom, none, CFG, store, site_key=b"key", device=torch.device("cpu"))
    assert ledger.num_prepared == 1, ledger.left_out


def by_monai(dicom: Path, folder: Path, reader: str) -> None:
    """The same job with the usual transforms: read, orient, to the same spacing, window, the foreground, a file."""
    from monai.transforms import (
        Compose,
        CropForeground,
        EnsureChannelFirst,
        LoadImage,
        Orientation,
        ScaleIntensityRange,
        Spacing,
    )

    steps = [
        LoadImage(reader=reader, image_only=True),
        EnsureChannelFirst(),
        Orientation("LPS", labels=(("R", "L"), ("A", "P"), ("I", "S"))),
        Spacing((CFG.spacing_mm,) * 3, mode="bilinear"),
        ScaleIntensityRange(CFG.hu_min, CFG.hu_max, 0.0, 1.0, clip=True),
        CropForeground(select_fn=lambda x: x > 0.1, allow_smaller=True),
    ]
    folder.mkdir()
    np.save(folder / "case.npy", np.asarray(Compose(steps)(str(dicom))))


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    begin(options)
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary, "out")
        synthetic = Path(temporary, "dicom")
        inputs.write_dicom(synthetic, inputs.chest(quick=options.quick))
        real = [] if options.quick else inputs.real_series(options.data)[:1]
        for name, dicom in [("synthetic, uncompressed", synthetic), *(("real, JPEG-LS", folder) for folder in real)]:

            def fresh() -> None:
                shutil.rmtree(out, ignore_errors=True)

            ways = [
                Way("fedlung prepare_series", partial(by_fedlung, dicom, out), before=fresh),
                Way("fedlung, encrypted store", partial(by_fedlung, dicom, out, b"secret"), before=fresh),
                Way(MONAI, partial(by_monai, dicom, out, "ITKReader"), ("monai", "itk"), before=fresh),
            ]
            if dicom == synthetic:
                pydicom_way = partial(by_monai, dicom, out, "PydicomReader")
                ways.append(Way("MONAI, PydicomReader", pydicom_way, ("monai",), before=fresh))
            title = f"{name}: {len(list(dicom.iterdir()))} files to a case at {CFG.spacing_mm} mm"
            race(title, ways, base=MONAI, rounds=min(options.rounds, 7), target=0.2)


if __name__ == "__main__":
    main()
