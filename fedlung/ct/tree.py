"""The files below a folder, each once, and the table of those that are left out."""

from __future__ import annotations

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fedlung.ct.audit import Finding
from fedlung.ct.series import LeftOut

NOT_A_FILE = Finding("NOT_A_FILE", "a pipe, a socket or a device.", "Nothing to do.")
BROKEN_LINK = Finding("NOT_A_FILE", "a broken link.", "Restore the file that it names, if that is a slice.")
SAME_FILE = Finding("DUPLICATE_COPY", "another name or link of a file that was looked at.", "Nothing to do.")
LINK_OUTSIDE = Finding(
    "LINK_OUTSIDE",
    "a link to a folder outside this one.",
    "Name that folder itself, if its scans are meant to be used.",
)
UNREADABLE = Finding("UNREADABLE", "it cannot be opened.", "Give the site's user the right to read it.")


@dataclass
class Tally:
    """Files that are left out, counted by folder and reason.

    lost  folder -> files in it that may be slices and tell not whose: an end of any series there may be among them
    """

    counts: dict[tuple[str, Finding], list[str]] = field(default_factory=lambda: defaultdict(list))
    lost: Counter[str] = field(default_factory=Counter)

    def add(self, path: Path, finding: Finding) -> None:
        """One more file."""
        self.counts[printable(path.parent), finding].append(printable(path.name))

    def add_lost(self, path: Path, finding: Finding) -> None:
        """One more file, which may be a slice."""
        self.add(path, finding)
        self.lost[printable(path.parent)] += 1

    def num_lost(self, folders: Collection[Path]) -> int:
        """Files in these folders that may be slices."""
        return sum(self.lost[printable(folder)] for folder in folders) if self.lost else 0

    def rows(self) -> list[LeftOut]:
        """A row for each folder and reason, with the name of the first file."""
        return [
            LeftOut(folder, finding.code, f"{names[0]}: {finding.sentence}", finding.remedy, len(names), False)
            for (folder, finding), names in sorted(self.counts.items(), key=lambda item: (item[0][0], item[0][1].code))
        ]


def regular_files(folder: Path, left_out: Tally) -> Iterator[Path]:
    """Every regular file below a folder, in the order of names; the folder may be a link itself.

    Links to files are followed. Links to folders are not: what lies inside is met by itself, and one of the site's
    links may lead to the whole disk. A folder that is met again is passed over, a file by another name is a row: each
    has been looked at.
    """
    seen: set[tuple[int, int]] = set()
    root = folder.resolve()
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            status = path.stat()
            is_folder = stat.S_ISDIR(status.st_mode)
            if is_folder and path is not folder and path.is_symlink():
                if not path.resolve().is_relative_to(root):
                    left_out.add(path, LINK_OUTSIDE)
                continue
            # By names: to compare two paths takes ten times as long.
            children = sorted(path.iterdir(), key=lambda child: child.name, reverse=True) if is_folder else []
        except OSError as error:
            left_out.add_lost(path, UNREADABLE if isinstance(error, PermissionError) else BROKEN_LINK)
            continue
        if (status.st_dev, status.st_ino) in seen:
            if not is_folder:
                left_out.add(path, SAME_FILE)
            continue
        seen.add((status.st_dev, status.st_ino))
        waiting.extend(children)
        if stat.S_ISREG(status.st_mode):
            yield path
        elif not is_folder:
            left_out.add(path, NOT_A_FILE)


def printable(path: Path | str) -> str:
    """A path as text that any log can take, also where its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
