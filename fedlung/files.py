"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

UNFINISHED = ".unfinished"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file, written beside and moved to ``path`` when the block ends without an error.

    A reader sees the old file or the new one, and a crash leaves no half of either. Both the bytes and the new name are
    on the disk when the block has ended.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        sync_folder(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def make_private_folder(path: Path) -> None:
    """A folder for its owner only, and so every one above it that is not there yet; what is there stays as it is."""
    if not path.is_dir():
        make_private_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Have a folder's names written to the disk: a file's own ``fsync`` does not promise its name."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, its line ends as they are, in place of whatever ``path`` held."""
    with replacing(path) as file:
        file.write(text.encode())
