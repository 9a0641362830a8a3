"""A site's key pair: how the server knows that it is that site. EC P-384 in OpenSSH's form, as Flower reads it."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True)
class NodeKeys:
    """``private`` stays at the site; ``public`` is registered with the server."""

    private: bytes
    public: bytes


def new_node_keys(site: str) -> NodeKeys:
    """A fresh key pair; the public half carries the site's name as its comment."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return NodeKeys(private, public + f" {site}\n".encode())


def belongs_to(private: bytes, public: bytes) -> bool:
    """Whether two halves are of one pair."""
    half = serialization.load_ssh_private_key(private, password=None).public_key()
    other = serialization.load_ssh_public_key(public)
    form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return half.public_bytes(*form) == other.public_bytes(*form)
