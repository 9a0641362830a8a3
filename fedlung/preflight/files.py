"""A check as files: the page and the site's own table, which stay, and the counts, which may leave."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from fedlung.files import replacing
from fedlung.preflight.findings import SiteCheck
from fedlung.preflight.html import page
from fedlung.preflight.public import public_report

OWNER_ONLY = 0o600
TABLE_SUFFIX = ".series.csv"
COLUMNS = ("number", "series_uid", "folder", "level", "code", "sentence", "remedy", "own_words")


def write_page(check: SiteCheck, path: Path) -> Path:
    """Write the page, and beside it the table that says which series a number is; gives the table's path.

    Both are the owner's only: one has pictures of patients, the other names.
    """
    table = path.with_suffix(TABLE_SUFFIX)
    _write(path, page(check))
    write_table(check, table)
    return table


def write_table(check: SiteCheck, path: Path) -> None:
    """Write the site's own table, which says which series a number is. The owner's only: it has names."""
    _write(path, _table(check))


def write_public(check: SiteCheck, path: Path) -> None:
    """Write the counts that may leave the site."""
    with replacing(path) as file:
        file.write((public_report(check).model_dump_json(indent=2) + "\n").encode())


def _table(check: SiteCheck) -> str:
    """A line for each finding of each series, one for a series without any, and one for each kind of other file."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for one in check.series:
        for finding in one.findings or (None,):
            said = (finding.code, finding.sentence, finding.remedy) if finding else ("", "", "")
            level = finding.level if finding else one.level
            rows.writerow([one.number, one.series_uid, one.folder, level, *said, one.own_words])
    for row in check.left_out:
        rows.writerow(
            [
                "",
                "",
                row.what,
                "",
                row.code,
                row.sentence,
                row.remedy,
                f"{row.num_files} file{'s' * (row.num_files != 1)}",
            ]
        )
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        Path(file.name).chmod(OWNER_ONLY)  # still empty
        file.write(text.encode(errors="backslashreplace"))
