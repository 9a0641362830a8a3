"""Where the phantom is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

from fedlung.ct.phantom.config import PhantomConfig


def default_phantom_folder(cfg: PhantomConfig) -> Path:
    """The user's cache folder for this very phantom; another configuration has another folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "fedlung" / f"phantom-{cfg.fingerprint()}"
