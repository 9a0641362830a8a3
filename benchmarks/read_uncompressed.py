"""A folder of 130 uncompressed slices to a volume in HU, every check of ours on."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import inputs
import readers
from timing import begin, parser, race


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    begin(options)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "series")
        volume = inputs.chest(quick=options.quick)
        inputs.write_dicom(folder, volume)
        title = f"{len(volume.voxels_DHW)} uncompressed slices of {volume.voxels_DHW.shape[1:]} (in the page cache)"
        race(title, readers.ways(folder), base=readers.SIMPLEITK, rounds=options.rounds, target=0.30)


if __name__ == "__main__":
    main()
