"""Writing secrets: private from the first byte, never over what is there."""

from __future__ import annotations

import os
from pathlib import Path

from fedlung.errors import ProvisioningError

PRIVATE_FILE, PRIVATE_FOLDER, PUBLIC_FILE = 0o600, 0o700, 0o644


def make_private_folder(folder: Path) -> Path:
    """A new folder that only its owner can enter. Raises ProvisioningError when it is there already."""
    try:
        folder.mkdir(parents=True, mode=PRIVATE_FOLDER)
    except FileExistsError:
        raise ProvisioningError(f"{folder} exists; keys are never overwritten. Give another folder.") from None
    folder.chmod(PRIVATE_FOLDER)
    return folder


def write_new(path: Path, content: bytes | str, *, mode: int = PRIVATE_FILE) -> Path:
    """Write a file that must not exist yet, with its final mode from the start."""
    data = content.encode() if isinstance(content, str) else content
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    path.chmod(mode)
    return path
