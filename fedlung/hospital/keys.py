"""The site's secret: 32 bytes in a file of its own user's, or in the system's keyring.

It names the cases, seeds the bootstrap and, where the site asks for it, encrypts the store. A secret that is lost is
never replaced while there is a store whose cases it named: the patients would be divided anew without a word, and the
cases of an encrypted store could not be read. It is never taken from a run's configuration.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from fedlung.errors import ConfigError
from fedlung.files import UNFINISHED, sync_folder

KEY_FILE = "site.key"
KEY_BYTES = 32
KEYRING = "keyring:"
_REST = (
    "Restore it from a copy. Without one, delete the store as well: the site's patients are then divided anew, and may "
    "be tested on a model that they trained."
)


def kept_key(key: Path | str, store: Path) -> bytes:
    """The secret that ``key`` names (a file, or "keyring:SERVICE/NAME"), made where there is none yet.

    Raises ConfigError where it is missing though ``store`` has cases, where others may read it, or where it is damaged.
    """
    return _key_in_keyring(key, store) if isinstance(key, str) else _key_in_file(key, store)


def has_store(folder: Path) -> bool:
    """Whether there is any case store below a site's store folder."""
    return any(folder.glob("*/store.json"))


def _key_in_file(path: Path, store: Path) -> bytes:
    try:
        return _read_key(path) if path.exists() else _new_key(path, store)
    except OSError as error:
        raise ConfigError(
            f"{path}: the site's key cannot be kept there ({error.strerror}). Set key in site.toml to a file in a "
            "folder that the site can write.",
            public="the site's key cannot be kept",
        ) from error


def _new_key(path: Path, store: Path) -> bytes:
    _refuse_to_replace(str(path), store)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED)
    try:
        with os.fdopen(descriptor, "wb") as file:  # for the owner only from the start
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # A link never replaces: of two processes that start together one makes the key and both read it.
        with suppress(FileExistsError):
            os.link(unfinished, path)
        sync_folder(path.parent)
    finally:
        Path(unfinished).unlink()
    return _read_key(path)


def _read_key(path: Path) -> bytes:
    _refuse_what_others_can_read(path)
    return _checked(path.read_bytes(), str(path))


def _refuse_what_others_can_read(path: Path) -> None:
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise ConfigError(
            f"{path} belongs to user {found.st_uid}, and the site runs as {os.geteuid()}. Run: chown {os.geteuid()} "
            f"'{path}'",
            public="the site's key belongs to another user",
        )
    if mode := stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigError(
            f"{path} can be used by others than its owner (mode {stat.S_IMODE(found.st_mode):04o}, {mode:03o} too "
            f"much). Run: chmod 600 '{path}'",
            public="the site's key can be read by others than its owner",
        )


def _key_in_keyring(key: str, store: Path) -> bytes:
    service, name = split_keyring_name(key)
    keyring = _keyring()
    try:
        if keyring.get_password(service, name) is None:
            _refuse_to_replace(key, store)
            keyring.set_password(service, name, secrets.token_hex(KEY_BYTES))
        kept = str(keyring.get_password(service, name))  # of two processes that start together, the later one's
        return _checked(bytes.fromhex(kept), key)
    except (keyring.errors.KeyringError, ValueError) as error:
        raise ConfigError(
            f"{key}: the system's keyring gives no key ({type(error).__name__}). It must be unlocked, and hold "
            f"{2 * KEY_BYTES} hex digits; or set key in site.toml to a file.",
            public="the site's key cannot be had from the system's keyring",
        ) from error


def split_keyring_name(key: str) -> tuple[str, str]:
    """Service and name of "keyring:SERVICE/NAME". Raises ValueError."""
    service, sign, name = key.removeprefix(KEYRING).rpartition("/")
    if not (service and sign and name):
        raise ValueError(f'expected "{KEYRING}SERVICE/NAME"')
    return service, name


def _keyring() -> ModuleType:
    try:
        import keyring
        import keyring.errors
    except ImportError as error:
        raise ConfigError(
            'a key in the system\'s keyring needs the package keyring: pip install "fedlung[keyring]", or set key in '
            "site.toml to a file.",
            public="the site's key is in a keyring, and the package for it is not installed",
        ) from error
    return keyring


def _checked(key: bytes, where: str) -> bytes:
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"{where} has {len(key)} bytes, expected {KEY_BYTES}. {_REST}", public="the site's key is damaged"
        )
    return key


def _refuse_to_replace(where: str, store: Path) -> None:
    if has_store(store):
        raise ConfigError(
            f"{where}: the site's key is not there, and {store} holds cases that it named. {_REST}",
            public="the site's key is missing, and its store has cases",
        )
