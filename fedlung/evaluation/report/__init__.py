"""A run folder's report: report.json, report.csv, report.html, and the table on the terminal."""

from fedlung.evaluation.report.console import console_table
from fedlung.evaluation.report.files import load_judgement, render_report

__all__ = ["console_table", "load_judgement", "render_report"]
