"""What a researcher runs: whole federations on this machine, and their reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from fedlung.cli.progress import bar, console, new_progress
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
from fedlung.config import RunConfig


def demo(
    seed: Annotated[int, typer.Option(min=0, help="of phantom and run")] = 0,
    runs: RunsFolder = Path("runs"),
    name: RunName = "",
    settings: Settings = None,
    app_folder: AppFolder = None,
) -> None:
    """The main job on four synthetic sites, TOSHIBA held out: phantom, federation, report."""
    from fedlung.ct.phantom import PROFILES, PhantomConfig, default_phantom_folder, write_phantom
    from fedlung.launch.run import completed_config

    # ORDER: settings before the phantom, which takes a minute to write.
    config = completed_config(tuple(PROFILES), parsed_settings(settings, seed=seed))
    phantom = PhantomConfig(seed=seed)
    folder = default_phantom_folder(phantom)
    with bar("Phantom CT as DICOM (synthetic)") as update:
        write_phantom(folder, phantom, progress=update)
    console.print(f"Synthetic CT: {folder}", soft_wrap=True)
    _simulate(folder, config, runs, name, app_folder)


def simulate(
    folder: Annotated[Path, typer.Argument(help="a federation folder: one folder with a site.toml for each site")],
    held_out: HeldOut = None,
    rounds: Annotated[int | None, typer.Option(min=1)] = None,
    task: Annotated[str | None, typer.Option(help="nodule, malignancy or scan")] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    runs: RunsFolder = Path("runs"),
    name: RunName = "",
    resume: Resume = "",
    settings: Settings = None,
    app_folder: AppFolder = None,
) -> None:
    """A whole federation on this machine, by Flower's own simulation."""
    from fedlung.launch.simulate import site_names

    chosen = parsed_settings(
        settings, federation__held_out=held_out, federation__rounds=rounds, task__name=task, seed=seed
    )
    config = chosen_config(site_names(folder), chosen, runs=runs, name=name, resume=resume)
    _simulate(folder, config, runs, name, app_folder, resume=resume)


def report(run: Annotated[Path, typer.Argument(help="a run's folder")]) -> None:
    """Render a run's report again from its lines, without training."""
    from fedlung.cli.loso import print_results
    from fedlung.evaluation.report import render_report
    from fedlung.evaluation.runrecord import load_run

    if load_run(run).config.protocol == "loso":
        print_results(run)
        return
    render_report(run)
    print_outcome(run)


def show_config(settings: Settings = None) -> None:
    """List every knob of a run with its value."""
    table = Table("knob", "value", box=None)
    for key, value in RunConfig.from_run_config(parsed_settings(settings)).to_run_config().items():
        table.add_row(key, repr(value))
    console.print(table)


def print_outcome(run: Path) -> None:
    """The per-site table of a run and where its report is."""
    from fedlung.evaluation.report import console_table, load_judgement

    console.print(console_table(load_judgement(run)))
    console.print(f"Report: {(run / 'report.html').resolve()}", soft_wrap=True)


def _simulate(
    folder: Path, config: RunConfig, runs: Path, name: str, app_folder: Path | None, *, resume: str = ""
) -> None:
    from fedlung.cli.follow import RunFollower
    from fedlung.launch.simulate import simulate_run

    with new_progress() as progress:
        follower = RunFollower(progress, config)
        run = simulate_run(
            folder, config, runs, name=resume or name, resume=bool(resume), app=app_folder, on_event=follower
        )
    print_outcome(run)
