"""All verbs. Each imports what it needs inside itself, so that ``fedlung --help`` is there at once."""

from __future__ import annotations

import logging

import typer

from fedlung.cli import check, data, hospital, loso, prepare, research
from fedlung.cli.progress import errors
from fedlung.errors import ConfigError, FedlungError

EXIT_FAILED, EXIT_USAGE, EXIT_STOPPED = 1, 2, 130


def _group(about: str) -> typer.Typer:
    return typer.Typer(help=about, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False)


app = _group("Federated training for lung nodules on chest CT, and how it does at a hospital that it never saw.")
archive_app = _group("Patch archives: prepared nodule cubes in one file.")
server_app = _group("What the coordinator runs.")
site_app = _group("What a hospital runs.")

for verb in (
    research.demo,
    research.simulate,
    loso.loso,
    research.report,
    data.phantom,
    data.partition,
    check.check,
    prepare.prepare,
    hospital.kit,
):
    app.command()(verb)
app.command("config")(research.show_config)
archive_app.command("build")(data.build_archive)
server_app.command("start")(hospital.start_server)
site_app.command("start")(hospital.start_site)
for group, name in ((archive_app, "archive"), (server_app, "server"), (site_app, "site")):
    app.add_typer(group, name=name)


def main() -> None:
    """The command ``fedlung``. Exit codes: 0 done, 1 failed, 2 wrong use or configuration, 130 stopped."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except KeyboardInterrupt:
        errors.print("fedlung: stopped")
        raise SystemExit(EXIT_STOPPED) from None
    except FedlungError as error:
        errors.print(f"fedlung: {error}", markup=False, soft_wrap=True, style="red")
        raise SystemExit(EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED) from None
