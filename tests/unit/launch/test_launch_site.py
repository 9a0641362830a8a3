"""What a site checks before it starts anything."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fedlung.errors import ConfigError, ProvisioningError
from fedlung.launch.flower import free_port
from fedlung.launch.site import check_server, start_site
from fedlung.provisioning import Address, Kit, make_kit


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return make_kit(tmp_path_factory.mktemp("kits") / "kit", "127.0.0.1:9443", ["North"])


@contextmanager
def tls_server(folder: Path) -> Iterator[Address]:
    """A server that shakes hands with one client, with the certificate of a kit's server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "superlink.crt", folder / "superlink.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            raw, _ = listener.accept()
            with raw, suppress(OSError):
                context.wrap_socket(raw, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield Address("127.0.0.1", listener.getsockname()[1])
        thread.join(5)


def test_the_server_of_ones_own_kit_is_trusted(kit: Kit) -> None:
    with tls_server(kit.server) as address:
        check_server(address, kit.sites["North"] / "ca.crt")


def test_the_server_of_another_kit_is_refused_in_words(kit: Kit, tmp_path: Path) -> None:
    other = make_kit(tmp_path / "other", "127.0.0.1:9443", ["North"])
    with tls_server(other.server) as address, pytest.raises(ProvisioningError, match="folder of one kit"):
        check_server(address, kit.sites["North"] / "ca.crt")


def test_a_server_that_is_not_there_yet_is_no_error(kit: Kit) -> None:
    check_server(Address("127.0.0.1", free_port()), kit.sites["North"] / "ca.crt")


def test_a_profile_of_another_site_is_refused_before_anything_starts(kit: Kit, tmp_path: Path) -> None:
    profile = tmp_path / "site.toml"
    profile.write_text('name = "South"')
    with pytest.raises(ConfigError, match=r"'South'.*'North'"):
        start_site(kit.sites["North"], profile=profile)


def test_a_missing_profile_is_named(kit: Kit, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        start_site(kit.sites["North"], profile=tmp_path / "absent.toml")


def test_a_kit_that_is_about_to_expire_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = make_kit(tmp_path / "old", "127.0.0.1:9443", ["North"], days=20)
    with pytest.raises(ConfigError):
        start_site(old.sites["North"], profile=tmp_path / "absent.toml")
    assert ["expire in 19 days" in record.getMessage() for record in caplog.records] == [True]
