"""The run's page in a real browser: its style is allowed, nothing is refused, nothing runs over its edge, it prints."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from headless import look_at, print_out

BANNER, PAPER = (0xFF, 0xCF, 0x33), (0xFF, 0xFF, 0xFF)
WIDTH = 1280


@pytest.fixture
def file(text: str, tmp_path: Path) -> Path:
    """The page on the disk."""
    path = tmp_path / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_browser_shows_the_page_as_it_is_meant(file: Path, tmp_path: Path) -> None:
    seen = look_at(file, tmp_path, width=WIDTH, height=1600)
    assert seen.said == ()
    pixels_HWC = np.rint(seen.pixels_HWC * 255).astype(int)
    assert pixels_HWC.shape[1] == WIDTH
    assert tuple(pixels_HWC[3, 5]) == BANNER, "the style sheet was applied"
    below_H = slice(-200, None)
    edge = pixels_HWC[below_H, 1]
    assert (edge == edge[0]).all() and (pixels_HWC[below_H, -2] == edge[0]).all(), "nothing runs over the page's edge"
    assert (pixels_HWC == PAPER).all(axis=2).mean() > 0.4


def test_its_pictures_are_drawn(file: Path, tmp_path: Path) -> None:
    """The page as it is against the same page without a source in its images."""
    drawn = look_at(file, tmp_path, width=WIDTH, height=4000).pixels_HWC
    bare = tmp_path / "bare.html"
    bare.write_text(re.sub(r'src="data:[^"]*"', 'src=""', file.read_text(encoding="utf-8")), encoding="utf-8")
    blank = look_at(bare, tmp_path, width=WIDTH, height=4000).pixels_HWC
    assert (np.abs(drawn - blank).max(axis=2) > 0.1).sum() > 2000


def test_it_prints(file: Path, tmp_path: Path) -> None:
    boxes = re.findall(rb"/MediaBox \[0 0 [\d.]+ [\d.]+\]", print_out(file, tmp_path))
    assert 3 <= len(boxes) <= 20
