"""What can be wrong with a certificate or a key, said in a sentence before Flower says it in a code."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from fedlung.errors import ProvisioningError
from fedlung.provisioning.authority import general_name
from fedlung.provisioning.nodekeys import belongs_to

EXPIRES_SOON = timedelta(days=30)


def load_certificate(path: Path) -> x509.Certificate:
    """Read a PEM certificate. Raises ProvisioningError."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ProvisioningError(
            f"{path}: expected a certificate in PEM form ({error}). Take it from the kit."
        ) from None


def check_validity(path: Path, *, now: datetime | None = None) -> timedelta:
    """The time that a certificate has left. Raises ProvisioningError when it has expired or is not valid yet."""
    certificate, now = load_certificate(path), now or datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise ProvisioningError(
            f"{path} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC. "
            "Make a new kit with `fedlung kit`."
        )
    if now < certificate.not_valid_before_utc:
        raise ProvisioningError(
            f"{path} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC, and this machine's "
            f"clock says {now:%Y-%m-%d %H:%M}. Set the clock."
        )
    return certificate.not_valid_after_utc - now


def check_issued_by(path: Path, authority: Path) -> None:
    """Raises ProvisioningError when a certificate was not signed by this authority."""
    certificate, issuer = load_certificate(path), load_certificate(authority)
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        raise ProvisioningError(
            f"{path} was not signed by {authority}: they are of two kits. Take both from one."
        ) from None


def check_names(path: Path, host: str) -> None:
    """Raises ProvisioningError when a server's certificate does not name the host that sites dial."""
    names = load_certificate(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if general_name(host) not in list(names):
        known = ", ".join(str(name.value) for name in names)
        raise ProvisioningError(f"{path} is for {known}, not for {host}. Make a kit for the name that the sites dial.")


def check_node_key(private: Path, public: Path) -> None:
    """Raises ProvisioningError when a site's key is readable for others, damaged, or not the one of its public half."""
    try:
        fits = belongs_to(private.read_bytes(), public.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ProvisioningError(f"{private}: expected an OpenSSH key with its {public.name} ({error}).") from None
    if not fits:
        raise ProvisioningError(f"{private} and {public} are not one pair. Take both from the kit of this site.")
    if stat.S_IMODE(private.stat().st_mode) & 0o077:
        raise ProvisioningError(f"{private} can be read by others. Make it private: chmod 600 {private}")
