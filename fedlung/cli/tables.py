"""What the verbs print as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from fedlung.ct.series import LeftOut

if TYPE_CHECKING:
    import pandas as pd

    from fedlung.hospital.data import Holdings


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


def holdings_table(holdings: Holdings) -> Table:
    """What became of a site's series, by reason, and what to do. Without names: those are in left-out.csv."""
    table = Table("", "number", "what to do", title="A site's series")
    table.add_row("declared", str(holdings.num_declared), "")
    table.add_row("readable", str(holdings.num_readable), "")
    table.add_row("prepared", str(holdings.num_prepared), "", style="bold")
    parts = (("left out", holdings.left_out), ("files that are no slices", holdings.ignored_files))
    for name, reasons in (*parts, ("kept, with a remark", holdings.remarks)):
        for code, number in sorted(reasons.items()):
            table.add_row(f"{name}: {code}", str(number), holdings.remedies.get(code, ""))
    if holdings.remedies:
        table.caption = "which ones: left-out.csv in the store folder, for the site's own user"
    return table


def unused_stores_text(unused: Sequence[tuple[Path, int]]) -> str:
    """Stores that nothing needs as the settings are now; whoever is sure of it may delete them."""
    rows = "".join(f"\n  {folder}  {num_bytes / 1e6:.1f} MB" for folder, num_bytes in unused)
    return f"Stores of other settings or of an older fedlung, not used here; delete what is not needed:{rows}"
