"""The texts of a kit."""

from __future__ import annotations

from collections.abc import Sequence


def server_toml(address: str, listen: str, sites: Sequence[str]) -> str:
    names = ", ".join(f'"{name}"' for name in sites)
    return f"""\
address = "{address}"  # what the sites dial; the certificate names its host
listen = "{listen}"  # where this machine listens
sites = [{names}]  # who is admitted, by sites/<name>.pub; delete a name to shut a site out
"""


def connection_toml(name: str, server: str) -> str:
    return f'name = "{name}"\nserver = "{server}"\n'


def start_md(name: str, server: str) -> str:
    return f"""\
# Starting {name}

1. Put this folder on the machine that holds the CT, readable for one account only. `{name}.key` never leaves it.
2. Edit `site.toml`: where the DICOM folder and the annotations are.
3. Start it, and leave it running:

       fedlung site start .

It calls {server} and listens to nobody but this machine. Stop it with Ctrl-C or SIGTERM. After a crash or a
power cut the server still believes it online and refuses it for up to a minute: wait 60 seconds and start again.

Whoever can reach the server's port can send code that runs here. Join only a federation whose server is closed to all
but its sites.
"""
