"""Flower's processes and commands: the one file that knows how Flower 1.41 is started, asked and configured."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedlung.errors import ConfigError, ProvisioningError, RunError
from fedlung.launch.bundle import toml_text
from fedlung.launch.processes import Children
from fedlung.provisioning import LOOPBACK, Address, SiteKit

CONNECTION = "fedlung"  # our only entry in Flower's own configuration file
START_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 60.0
LOG_LINES_IN_ERROR = 15
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def flower_environment(home: Path, *, threads: int | None = None) -> dict[str, str]:
    """Our environment for Flower's processes: its state in ``home``, nothing sent out, nothing installed at run time.

    ``threads`` fixes the number of threads of each process: other numbers give other last digits.
    """
    scripts = sysconfig.get_path("scripts")
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)]),
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        # A hospital's proxy must not be asked for this machine itself.
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY", os.environ.get("no_proxy", "")), *LOOPBACK])),
    }
    environment["no_proxy"] = environment["NO_PROXY"]
    if threads is not None:
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    return environment


def executable(name: str) -> str:
    """The path of one of Flower's programs in this Python's environment."""
    path = Path(sysconfig.get_path("scripts")) / name
    if not path.exists():
        raise ConfigError(
            f"{path} is missing: Flower's programs are not in this environment. Install flwr[simulation]."
        )
    return str(path)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class TLS:
    """Files of the SuperLink's TLS."""

    ca: Path
    certificate: Path
    key: Path


@dataclass
class SuperLink:
    """A SuperLink among ``children``, and the commands that are sent to it.

    ``home`` is Flower's own folder (FLWR_HOME). ``log`` takes the SuperLink's output, and what a run streams from its
    ServerApp. Without ``tls`` it is for this machine alone.
    """

    children: Children
    home: Path
    log: Path
    listen: Address
    tls: TLS | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def address(self) -> str:
        return str(self.listen.reached_at)

    def start(self, *, simulation: bool) -> None:
        """Start it and wait until it answers. Raises RunError with the end of its log when it does not."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._write_connection()
        with self.log.open("ab") as output:
            # Ray puts its working folder first on the path of imports: a checkout there would hide the bundle's code.
            self.process = self.children.start(self._command(simulation), output=output, cwd=self.home)
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.is_running and time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(0.1)
        raise RunError(f"Flower's SuperLink did not start on {self.listen}.\n{end_of(self.log)}")

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def register(self, public_key: Path, name: str) -> None:
        """Admit a SuperNode by its public key, under a name. Raises ProvisioningError."""
        done = self._flwr("supernode", "register", str(public_key), CONNECTION, "--name", name)
        if done.returncode:
            raise ProvisioningError(
                f"the server did not take {name}'s key {public_key}: {_plain(done.stdout, done.stderr)}"
            )

    def submit(
        self, app: Path, run_config: Mapping[str, Any], *, simulation: Mapping[str, int | float] | None
    ) -> Submission:
        """Start a run; ``simulation`` is Flower's federation configuration when its sites are simulated."""
        overrides = self.home / "run.toml"
        overrides.write_text(toml_text(dict(run_config)), encoding="utf-8")
        command = [executable("flwr"), "run", str(app), CONNECTION, "--stream", "--run-config", str(overrides)]
        if simulation is not None:
            command += ["--federation-config", " ".join(f"{key}={value}" for key, value in simulation.items())]
        with self.log.open("ab") as output:
            return Submission(self.children.start(command, output=output, cwd=self.home))

    def status(self) -> str:
        """Flower's own words on its latest run, such as ``finished:failed``; empty when it has none or is silent."""
        try:
            listing = json.loads(self._flwr("ls", CONNECTION, "--format", "json").stdout)
            return str(listing["runs"][0]["status"])
        except (subprocess.TimeoutExpired, json.JSONDecodeError, LookupError, TypeError):
            return ""

    def _command(self, simulation: bool) -> list[str]:
        command = [executable("flower-superlink"), "--host", self.listen.host, "--port", str(self.listen.port)]
        command += ["--disable-runtime-dependency-installation"]
        if self.tls is None:
            command += ["--insecure"]
        else:
            files = {"ca-certfile": self.tls.ca, "certfile": self.tls.certificate, "keyfile": self.tls.key}
            command += [word for name, path in files.items() for word in (f"--ssl-{name}", str(path))]
            command += ["--enable-supernode-auth"]
        return [*command, "--simulation"] if simulation else command

    def _write_connection(self) -> None:
        security = "insecure = true" if self.tls is None else toml_text({"root-certificates": str(self.tls.ca)})
        lines = ["[superlink]", f'default = "{CONNECTION}"', f"[superlink.{CONNECTION}]", f'address = "{self.address}"']
        (self.home / "config.toml").write_text("\n".join([*lines, security, ""]), encoding="utf-8")

    def _answers(self) -> bool:
        scheme, context = "http", None
        if self.tls is not None:
            scheme, context = "https", ssl.create_default_context(cafile=self.tls.ca)
        no_proxy, secured = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        try:
            with urllib.request.build_opener(no_proxy, secured).open(
                f"{scheme}://{self.address}/health", timeout=2
            ) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _flwr(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.children.run([executable("flwr"), *words], timeout_s=COMMAND_TIMEOUT_S)


@dataclass(frozen=True)
class Submission:
    """A started ``flwr run --stream``: it ends when the run ends, with exit code 0 even when the run failed."""

    process: subprocess.Popen[bytes]

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait(self, timeout_s: float) -> None:
        """Sleep until the run has ended, but not longer than ``timeout_s``."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return


def supernode_command(kit: SiteKit, profile: Path) -> list[str]:
    """The command of a SuperNode that works with a site's profile; it dials out and serves its own apps only."""
    command = [executable("flower-supernode"), "--superlink", str(kit.server), "--root-certificates", str(kit.ca)]
    command += ["--auth-supernode-private-key", str(kit.key), "--host", "127.0.0.1", "--port", str(free_port())]
    return [*command, "--node-config", node_config({"profile": str(profile.resolve())})]


def node_config(values: Mapping[str, str]) -> str:
    """``key='value' ...`` as Flower parses it: a TOML literal string where possible, without escapes."""
    return " ".join(f"{key}={_node_config_quoted(value)}" for key, value in values.items())


def end_of(log: Path) -> str:
    """The last lines of a log, for an error; says where the rest is."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    kept = [ANSI.sub("", line) for line in lines if line.strip()][-LOG_LINES_IN_ERROR:]
    return "\n".join(["  " + line for line in kept] + [f"All of it is in {log}."])


def _node_config_quoted(value: str) -> str:
    if "'" not in value:
        return f"'{value}'"
    if not set('"\\') & set(value):
        return f'"{value}"'
    raise ConfigError(f"{value!r} holds quotes that Flower's --node-config cannot carry. Rename the folder.")


def _plain(*texts: str) -> str:
    return ANSI.sub("", " ".join(" ".join(texts).split()))
