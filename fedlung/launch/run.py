"""What every launch of a run shares: its configuration, its folder, and Flower's state while it lasts."""

from __future__ import annotations

import logging
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from fedlung.config import RunConfig, Scalar
from fedlung.errors import ConfigError
from fedlung.evaluation.runrecord import CONFIG_FILE, check_same_settings, run_name, unfinished_run
from fedlung.provisioning import ServerKit, SiteKit, expires_soon

LOG = "flower.log"
# Ray's sockets lie below its temporary folder, and the path of a socket has at most 107 characters (Linux).
LONGEST_RAY_FOLDER = 37

logger = logging.getLogger(__name__)


def name_in(profile: Path) -> str:
    """The name of the site that a site.toml describes. Raises ConfigError."""
    try:
        return str(tomllib.loads(profile.read_text(encoding="utf-8"))["name"])
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError) as error:
        raise ConfigError(f"{profile}: expected TOML with the site's name ({error!r}).") from None


def completed_config(names: Sequence[str], overrides: Mapping[str, Scalar]) -> RunConfig:
    """The run's configuration: defaults, then ``overrides``; all sites take part unless told otherwise.

    Raises ConfigError, also for ``folder``: where a run is kept is said to the launch, not by a knob.
    """
    defaults = RunConfig.from_run_config({}).federation
    chosen: dict[str, Scalar] = {"federation.sites": ",".join(names), **overrides}
    _check_place(overrides)
    if "federation.held-out" not in chosen and not set(defaults.held_out_names) <= set(names):
        raise ConfigError(
            f"which site is to be held out? Name one of {', '.join(names)} with --held-out NAME, or none with "
            '--held-out "".'
        )
    return RunConfig.from_run_config(chosen)


def resumed_config(runs: Path, name: str, overrides: Mapping[str, Scalar]) -> RunConfig:
    """The settings of an unfinished run, which ``overrides`` may repeat and not change.

    Raises RunError where there is no such run or it has finished, ConfigError for other settings.
    """
    _check_place(overrides)
    run = runs.resolve() / name
    config = RunConfig.from_run_config({**unfinished_run(run).config.to_run_config(), **overrides})
    check_same_settings(run, config)
    return config


def run_folder(config: RunConfig, runs: Path, name: str = "", *, resume: bool = False) -> Path:
    """Where the run will be written (absolute), or is to be gone on with.

    Raises ConfigError when a new run finds one there already, and what ``resumed_config`` raises.
    """
    run = runs.resolve() / run_name(name or config.name, config, datetime.now().astimezone())
    if resume:
        unfinished_run(run)
        check_same_settings(run, config)
    elif (run / CONFIG_FILE).exists():
        raise ConfigError(
            f"{run} holds a run already; nothing is overwritten. Give another name, move it away, or go on with it "
            "where it was stopped (--resume)."
        )
    return run


def warn_of_expiry(kit: ServerKit | SiteKit) -> None:
    """Log that a kit's certificates are about to expire, while there is time to hand out new ones."""
    if (left := expires_soon(kit)) is not None:
        logger.warning(
            "the certificates in %s expire in %d days: make a new kit with `fedlung kit`", kit.folder, left.days
        )


def settings_of(run: Path, config: RunConfig, *, resume: bool = False) -> dict[str, Scalar]:
    """The run configuration that Flower is given: all knobs, and the run's folder in absolute words."""
    place: dict[str, Scalar] = {"name": run.name, "folder": str(run.parent)}
    # A leave-one-site-out run goes on whenever its folder is there.
    return config.to_run_config() | place | {"resume": resume and config.protocol == "single"}


def _check_place(overrides: Mapping[str, Scalar]) -> None:
    if "folder" in overrides:
        raise ConfigError(f"folder {overrides['folder']!r} would not be used here: give the runs' folder with --runs.")
    if "resume" in overrides:
        raise ConfigError("resume would not be used here: go on with a run by --resume NAME.")


@contextmanager
def state_folder(run: Path) -> Iterator[Path]:
    """Flower's own folder inside the run's, while the run lasts."""
    with tempfile.TemporaryDirectory(prefix=".flower-", dir=run, ignore_cleanup_errors=True) as home:
        yield Path(home)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A temporary folder with a path short enough for Ray's sockets, removed afterwards."""
    usual = Path(tempfile.gettempdir())
    base = usual if len(str(usual / "fedlung-12345678")) <= LONGEST_RAY_FOLDER else Path("/tmp")
    with tempfile.TemporaryDirectory(prefix="fedlung-", dir=base, ignore_cleanup_errors=True) as folder:
        yield Path(folder)
