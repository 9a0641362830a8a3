"""What a store says of itself in ``store.json``, and who may open it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedlung.errors import StoreError
from fedlung.files import UNFINISHED
from fedlung.preprocess.keeping import read_json, write_json
from fedlung.preprocess.vault import Vault

FORMAT = 3
HEADER = "store.json"
_ANOTHER = "Choose another folder as the site's store, or delete this one to have its cases made anew."


def write_header(folder: Path, fingerprint: str, vault: Vault | None) -> None:
    """Say what the store is; an encrypted one's ``mark`` is given by its key alone. Raises StoreError."""
    fields: dict[str, Any] = {"format": FORMAT, "fingerprint": fingerprint, "encrypted": vault is not None}
    if vault is not None:
        fields["mark"] = vault.mark(f"{FORMAT} {fingerprint}")
    write_json(folder / HEADER, fields)


def check_header(folder: Path, fingerprint: str, vault: Vault | None) -> None:
    """Raises StoreError unless the store has this format and fingerprint, and this key or none."""
    header = read_json(folder / HEADER)
    if header.get("format") != FORMAT:
        raise StoreError(
            f"{folder}: a store of format {header.get('format')}, this fedlung has {FORMAT}. {_ANOTHER}",
            public="the site's case store is of another version of fedlung",
        )
    if header.get("fingerprint") != fingerprint:
        changes = "; ".join(_differences(str(header.get("fingerprint")), fingerprint))
        raise StoreError(
            f"{folder}: its cases were prepared otherwise: {changes}. {_ANOTHER}",
            public=f"the site's case store was prepared otherwise: {changes}",
        )
    _check_encryption(folder, header, fingerprint, vault)


def refuse_foreign_files(folder: Path, own: set[str]) -> None:
    """Raises StoreError for a folder of other things."""
    if not folder.is_dir() or (folder / HEADER).is_file():
        return
    foreign = [path for path in folder.iterdir() if path.name not in own and not path.name.endswith(UNFINISHED)]
    if foreign:
        raise StoreError(
            f"{folder}: expected a case store or an empty folder, found {len(foreign)} entries and no {HEADER}. "
            "Choose another folder as the site's store.",
            public="the site's case store is a folder of other things",
        )


def _check_encryption(folder: Path, header: dict[str, Any], fingerprint: str, vault: Vault | None) -> None:
    is_encrypted = header.get("encrypted")
    if is_encrypted and vault is None:
        raise StoreError(
            f"{folder}: the store is encrypted, and encryption is not asked for. Set encrypt = true in site.toml, or "
            "delete the folder to have its cases made anew, not encrypted.",
            public="the site's case store is encrypted and the site does not ask for it",
        )
    if vault is not None and not is_encrypted:
        raise StoreError(
            f"{folder}: the store is not encrypted, and encryption is asked for. Delete the folder to have its cases "
            "made anew, encrypted, or set encrypt = false in site.toml.",
            public="the site's case store is not encrypted and the site asks for it",
        )
    if vault is not None and header.get("mark") != vault.mark(f"{FORMAT} {fingerprint}"):
        raise StoreError(
            f"{folder}: the store was encrypted with another key, or its {HEADER} was changed. Restore the site's key "
            "from its copy, or delete the folder to have its cases made anew.",
            public="the site's case store was encrypted with another key",
        )


def _differences(kept: str, wanted: str) -> list[str]:
    """What differs between two fingerprints made of ``key=value`` pairs, in words."""
    before, now = (dict(pair.partition("=")[::2] for pair in text.split()) for text in (kept, wanted))
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return [
        f"{key} is {before.get(key, 'not set')} in the store and {now.get(key, 'not set')} in this run" for key in keys
    ]
