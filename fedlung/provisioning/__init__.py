"""Keys, certificates and start-up kits: who may take part in a federation."""

from fedlung.provisioning.address import LOOPBACK, Address
from fedlung.provisioning.kit import (
    Kit,
    ServerKit,
    SiteKit,
    expires_soon,
    make_kit,
    read_server_kit,
    read_site_kit,
)

__all__ = [
    "LOOPBACK",
    "Address",
    "Kit",
    "ServerKit",
    "SiteKit",
    "expires_soon",
    "make_kit",
    "read_server_kit",
    "read_site_kit",
]
