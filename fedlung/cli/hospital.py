"""What the coordinator and the hospitals of a real federation run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedlung.cli.progress import console, new_progress
from fedlung.cli.research import print_outcome
from fedlung.cli.settings import (
    AppFolder,
    HeldOut,
    Resume,
    RunName,
    RunsFolder,
    Settings,
    chosen_config,
    parsed_settings,
)


def kit(
    out: Annotated[Path, typer.Argument(help="the folder to write; must not exist")],
    server: Annotated[str, typer.Option(help="host:port that the sites will dial")],
    sites: Annotated[str, typer.Option(help="the sites' names, comma-separated")],
    days: Annotated[int, typer.Option(min=1, help="how long the certificates are valid")] = 365,
) -> None:
    """Make keys, certificates and one start-up kit for each site."""
    from fedlung.provisioning import make_kit

    made = make_kit(out, server, [name.strip() for name in sites.split(",") if name.strip()], days=days)
    console.print(f"Keep at the server: {made.server}\nKeep offline:       {made.authority}", soft_wrap=True)
    for name, folder in made.sites.items():
        console.print(f"Hand to {name}: {folder}", soft_wrap=True)


def start_server(
    kit_folder: Annotated[Path, typer.Argument(metavar="KIT", help="the server's folder of a kit")],
    held_out: HeldOut = None,
    runs: RunsFolder = Path("runs"),
    name: RunName = "",
    resume: Resume = "",
    settings: Settings = None,
    app_folder: AppFolder = None,
) -> None:
    """Start the server, wait for the kit's sites, run one run."""
    from fedlung.cli.follow import RunFollower
    from fedlung.launch import server
    from fedlung.provisioning import read_server_kit

    names, chosen = read_server_kit(kit_folder).sites, parsed_settings(settings, federation__held_out=held_out)
    config = chosen_config(names, chosen, runs=runs, name=name, resume=resume)
    with new_progress() as progress:
        follower = RunFollower(progress, config)
        run = server.start_server(
            kit_folder, config, runs, name=resume or name, resume=bool(resume), app=app_folder, on_event=follower
        )
    print_outcome(run)


def start_site(
    kit_folder: Annotated[Path, typer.Argument(metavar="KIT", help="the site's folder of a kit")],
    profile: Annotated[Path | None, typer.Option(help="the site's own site.toml; the kit's when left out")] = None,
) -> None:
    """Start this site and serve until stopped."""
    from fedlung.launch import site

    site.start_site(kit_folder, profile=profile, on_line=lambda line: console.print(line, markup=False))
