"""Leave-one-site-out: how a model does at a hospital that it never saw, for every site, method and seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlung.cli.progress import bar, console, new_progress
from fedlung.cli.settings import AppFolder, RunName, RunsFolder, Settings, parsed_settings
from fedlung.config import PhantomControl, RunConfig, Scalar
from fedlung.errors import ConfigError

if TYPE_CHECKING:
    from fedlung.ct.phantom import PhantomConfig

# Enough to compare on two cores in less than half an hour; every one of them can be set otherwise.
DEMO: dict[str, Scalar] = {
    "loso.seeds": 2,
    "federation.rounds": 8,
    "federation.local-epochs": 3,
    "patches.size": 24,
    "detection.enabled": False,
}
CONTROL: dict[str, Scalar] = DEMO | {"loso.methods": "fedavg", "loso.baselines": False, "loso.pooled": False}
CONTROL_SCANS = {"matrix": 224, "coverage_mm": 60.0}


def loso(
    folder: Annotated[
        Path | None, typer.Argument(help="a federation folder: one folder with a site.toml for each site")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="four synthetic sites, two seeds, fewer rounds")] = False,
    control: Annotated[
        PhantomControl | None, typer.Option(help="with --demo: sites that are alike (null), or one that must do worse")
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="comma-separated strategies, each with what it changes: fedavg+model.norm=batch; in quotes, values to "
            "choose from on the source sites' validation: 'fedprox+strategy.proximal-mu=0.001|0.01|0.1'"
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="how many")] = None,
    jobs: Annotated[int, typer.Option(min=0, help="folds side by side; 0: as many as there are cores")] = 0,
    runs: RunsFolder = Path("runs"),
    name: RunName = "",
    settings: Settings = None,
    app_folder: AppFolder = None,
) -> None:
    """Hold out each site in turn, for every method and seed, beside the baselines; go on where it stopped.

    The same --name goes on with a run that was stopped. Baselines: uniform weights, pooled training, each site alone,
    their ensemble, a model trained at all sites (no generalization, an upper bound), and rows without a pixel.
    With --demo --control the outcome is known beforehand; the exit code says whether it came out so.
    """
    if demo == (folder is not None):
        raise ConfigError("give a federation folder, or --demo for four synthetic sites.")
    if control and not demo:
        raise ConfigError("--control is of the synthetic sites: give --demo with it.")
    chosen = parsed_settings(settings, loso__methods=methods, loso__seeds=seeds)
    if folder is None:
        phantom = _phantom(int(chosen.get("seed", 0)), control)
        folder, chosen = _written(phantom), (CONTROL if control else DEMO) | chosen
    config = _config(folder, chosen)
    run = _run_folder(config, runs, name)
    failed = _run(folder, config, run, jobs, app_folder)
    print_results(run)
    for fold, reason in failed.items():
        console.print(f"{fold} failed: {reason}", style="red", markup=False, soft_wrap=True)
    if failed or (control and not _came_out_right(run, control, phantom.odd_site)):
        raise typer.Exit(1)


def print_results(run: Path) -> None:
    """The tables of a leave-one-site-out run, worked out anew from its folds, and where the page is."""
    from fedlung.loso.console import console_table
    from fedlung.loso.report.files import HTML_FILE
    from fedlung.loso.results import write_results

    console.print(console_table(write_results(run)))
    console.print(f"Report: {(run / HTML_FILE).resolve()}", soft_wrap=True)


def _config(folder: Path, chosen: dict[str, Scalar]) -> RunConfig:
    from fedlung.launch.simulate import site_names

    sites = ",".join(site_names(folder))
    fixed: dict[str, Scalar] = {"protocol": "loso", "loso.pooled": True, "federation.held-out": ""}
    return RunConfig.from_run_config({"federation.sites": sites, **fixed, **chosen})


def _run_folder(config: RunConfig, runs: Path, name: str) -> Path:
    from datetime import datetime

    from fedlung.evaluation.runrecord import run_name

    return runs.resolve() / run_name(name or config.name, config, datetime.now().astimezone())


def _phantom(seed: int, control: PhantomControl | None) -> PhantomConfig:
    from fedlung.ct.phantom import PhantomConfig

    if control is None:
        return PhantomConfig(seed=seed)
    return PhantomConfig.for_control(control, seed=seed, **CONTROL_SCANS)


def _written(phantom: PhantomConfig) -> Path:
    from fedlung.ct.phantom import default_phantom_folder, write_phantom

    folder = default_phantom_folder(phantom)
    with bar("Phantom CT as DICOM (synthetic)") as update:
        write_phantom(folder, phantom, progress=update)
    console.print(f"Synthetic CT: {folder}", soft_wrap=True)
    return folder


def _came_out_right(run: Path, control: PhantomControl, odd_site: str) -> bool:
    from fedlung.loso.control import verdict
    from fedlung.loso.results import results_of

    found = verdict(results_of(run), control, odd_site)
    console.print(found.text, style="green" if found.is_right else "red", markup=False, soft_wrap=True)
    return found.is_right


def _run(folder: Path, config: RunConfig, run: Path, jobs: int, app: Path | None) -> dict[str, str]:
    from fedlung.launch.loso import run_folds

    with new_progress() as progress:
        task = progress.add_task("Sites prepare their CT", total=None)

        def show(done: float, total: float, said: str) -> None:
            progress.update(task, description=said, completed=done, total=total)

        return run_folds(folder, config, run, app=app, jobs=jobs, progress=show).failed
