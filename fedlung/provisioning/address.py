"""Where a server is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fedlung.errors import ConfigError

LOOPBACK = ("localhost", "127.0.0.1", "::1")  # the server's own commands come this way
HOST = re.compile(r"[A-Za-z0-9:]([A-Za-z0-9.:-]*[A-Za-z0-9:])?")


@dataclass(frozen=True)
class Address:
    """Host (a DNS name or an IP address) and port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """``host:port`` or ``[v6]:port``. Raises ConfigError."""
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not HOST.fullmatch(host) or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ConfigError(f"{text!r} is no address: expected host:port, e.g. federation.example.org:9443")
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        return self.host in LOOPBACK

    @property
    def reached_at(self) -> Address:
        """How the machine that listens here reaches itself."""
        return Address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host), self.port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
