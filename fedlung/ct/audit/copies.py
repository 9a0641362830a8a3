"""Files that are byte for byte another file of the same series: one of them is enough."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence

from fedlung.ct.audit.findings import Finding
from fedlung.ct.dicom.headers import Header

COPY = Finding("DUPLICATE_COPY", "a byte for byte copy of another file of the series.", "Nothing to do.")


def without_copies(headers: Sequence[Header]) -> tuple[list[Header], list[Header]]:
    """The headers without copies, and the copies. Only files that say to be the same image are compared.

    One SOPInstanceUID with other bytes is no copy: both stay, and the series is refused.
    """
    kept: dict[tuple[str, int], list[Header]] = {}
    copies = []
    for header in headers:
        same = kept.setdefault((header.sop_uid, header.frame), [])
        if header.sop_uid and any(_is_copy(header, other) for other in same):
            copies.append(header)
        else:
            same.append(header)
    return [header for same in kept.values() for header in same], copies


def _is_copy(header: Header, other: Header) -> bool:
    if header.path == other.path or header.position_mm != other.position_mm:
        return False
    try:
        return filecmp.cmp(header.path, other.path, shallow=False)
    except OSError:
        return False
