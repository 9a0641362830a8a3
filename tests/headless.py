"""A page in a real browser, for tests: what it looks like, and what the browser says of it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import matplotlib.image
import numpy as np
import numpy.typing as npt
import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Without its sandbox, for tests may run in a container that forbids one; the pages are our own and load nothing.
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr")


@dataclass(frozen=True)
class Seen:
    """``pixels_HWC``: red, green, blue in [0, 1]. ``said``: lines of the page's console, as of a refused style."""

    pixels_HWC: npt.NDArray[np.float32]
    said: tuple[str, ...]


def look_at(page: Path, folder: Path, *, width: int, height: int) -> Seen:
    """Open a page in a window of so many pixels. Skips the test where no browser is installed."""
    picture = folder / f"{page.stem}-{width}.png"
    size, shot = f"--window-size={width},{height}", f"--screenshot={picture}"
    done = _run(page, folder, size, shot)
    said = tuple(line for line in done.stderr.splitlines() if ":CONSOLE" in line)
    return Seen(matplotlib.image.imread(picture)[..., :3], said)


def print_out(page: Path, folder: Path) -> bytes:
    """The page as a PDF, as the browser prints it."""
    paper = folder / f"{page.stem}.pdf"
    _run(page, folder, f"--print-to-pdf={paper}")
    return paper.read_bytes()


def _run(page: Path, folder: Path, *what: str) -> subprocess.CompletedProcess[str]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser ({', '.join(BROWSERS)}) is installed")
    command = [found, *OPTIONS, f"--user-data-dir={folder / 'profile'}", *what, page.resolve().as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
