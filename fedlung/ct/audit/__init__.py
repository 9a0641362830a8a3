"""Whether a series can be trusted: tables of small checks on headers and on pixels, each with a stable code.

files     a file by itself: whatever is no slice of a scan is left out alone
series    a series as a whole: a scan with a doubtful slice is doubtful, and left out whole
content   the pixels, slice by slice while they are read
"""

from fedlung.ct.audit.copies import COPY, without_copies
from fedlung.ct.audit.files import audit_file
from fedlung.ct.audit.findings import Finding
from fedlung.ct.audit.geometry import GRID_TOLERANCE_STEPS
from fedlung.ct.audit.series import audit_series, needed_repairs
from fedlung.ct.audit.slices import Slices
from fedlung.ct.audit.warn import warnings_of

__all__ = [
    "COPY",
    "GRID_TOLERANCE_STEPS",
    "Finding",
    "Slices",
    "audit_file",
    "audit_series",
    "needed_repairs",
    "warnings_of",
    "without_copies",
]
