"""The page in a real browser: its style is allowed, nothing is refused, nothing runs over its edge, and it prints."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from headless import look_at, print_out

from fedlung.loso.record import LosoResults
from fedlung.loso.report import render

BANNER, PAPER, TINT = (0xFF, 0xCF, 0x33), (0xFF, 0xFF, 0xFF), (0xF4, 0xF6, 0xF9)


def test_a_browser_shows_the_page_as_it_is_meant(tmp_path: Path, results: LosoResults) -> None:
    seen = look_at(render(tmp_path, results), tmp_path, width=1280, height=1600)
    assert seen.said == ()
    pixels_HWC = np.rint(seen.pixels_HWC * 255).astype(int)
    assert tuple(pixels_HWC[3, 5]) == BANNER, "the style sheet was applied"
    assert tuple(pixels_HWC[-5, 3]) == TINT and tuple(pixels_HWC[-5, -3]) == TINT, "nothing runs over the page's edge"
    assert (pixels_HWC == PAPER).all(axis=2).mean() > 0.5


def test_a_style_that_is_not_the_pages_own_would_be_refused(tmp_path: Path, results: LosoResults) -> None:
    page = render(tmp_path, results)
    page.write_text(
        page.read_text(encoding="utf-8").replace("<style>", "<style>body { color: red; } "), encoding="utf-8"
    )
    seen = look_at(page, tmp_path, width=400, height=300)
    assert any("Content Security Policy" in line for line in seen.said)


def test_it_prints_on_a_few_sheets_on_their_side(tmp_path: Path, make_results: Callable[..., LosoResults]) -> None:
    paper = print_out(render(tmp_path, make_results()), tmp_path)
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", paper)
    assert 3 <= len(boxes) <= 12
    assert all(float(width) > float(height) for width, height in boxes)
