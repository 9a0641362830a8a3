"""Numbers as words, and the rows that sentences are made of."""

from __future__ import annotations

from collections.abc import Sequence

from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.report.words import UNDEFINED
from fedlung.loso.record import LosoResults, Row, Table


def auc_rows(results: LosoResults) -> Sequence[Row]:
    return results.tables["auc"].rows


def reference_row(results: LosoResults) -> Row:
    """The reference's row in AUC."""
    return row_named(results.reference, results.tables["auc"])


def row_named(name: str, table: Table) -> Row:
    """The row of that name."""
    return next(row for row in table.rows if row.name == name)


def leaves_out(value: float, found: Estimate) -> bool:
    """Whether there is an interval, and the value is not in it."""
    return found.low is not None and found.high is not None and not found.low <= value <= found.high


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def says(found: Estimate) -> str:
    if found.value is None:
        return UNDEFINED
    interval = "" if found.low is None else f" [{found.low:.3f}, {found.high:.3f}]"
    return f"{found.value:.3f}{interval}"


def signed(found: Estimate) -> str:
    interval = "" if found.low is None else f" [{found.low:+.3f}, {found.high:+.3f}]"
    return f"{found.value:+.3f}{interval}"
