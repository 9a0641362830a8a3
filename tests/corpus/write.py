"""Write the corpus to disk for any other reader: ``python tests/corpus/write.py OUT``.

OUT gets a folder for each kind and ``index.json`` with its family, story and expectation.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from corpus.kinds import Kind, all_kinds


def entry(kind: Kind) -> dict[str, Any]:
    """What ``index.json`` says of a kind."""
    expected = asdict(kind.expected)
    expected["codes"] = sorted(kind.expected.codes)
    expected["outcome"] = "refused" if kind.expected.codes else "read" if kind.expected.volumes else "no series"
    return {"family": kind.family, "story": kind.story, "folder": f"{kind.family}/{kind.name}", "expected": expected}


def write_corpus(out: Path, names: list[str]) -> Path:
    """The folders of these kinds (all where none is named) and their index."""
    kinds = {name: kind for name, kind in all_kinds().items() if not names or name in names}
    for kind in kinds.values():
        kind.write(out / kind.family / kind.name)
    index = out / "index.json"
    index.write_text(json.dumps({name: entry(kind) for name, kind in kinds.items()}, indent=1), encoding="utf-8")
    return index


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write the corpus of rare and malformed CT, with an index.")
    parser.add_argument("out", type=Path, help="a folder that is new or empty")
    parser.add_argument("names", nargs="*", help="kinds to write; all where none is named")
    asked = parser.parse_args()
    if asked.out.exists() and any(asked.out.iterdir()):
        parser.error(f"{asked.out} is not empty")
    index = write_corpus(asked.out, asked.names)
    sys.stdout.write(f"{len(json.loads(index.read_text(encoding='utf-8')))} kinds: {index}\n")


if __name__ == "__main__":
    main()
