"""A real series in JPEG-LS to a volume in HU, every check of ours on. pydicom decodes with pyjpegls, as we do."""

from __future__ import annotations

from collections.abc import Sequence

import inputs
import readers
from timing import begin, parser, race


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    begin(options)
    folders = inputs.real_series(options.data)[: 1 if options.quick else 2]
    if not folders:
        print(f"\nno real series at {options.data}: nothing here writes JPEG-LS, so there is nothing to read")
    for number, folder in enumerate(folders, start=1):
        title = f"series {number}: {len(list(folder.iterdir()))} JPEG-LS slices of 512 x 512 (in the page cache)"
        ways = readers.ways(folder)
        race(title, ways, base=readers.SIMPLEITK, rounds=options.rounds, target=0.55)


if __name__ == "__main__":
    main()
