"""The options that several verbs share, and the knobs of a run as they are written on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from fedlung.config import RunConfig, Scalar
from fedlung.errors import ConfigError

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="a knob of the run, e.g. -s federation.rounds=20; `fedlung config` lists them"),
]
AppFolder = Annotated[Path | None, typer.Option("--app", help="the checkout with sites/ and server/")]
RunsFolder = Annotated[Path, typer.Option("--runs", help="where the run's folder is made")]
RunName = Annotated[str, typer.Option("--name", help="of the run; made from task and time when left out")]
Resume = Annotated[
    str,
    typer.Option("--resume", metavar="NAME", help="go on with this run where it was stopped, with its own settings"),
]
HeldOut = Annotated[
    str | None, typer.Option("--held-out", help='sites to hold out, comma-separated; "" holds out none')
]


def parsed_settings(settings: list[str] | None, **options: Scalar | None) -> dict[str, Scalar]:
    """``["loss.gamma=1.5"]`` -> ``{"loss.gamma": 1.5}``; each value takes the type of the knob's default.

    ``options`` are knobs that have an option of their own, with "__" for the dot and "_" for the hyphen; those that are
    None were not given. A setting goes before an option.
    """
    known = RunConfig().to_run_config()
    parsed = {key.replace("__", ".").replace("_", "-"): value for key, value in options.items() if value is not None}
    for setting in settings or []:
        key, sign, text = setting.partition("=")
        if not sign:
            raise ConfigError(f"--set {setting!r}: expected key=value, e.g. -s federation.rounds=20")
        parsed[key.strip()] = _as_type_of(known.get(key.strip(), ""), text.strip())
    return parsed


def chosen_config(
    names: Sequence[str], chosen: Mapping[str, Scalar], *, runs: Path, name: str, resume: str
) -> RunConfig:
    """The configuration of a new run of these sites, or of the one that is to be gone on with.

    Raises ConfigError, and RunError where there is no run ``resume`` to go on with.
    """
    from fedlung.launch.run import completed_config, resumed_config

    if name and resume:
        raise ConfigError("--name begins a new run and --resume NAME goes on with one: give one of the two.")
    return resumed_config(runs, resume, chosen) if resume else completed_config(names, chosen)


def _as_type_of(default: Scalar, text: str) -> Scalar:
    """A text that is not of the knob's type stays a text, and the configuration says what it expects."""
    if isinstance(default, bool) and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        if isinstance(default, int | float) and not isinstance(default, bool):
            try:
                return kind(text)
            except ValueError:
                continue
    return text
