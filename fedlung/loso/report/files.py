"""Writing the page and the table of a leave-one-site-out run beside its loso.json."""

from __future__ import annotations

from pathlib import Path

from fedlung.files import replace_text
from fedlung.loso.record import LosoResults
from fedlung.loso.report.table import csv_text

CSV_FILE, HTML_FILE = "loso.csv", "loso.html"


def render(run: Path, results: LosoResults) -> Path:
    """Writes loso.csv and loso.html into the run's folder, in place of older ones; gives the page's path."""
    from fedlung.loso.report.html import page  # matplotlib is loaded for a page, and not for the terminal's table

    replace_text(run / CSV_FILE, csv_text(results))
    replace_text(run / HTML_FILE, page(results))
    return run / HTML_FILE
