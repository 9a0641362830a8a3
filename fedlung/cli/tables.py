"""What the verbs print as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
from rich.table import Table

from fedlung.ct.series import LeftOut


def partition_table(partitioned: pd.DataFrame, moved: pd.DataFrame) -> Table:
    """Sites with their series and patients, and the patients who went whole to one of several sites."""
    table = Table("site", "series", "patients", title="Sites, by patient")
    for name, rows in partitioned.groupby("site"):
        table.add_row(str(name), str(len(rows)), str(rows["patient_id"].nunique()))
    num_moved = moved["patient_id"].nunique()
    table.caption = f"{num_moved} patient{'s' * (num_moved != 1)} of several sites went whole to one"
    return table


def left_out_table(left_out: Sequence[LeftOut]) -> Table:
    """Reasons with how often and for how many files they were given, and what to do; of no files where one is a
    remark on a series that is used."""
    table = Table("reason", "series or folders", "files", "what to do", title="Left out, and remarks")
    files: Counter[str] = Counter()
    for row in left_out:
        files[row.code] += row.num_files
    times = Counter(row.code for row in left_out)
    remedies = {row.code: row.remedy for row in left_out}
    for code, num_files in files.most_common():
        table.add_row(code, str(times[code]), str(num_files), remedies[code])
    if not left_out:
        table.caption = "nothing"
    return table
