"""Makers of scanners and reconstruction kernels that are known by name.

Both tags are free text, so whatever is not known here may also be a person's name.
"""

from __future__ import annotations

import re

KERNEL_CLASSES = ("smooth", "sharp", "unknown")
OTHER = "other"

# By vendor: GE's names, Siemens' letters with a number, Toshiba's FC numbers, Philips' letters.
_SMOOTH = r"STANDARD|STND|SOFT|DETAIL|CHST|[BIQ][rv]?[1-4]\d[a-z]?(\\\d)?|FC[0-3]\d(-\w{1,2})?|A|B|C|I?CT? ?[ABC]"
_SHARP = r"LUNG|BONE(PLUS)?|EDGE|[BIQ][rlv]?[5-9]\d[a-z]?(\\\d)?|FC[58]\d(-\w{1,2})?|D|E|L|Y[A-D]"
# A word of the tag -> the maker as most of its scanners write it.
_MAKERS = {
    "ge": "GE",
    "philips": "Philips",
    "siemens": "SIEMENS",
    "toshiba": "TOSHIBA",
    "canon": "Canon",
    "hitachi": "Hitachi",
    "fujifilm": "FUJIFILM",
    "neusoft": "Neusoft",
    "neurologica": "NeuroLogica",
    "uih": "UIH",
}


def kernel_class(kernel: str) -> str:
    """Whether a reconstruction kernel of a known name is smooth (soft tissue) or sharp (lung, bone)."""
    name = kernel.strip()
    if re.fullmatch(_SMOOTH, name, re.IGNORECASE):
        return "smooth"
    return "sharp" if re.fullmatch(_SHARP, name, re.IGNORECASE) else "unknown"


def known_kernel(kernel: str) -> str:
    """The kernel's name where it is known, "other" where it may be anything, nothing for nothing."""
    name = kernel.strip()
    return name if not name or kernel_class(name) != "unknown" else OTHER


def known_maker(manufacturer: str) -> str:
    """The maker's one name where it is known, "other" where it may be anything, nothing for nothing."""
    words = re.findall(r"[a-z]+", manufacturer.lower())
    return next((_MAKERS[word] for word in words if word in _MAKERS), OTHER if manufacturer.strip() else "")
