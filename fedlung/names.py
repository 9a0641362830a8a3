"""How things are called: a site, everywhere by one rule, and a key outside and inside."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated

from pydantic import Field

SITE_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
SITE_NAME_RULE = "1 to 64 letters, digits, '.', '_' and '-', of which the first is a letter or digit"
MAX_SITE_NAME = 64

SiteName = Annotated[str, Field(strict=True, pattern=SITE_NAME_PATTERN)]


def is_site_name(text: str) -> bool:
    """Whether a text can name a site: it is a folder, a label, a file of a key and a word on the command line."""
    return re.fullmatch(SITE_NAME_PATTERN, text) is not None


def as_site_name(text: str) -> str:
    """A site's name out of any text, such as a scanner's model; "unknown" for nothing.

    A text without a Latin letter or digit is told apart from others by its digest.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-_.")[:MAX_SITE_NAME]
    if name or not text.strip():
        return name or "unknown"
    return f"site-{hashlib.sha256(text.strip().encode(errors='surrogateescape')).hexdigest()[:8]}"


def kebab(name: str) -> str:
    """``hu_min`` -> ``hu-min``: keys are kebab-case in files, messages and on the command line."""
    return name.replace("_", "-")
