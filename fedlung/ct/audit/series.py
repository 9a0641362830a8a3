"""The checks of a series as a whole, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from fedlung.ct.audit.findings import Finding
from fedlung.ct.audit.geometry import GRID_CHECKS, PLACE_CHECKS
from fedlung.ct.audit.identity import IDENTITY_CHECKS, ORDERED_CHECKS
from fedlung.ct.audit.order import ORDER_CHECKS
from fedlung.ct.audit.pixelformat import PIXEL_FORMAT_CHECKS
from fedlung.ct.audit.slices import Slices
from fedlung.ct.dicom.headers import Header
from fedlung.ct.series import Repair

# ORDER: whose it is, what the pixels are, where the slices lie, and only then what other tags say of their order. What
# is mixed is told as such before the uneven steps that it makes.
SERIES_CHECKS: tuple[Callable[[Slices], Finding | None], ...] = (
    *IDENTITY_CHECKS,
    *PIXEL_FORMAT_CHECKS,
    *PLACE_CHECKS,
    *GRID_CHECKS,
    *ORDERED_CHECKS,
    *ORDER_CHECKS,
)


def audit_series(headers: Sequence[Header], *, repair: frozenset[Repair] = frozenset()) -> Finding | None:
    """The first reason why a series cannot be trusted, if there is one that ``repair`` would not mend."""
    return next((finding for finding in _findings(headers) if finding.repair not in repair), None)


def needed_repairs(headers: Sequence[Header]) -> tuple[Repair, ...]:
    """What has to be mended in a series that passes the audit with it."""
    return tuple(finding.repair for finding in _findings(headers) if finding.repair is not None)


def _findings(headers: Sequence[Header]) -> Iterator[Finding]:
    """Findings up to the first that nothing mends: later checks rely on its absence."""
    slices = Slices(tuple(headers))
    for check in SERIES_CHECKS:
        finding = check(slices)
        if finding is not None:
            yield finding
            if finding.repair is None:
                return
