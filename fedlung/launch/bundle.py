"""The Flower app on disk: the checkout with pyproject.toml, ``sites/`` and ``server/`` that travels as a bundle."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedlung.errors import ConfigError

SOURCE_TREE = Path(__file__).resolve().parents[2]
TRAVELLING = ("fedlung", "sites", "server")


def find_app(start: Path | None = None) -> Path:
    """The folder of the Flower app: ``start``, else upward from here, else where this fedlung is developed.

    Raises ConfigError when ``start`` is none, or when none is found.
    """
    if start is not None:
        if not is_app(start):
            raise ConfigError(
                f"{start} is not a Flower app of fedlung: expected a pyproject.toml with [tool.flwr.app] beside "
                "fedlung/, sites/ and server/. Give the checkout's own folder."
            )
        return start.resolve()
    for folder in _candidates():
        if is_app(folder):
            return folder
    raise ConfigError(
        "no Flower app of fedlung here: what travels to the sites (sites/ and server/) is not part of the installed "
        "package. Go into a checkout of fedlung, or name one with --app."
    )


def is_app(folder: Path) -> bool:
    """Whether a folder is a checkout that Flower can run."""
    description = folder / "pyproject.toml"
    if not description.is_file() or not all((folder / name).is_dir() for name in TRAVELLING):
        return False
    try:
        tool = tomllib.loads(description.read_text(encoding="utf-8")).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return False
    return "app" in tool.get("flwr", {})


def stage_app(app: Path, folder: Path) -> Path:
    """Copy what travels, and nothing else, to ``folder``/fedlung; gives that copy.

    Flower walks the whole folder of an app (environments and data as well) and refuses names with an underscore.
    The bundle that it makes of the copy is the one of the checkout, byte for byte.
    """
    staged = folder / "fedlung"
    staged.mkdir(parents=True)
    for name in ("pyproject.toml", "LICENSE", ".gitignore"):
        if (app / name).is_file():
            shutil.copy(app / name, staged / name)
    for name in TRAVELLING:
        shutil.copytree(app / name, staged / name, ignore=shutil.ignore_patterns("__pycache__"))
    return staged


def toml_text(flat: dict[str, Any]) -> str:
    """A flat mapping as TOML with quoted keys, as ``flwr run --run-config file.toml`` reads it."""
    return "".join(f"{_quoted(key)} = {_toml_value(value)}\n" for key, value in flat.items())


def _candidates() -> Iterator[Path]:
    here = Path.cwd()
    yield from (here, *here.parents, SOURCE_TREE)


def _toml_value(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
