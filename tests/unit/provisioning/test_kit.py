"""A start-up kit: who gets which file, and what is said about a kit that does not fit."""

from __future__ import annotations

import shutil
import stat
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedlung.errors import ConfigError, ProvisioningError
from fedlung.provisioning import Kit, checks, make_kit, read_server_kit, read_site_kit

SITES = ("North", "South", "East")


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return make_kit(tmp_path / "kit", "federation.example.org:9443", SITES)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_kit_reads_back_as_it_was_ordered(kit: Kit) -> None:
    server, site = read_server_kit(kit.server), read_site_kit(kit.sites["South"])
    assert (str(server.address), str(server.listen), server.sites) == (
        "federation.example.org:9443",
        "0.0.0.0:9443",
        SITES,
    )
    assert (site.name, site.server) == ("South", server.address)
    assert site.ca.read_bytes() == server.ca.read_bytes()
    assert site.key.with_suffix(".pub").read_bytes() == server.public_key("South").read_bytes()


def test_private_files_are_for_their_owner_alone(kit: Kit) -> None:
    root = kit.server.parent
    private = [path for path in root.rglob("*") if b"PRIVATE KEY" in (path.read_bytes() if path.is_file() else b"")]
    assert len(private) == 2 + len(SITES)
    assert {mode_of(path) for path in private} == {0o600}
    assert {mode_of(path) for path in (root, kit.server, kit.authority, *kit.sites.values())} == {0o700}


def test_each_secret_is_in_one_folder_only(kit: Kit) -> None:
    """The authority's key is at no site and not at the server; no site has another's key."""
    root = kit.server.parent
    private = [p for p in root.rglob("*") if p.is_file() and b"PRIVATE KEY" in p.read_bytes()]
    assert len({path.read_bytes() for path in private}) == len(private)
    assert {path.relative_to(root).as_posix() for path in private} == {
        "authority/ca.key",
        "server/superlink.key",
        *(f"sites/{name}/{name}.key" for name in SITES),
    }


def test_a_sites_key_is_what_flower_asks_for(kit: Kit) -> None:
    key = serialization.load_ssh_private_key((kit.sites["North"] / "North.key").read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp384r1"


def test_the_site_template_is_toml_with_the_sites_name(kit: Kit) -> None:
    profile = tomllib.loads((kit.sites["East"] / "site.toml").read_text(encoding="utf-8"))
    assert (profile["name"], profile["synthetic"]) == ("East", False)


def test_a_server_on_loopback_listens_there_only(tmp_path: Path) -> None:
    kit = read_server_kit(make_kit(tmp_path / "kit", "127.0.0.1:9443", SITES).server)
    assert str(kit.listen) == "127.0.0.1:9443"


def test_a_kit_is_never_overwritten(kit: Kit) -> None:
    before = (kit.authority / "ca.key").read_bytes()
    with pytest.raises(ProvisioningError, match="never overwritten"):
        make_kit(kit.server.parent, "federation.example.org:9443", SITES)
    assert (kit.authority / "ca.key").read_bytes() == before


@pytest.mark.parametrize("address", ["nowhere", "host:", "host:0", "host:65536", ":9443", "ho st:1", "a/b:1"])
def test_an_address_that_cannot_be_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="expected host:port"):
        make_kit(tmp_path / "kit", address, SITES)
    assert not (tmp_path / "kit").exists()


@pytest.mark.parametrize("sites", [[], ["a", "A"], ["../up"], ["a b"], [""], ["x" * 65]])
def test_names_that_are_no_folders_or_not_distinct_are_refused(tmp_path: Path, sites: list[str]) -> None:
    with pytest.raises(ConfigError):
        make_kit(tmp_path / "kit", "host:9443", sites)
    assert not (tmp_path / "kit").exists()


def test_an_expired_and_a_future_certificate_are_named(kit: Kit) -> None:
    certificate = kit.server / "superlink.crt"
    with pytest.raises(ProvisioningError, match=r"superlink\.crt expired on"):
        checks.check_validity(certificate, now=datetime.now(UTC) + timedelta(days=366))
    with pytest.raises(ProvisioningError, match="Set the clock"):
        checks.check_validity(certificate, now=datetime.now(UTC) - timedelta(hours=1))
    assert timedelta(days=364) < checks.check_validity(certificate) < timedelta(days=366)


def test_a_certificate_of_another_kit_is_named(kit: Kit, tmp_path: Path) -> None:
    other = make_kit(tmp_path / "other", "federation.example.org:9443", SITES)
    shutil.copy(other.server / "ca.crt", kit.server / "ca.crt")
    with pytest.raises(ProvisioningError, match="they are of two kits"):
        read_server_kit(kit.server)


@pytest.mark.parametrize("key", ["address", "listen"])
def test_a_certificate_for_another_host_is_named(kit: Kit, key: str) -> None:
    path = kit.server / "server.toml"
    lines = [f'{key} = "10.0.0.5:9443"' if line.startswith(key) else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ProvisioningError, match=r"not for 10\.0\.0\.5"):
        read_server_kit(kit.server)


def test_a_site_key_that_others_can_read_is_refused_with_the_mend(kit: Kit) -> None:
    key = kit.sites["North"] / "North.key"
    key.chmod(0o644)
    with pytest.raises(ProvisioningError, match=f"chmod 600 {key}"):
        read_site_kit(kit.sites["North"])


def test_a_site_key_of_another_site_is_refused(kit: Kit) -> None:
    shutil.copy(kit.sites["South"] / "South.key", kit.sites["North"] / "North.key")
    with pytest.raises(ProvisioningError, match="not one pair"):
        read_site_kit(kit.sites["North"])


def test_a_damaged_key_and_a_missing_public_half_are_refused(kit: Kit) -> None:
    (kit.server / "sites" / "East.pub").unlink()
    with pytest.raises(ProvisioningError, match="no public key of East"):
        read_server_kit(kit.server)
    (kit.sites["East"] / "East.key").write_text("not a key")
    with pytest.raises(ProvisioningError, match="expected an OpenSSH key"):
        read_site_kit(kit.sites["East"])


def test_a_folder_that_is_no_kit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProvisioningError, match="fedlung kit"):
        read_site_kit(tmp_path)
