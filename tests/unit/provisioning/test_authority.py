"""The authority and its certificates, judged by two other implementations: cryptography's verifier and OpenSSL."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from fedlung.provisioning.authority import certificate_pem, issue_server_certificate, key_pem, new_authority

NAMES = ("server.example.org", "127.0.0.1", "::1")


def verified(host: x509.DNSName | x509.IPAddress, *, trusted: x509.Certificate, shown: x509.Certificate) -> None:
    PolicyBuilder().store(Store([trusted])).build_server_verifier(host).verify(shown, [])


def handshake(tmp_path: Path, dialled: str, *, trusted: x509.Certificate | None = None) -> None:
    """A TLS handshake in memory, with OpenSSL's strict checks; raises where the client refuses."""
    authority = new_authority(days=2)
    certificate, key = issue_server_certificate(authority, NAMES, days=2)
    (tmp_path / "crt").write_bytes(certificate_pem(certificate))
    (tmp_path / "key").write_bytes(key_pem(key))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    client = ssl.create_default_context(cadata=certificate_pem(trusted or authority.certificate).decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server, server_hostname=dialled)
    there = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (here, there, here, there):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


def test_the_chain_verifies_for_each_name_of_the_certificate() -> None:
    authority = new_authority(days=2)
    certificate, _ = issue_server_certificate(authority, NAMES, days=2)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert len(names) == len(NAMES)
    for name in names:
        verified(name, trusted=authority.certificate, shown=certificate)


def test_another_authority_of_the_same_name_is_refused() -> None:
    certificate, _ = issue_server_certificate(new_authority(days=2), NAMES, days=2)
    with pytest.raises(VerificationError):
        verified(x509.DNSName(NAMES[0]), trusted=new_authority(days=2).certificate, shown=certificate)


@pytest.mark.parametrize("dialled", NAMES)
def test_openssl_shakes_hands_under_each_name(tmp_path: Path, dialled: str) -> None:
    handshake(tmp_path, dialled)


@pytest.mark.parametrize("dialled", ["other.example.org", "127.0.0.2"])
def test_openssl_refuses_a_name_that_the_certificate_has_not(tmp_path: Path, dialled: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"Hostname mismatch|IP address mismatch"):
        handshake(tmp_path, dialled)


def test_openssl_refuses_a_foreign_authority(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, NAMES[0], trusted=new_authority(days=2).certificate)


def test_the_authority_signs_end_certificates_only() -> None:
    extensions = new_authority(days=2).certificate.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert usage.critical and usage.value.key_cert_sign and not usage.value.digital_signature


def test_certificates_last_as_long_as_asked_and_forgive_a_clock_five_minutes_behind() -> None:
    now = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
    certificate = new_authority(days=10, now=now).certificate
    assert certificate.not_valid_after_utc == dt.datetime(2026, 3, 11, 12, 0, tzinfo=dt.UTC)
    assert certificate.not_valid_before_utc == dt.datetime(2026, 3, 1, 11, 55, tzinfo=dt.UTC)


def test_serial_numbers_are_random() -> None:
    authority = new_authority(days=2)
    serials = {issue_server_certificate(authority, NAMES, days=2)[0].serial_number for _ in range(4)}
    assert len(serials) == 4 and min(serial.bit_length() for serial in serials) > 64
