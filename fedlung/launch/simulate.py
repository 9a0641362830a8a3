"""A whole federation on this machine, by Flower's own simulation, with nothing left running afterwards."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from fedlung.config import RunConfig
from fedlung.errors import ConfigError
from fedlung.evaluation.runrecord import EVENTS_FILE
from fedlung.launch.bundle import find_app, stage_app
from fedlung.launch.events import EventReader, OnEvent, follow
from fedlung.launch.flower import SuperLink, flower_environment, free_port
from fedlung.launch.processes import Children, interruptible_once
from fedlung.launch.run import LOG, name_in, run_folder, settings_of, short_folder, state_folder
from fedlung.provisioning import Address


def site_names(federation: Path) -> tuple[str, ...]:
    """Names of a federation folder's sites, in the order of their partitions. Raises ConfigError when it has none."""
    profiles = sorted(federation.glob("*/site.toml"))
    if not profiles:
        raise ConfigError(
            f"{federation} is no federation folder: expected one folder with a site.toml for each site. "
            "`fedlung phantom OUT` or `fedlung partition LIDC OUT` writes one."
        )
    names = tuple(name_in(profile) for profile in profiles)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{federation}: {', '.join(twice)} is the name of more than one site. Give each its own.")
    return names


def simulate_run(
    federation: Path,
    config: RunConfig,
    runs: Path = Path("runs"),
    *,
    name: str = "",
    resume: bool = False,
    app: Path | None = None,
    on_event: OnEvent | None = None,
) -> Path:
    """Run a federation folder's sites in Flower's simulation; gives the run's folder.

    ``resume``: go on with the unfinished run ``name``. ``on_event`` gets each line of the run's rounds.jsonl as it is
    written. Raises ConfigError before anything is started, RunError when the run failed or cannot be gone on with.
    Whatever happens, Flower's and Ray's processes and state are gone afterwards; ``flower.log`` in the run's folder
    keeps what they said.
    """
    num_sites = len(site_names(federation))
    app, run = find_app(app), run_folder(config, runs, name, resume=resume)
    resources = simulation_resources(num_sites, num_cores=usable_cores(), num_gpus=usable_gpus())
    run.mkdir(parents=True, exist_ok=True)
    told = EventReader(run / EVENTS_FILE).skip()
    with interruptible_once(), state_folder(run) as home, short_folder() as ray_folder:
        environment = flower_environment(home, threads=1)
        environment |= {"FEDLUNG_SITES": str(federation.resolve()), "RAY_TMPDIR": str(ray_folder)}
        with Children(environment) as children:
            superlink = SuperLink(children, home, run / LOG, Address("127.0.0.1", free_port()))
            superlink.start(simulation=True)
            submission = superlink.submit(
                stage_app(app, home), settings_of(run, config, resume=resume), simulation=resources
            )
            follow(superlink, submission, run, on_event, told=told)
    return run


def simulation_resources(num_sites: int, *, num_cores: int, num_gpus: int) -> dict[str, int | float]:
    """Flower's federation configuration: as many sites at once as there are cores, each with one."""
    at_once = min(num_sites, num_cores)
    resources: dict[str, int | float] = {
        "num-supernodes": num_sites,
        "client-resources-num-cpus": 1,
        "init-args-num-cpus": at_once,
    }
    if num_gpus:
        resources["client-resources-num-gpus"] = _gpu_share(num_gpus, at_once)
    return resources


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_gpus() -> int:
    """CUDA devices that torch can use."""
    # torch takes seconds to import: not on a machine that has no driver.
    if not Path("/dev/nvidiactl").exists() and shutil.which("nvidia-smi") is None:
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _gpu_share(num_gpus: int, at_once: int) -> float:
    """The part of a GPU for each site: below num_gpus / at_once, because Flower rounds to float32 and divides again."""
    return min(1.0, (-(-1000 * num_gpus // at_once) - 1) / 1000)
