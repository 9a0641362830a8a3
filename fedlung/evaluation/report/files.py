"""Writing a run's report from its lines. Nothing is trained or scored again."""

from __future__ import annotations

from pathlib import Path

from fedlung.evaluation.judgement import Judgement
from fedlung.evaluation.report.table import csv_text
from fedlung.evaluation.runrecord import load_run
from fedlung.files import replace_text

JSON_FILE, CSV_FILE, HTML_FILE = "report.json", "report.csv", "report.html"


def load_judgement(run_folder: Path) -> Judgement:
    """What a run was judged to have shown. Raises RunError for a folder without a judgement."""
    return load_run(run_folder).judgement


def render_report(run_folder: Path) -> Path:
    """Writes report.json, report.csv and report.html from the run's lines; gives the page's path.

    Raises RunError for a folder without a judgement; a report that was there before is replaced.
    """
    from fedlung.evaluation.report.html import page  # matplotlib is loaded for a page, and not for the terminal's table

    judgement = load_judgement(run_folder)
    replace_text(run_folder / JSON_FILE, judgement.model_dump_json(indent=2) + "\n")
    replace_text(run_folder / CSV_FILE, csv_text(judgement))
    replace_text(run_folder / HTML_FILE, page(judgement))
    return run_folder / HTML_FILE
