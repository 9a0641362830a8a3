"""Start-up kits: everything that the server and each site need to find and believe each other, made once.

out/
  authority/      ca.crt, ca.key: keep offline; needed only to renew the server's certificate
  server/         server.toml, ca.crt, superlink.crt, superlink.key, sites/<name>.pub
  sites/<name>/   connection.toml, ca.crt, <name>.key, <name>.pub, site.toml, start.md: goes to that site alone
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from fedlung.errors import ConfigError, ProvisioningError
from fedlung.names import SITE_NAME_RULE, is_site_name
from fedlung.provisioning import checks, templates
from fedlung.provisioning.address import LOOPBACK, Address
from fedlung.provisioning.authority import certificate_pem, issue_server_certificate, key_pem, new_authority
from fedlung.provisioning.files import PUBLIC_FILE, make_private_folder, write_new
from fedlung.provisioning.nodekeys import new_node_keys
from fedlung.sitefile import SITE_FILE, site_toml


@dataclass(frozen=True)
class ServerKit:
    """The server's folder of a kit, read and checked."""

    folder: Path
    address: Address
    listen: Address
    sites: tuple[str, ...]

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def certificate(self) -> Path:
        return self.folder / "superlink.crt"

    @property
    def key(self) -> Path:
        return self.folder / "superlink.key"

    def public_key(self, site: str) -> Path:
        return self.folder / "sites" / f"{site}.pub"


@dataclass(frozen=True)
class SiteKit:
    """A site's folder of a kit, read and checked."""

    folder: Path
    name: str
    server: Address

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def key(self) -> Path:
        return self.folder / f"{self.name}.key"

    @property
    def profile(self) -> Path:
        return self.folder / SITE_FILE


@dataclass(frozen=True)
class Kit:
    """What ``make_kit`` wrote: the folders to hand out."""

    authority: Path
    server: Path
    sites: dict[str, Path]


def make_kit(out: Path, server_address: str, sites: Sequence[str], *, days: int = 365) -> Kit:
    """Write keys, certificates and instructions for one server and its sites to the new folder ``out``.

    ``server_address`` is the host:port that the sites dial. Everything private has mode 0600, folders 0700.
    Raises ConfigError for an address or names that cannot be, ProvisioningError when ``out`` exists.
    """
    address = Address.parse(server_address)
    _check_site_names(sites)
    if days < 1:
        raise ConfigError(f"a kit must be valid for at least a day, not {days}.")
    make_private_folder(out)
    authority = new_authority(days=days)
    ca = certificate_pem(authority.certificate)
    names = tuple(dict.fromkeys((address.host, *LOOPBACK)))
    certificate, key = issue_server_certificate(authority, names, days=days)

    authority_folder = make_private_folder(out / "authority")
    write_new(authority_folder / "ca.crt", ca, mode=PUBLIC_FILE)
    write_new(authority_folder / "ca.key", key_pem(authority.key))
    server_folder = make_private_folder(out / "server")
    write_new(server_folder / "ca.crt", ca, mode=PUBLIC_FILE)
    write_new(server_folder / "superlink.crt", certificate_pem(certificate), mode=PUBLIC_FILE)
    write_new(server_folder / "superlink.key", key_pem(key))
    write_new(
        server_folder / "server.toml", templates.server_toml(str(address), _listen(address), sites), mode=PUBLIC_FILE
    )
    make_private_folder(server_folder / "sites")
    return Kit(authority_folder, server_folder, {name: _write_site(out, name, address, ca) for name in sites})


def read_server_kit(folder: Path) -> ServerKit:
    """Read and check the server's folder. Raises ProvisioningError in words that say how to mend it."""
    values = _toml(folder / "server.toml", ("address", "listen", "sites"))
    sites = tuple(str(name) for name in values["sites"])
    kit = ServerKit(folder.resolve(), Address.parse(values["address"]), Address.parse(values["listen"]), sites)
    checks.check_validity(kit.ca)
    checks.check_validity(kit.certificate)
    checks.check_issued_by(kit.certificate, kit.ca)
    for host in (kit.address.host, kit.listen.reached_at.host):
        checks.check_names(kit.certificate, host)
    if missing := [name for name in sites if not kit.public_key(name).is_file()]:
        raise ProvisioningError(f"{folder / 'sites'} has no public key of {', '.join(missing)}. Take it from the kit.")
    return kit


def read_site_kit(folder: Path) -> SiteKit:
    """Read and check a site's folder. Raises ProvisioningError in words that say how to mend it."""
    values = _toml(folder / "connection.toml", ("name", "server"))
    kit = SiteKit(folder.resolve(), str(values["name"]), Address.parse(values["server"]))
    checks.check_validity(kit.ca)
    checks.check_node_key(kit.key, kit.key.with_suffix(".pub"))
    return kit


def expires_soon(kit: ServerKit | SiteKit) -> timedelta | None:
    """The time that the authority's certificate, and at the server its own, has left when that is under 30 days."""
    certificates = [kit.ca, kit.certificate] if isinstance(kit, ServerKit) else [kit.ca]
    left = min(checks.check_validity(certificate) for certificate in certificates)
    return left if left < checks.EXPIRES_SOON else None


def _write_site(out: Path, name: str, server: Address, ca: bytes) -> Path:
    keys = new_node_keys(name)
    write_new(out / "server" / "sites" / f"{name}.pub", keys.public, mode=PUBLIC_FILE)
    folder = make_private_folder(out / "sites" / name)
    write_new(folder / "ca.crt", ca, mode=PUBLIC_FILE)
    write_new(folder / f"{name}.key", keys.private)
    write_new(folder / f"{name}.pub", keys.public, mode=PUBLIC_FILE)
    write_new(folder / "connection.toml", templates.connection_toml(name, str(server)), mode=PUBLIC_FILE)
    own = site_toml(name, {"dicom": "dicom", "annotations": "annotations.csv"})
    write_new(folder / SITE_FILE, own, mode=PUBLIC_FILE)
    write_new(folder / "start.md", templates.start_md(name, str(server)), mode=PUBLIC_FILE)
    return folder


def _listen(address: Address) -> str:
    """Where the server listens by default: on loopback when that is what the sites dial, else on all interfaces."""
    return str(address) if address.is_loopback else str(Address("0.0.0.0", address.port))


def _check_site_names(sites: Sequence[str]) -> None:
    if not sites:
        raise ConfigError("a kit needs at least one site: name them with --sites, separated by commas.")
    if bad := [name for name in sites if not is_site_name(name)]:
        raise ConfigError(f"{', '.join(map(repr, bad))} cannot name a site: a name is {SITE_NAME_RULE}.")
    if len({name.lower() for name in sites}) < len(sites):
        raise ConfigError(f"each site needs a name of its own (upper and lower case are the same): {', '.join(sites)}.")


def _toml(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProvisioningError(f"{path}: cannot be read ({error}). Name a folder that `fedlung kit` made.") from None
    if missing := [key for key in keys if key not in values]:
        raise ProvisioningError(f"{path}: {', '.join(missing)} missing. Take the file from the kit.")
    return values
