"""Where a leave-one-site-out run keeps its folds: runs/<name>/folds/<fold>, each the folder of a run."""

from __future__ import annotations

from pathlib import Path

FOLDS_FOLDER = "folds"


def folds_folder(run: Path) -> Path:
    return run / FOLDS_FOLDER
