"""The server's side of a federation between machines, by Flower's deployment engine.

Flower's port carries three APIs, and only the sites' own is guarded by their keys: whoever else can reach the port can
start runs, which is code at every site. It belongs on a network that is closed to all but the sites.
"""

from __future__ import annotations

from pathlib import Path

from fedlung.config import RunConfig
from fedlung.evaluation.runrecord import EVENTS_FILE
from fedlung.launch.bundle import find_app, stage_app
from fedlung.launch.events import EventReader, OnEvent, follow
from fedlung.launch.flower import TLS, SuperLink, flower_environment
from fedlung.launch.processes import Children, interruptible_once
from fedlung.launch.run import LOG, run_folder, settings_of, state_folder, warn_of_expiry
from fedlung.provisioning import read_server_kit


def start_server(
    kit_folder: Path,
    config: RunConfig,
    runs: Path = Path("runs"),
    *,
    name: str = "",
    resume: bool = False,
    app: Path | None = None,
    on_event: OnEvent | None = None,
) -> Path:
    """Start the server of a kit, admit the kit's sites, run one run with those that come; gives the run's folder.

    ``resume``: go on with the unfinished run ``name``. ``on_event`` gets {"event": "listening", "address", "sites"} and
    then each line of the run's rounds.jsonl. Sites have ``federation.roll-call-timeout-s`` to come. Raises ConfigError
    or ProvisioningError before anything is started, RunError when the run failed or cannot be gone on with. Nothing is
    left running. Warns of a certificate that is about to expire.
    """
    kit = read_server_kit(kit_folder)
    warn_of_expiry(kit)
    app, run = find_app(app), run_folder(config, runs, name, resume=resume)
    run.mkdir(parents=True, exist_ok=True)
    told = EventReader(run / EVENTS_FILE).skip()
    with interruptible_once(), state_folder(run) as home, Children(flower_environment(home)) as children:
        superlink = SuperLink(children, home, run / LOG, kit.listen, TLS(kit.ca, kit.certificate, kit.key))
        superlink.start(simulation=False)
        for site in kit.sites:
            superlink.register(kit.public_key(site), site)
        if on_event is not None:
            on_event({"event": "listening", "address": str(kit.address), "sites": list(kit.sites)})
        submission = superlink.submit(stage_app(app, home), settings_of(run, config, resume=resume), simulation=None)
        follow(superlink, submission, run, on_event, told=told)
    return run
