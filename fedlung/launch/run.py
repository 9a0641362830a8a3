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
from fedlung.evaluation.runrecord import CONFIG_FILE, run_name
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
    if "folder" in overrides:
        raise ConfigError(f"folder {overrides['folder']!r} would not be used here: give the runs' folder with --runs.")
    if "federation.held-out" not in chosen and not set(defaults.held_out_names) <= set(names):
        raise ConfigError(
            f"which site is to be held out? Name one of {', '.join(names)} with --held-out NAME, or none with "
            '--held-out "".'
        )
    return RunConfig.from_run_config(chosen)


def run_folder(config: RunConfig, runs: Path, name: str = "") -> Path:
    """Where the run will be written (absolute). Raises ConfigError when a run is there already."""
    run = runs.resolve() / run_name(name or config.name, config, datetime.now().astimezone())
    if (run / CONFIG_FILE).exists():
        raise ConfigError(f"{run} holds a run already; nothing is overwritten. Give another name, or move it away.")
    return run


def warn_of_expiry(kit: ServerKit | SiteKit) -> None:
    """Log that a kit's certificates are about to expire, while there is time to hand out new ones."""
    if (left := expires_soon(kit)) is not None:
        logger.warning(
            "the certificates in %s expire in %d days: make a new kit with `fedlung kit`", kit.folder, left.days
        )


def settings_of(run: Path, config: RunConfig) -> dict[str, Scalar]:
    """The run configuration that Flower is given: all knobs, and the run's folder in absolute words."""
    return config.to_run_config() | {"name": run.name, "folder": str(run.parent)}


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
