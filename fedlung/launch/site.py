"""A site's side of a federation between machines: a SuperNode that is watched, and asked for again when it gives up."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fedlung.errors import ConfigError, ProvisioningError, RunError
from fedlung.launch.flower import flower_environment, supernode_command
from fedlung.launch.processes import Children, interruptible_once
from fedlung.launch.run import name_in, short_folder, warn_of_expiry
from fedlung.provisioning import Address, SiteKit, read_site_kit

DEACTIVATION_S = 12.0  # a SuperNode that is asked to stop says goodbye to its server first
READ_OUT_S = 5.0  # for the last lines of a SuperNode that has ended
KEPT_LINES = 15
# A SuperNode gives up where a site must not: when its server is started again and does not know it for a moment, or
# believes it online for the 45 to 58 s after a crash. So the site knocks again, a dozen times in a row.
KNOCKS, KNOCK_EVERY_S, LIVED_S = 12, 5.0, 30.0
HOPELESS = "code: 2001"
# What a SuperNode says before it gives up, and what that means.
VERDICTS = {
    HOPELESS: "the server asks for a key and got none. Take this site's and the server's folder from one kit.",
    "code: 2004": "the server does not admit this site: its server.toml does not name it, it has another kit, or "
    "another machine is running with this site's key.",
}


def start_site(kit_folder: Path, *, profile: Path | None = None, on_line: Callable[[str], None] | None = None) -> None:
    """Run a site until it is stopped by Ctrl-C or SIGTERM; then it takes leave of its server, and this returns.

    ``profile`` is the site's own site.toml, the kit's by default; ``on_line`` gets each line of the SuperNode's log. A
    server that is not there yet is waited for, one that refuses is asked again for a minute and a half. Raises
    ProvisioningError or ConfigError before anything is started, RunError with the reason when the SuperNode gave up.
    """
    kit = read_site_kit(kit_folder)
    warn_of_expiry(kit)
    profile = profile or kit.profile
    if (name := name_in(profile)) != kit.name:
        raise ConfigError(
            f"{profile} is of {name!r}, and the kit in {kit.folder} admits {kit.name!r}. Give both one name."
        )
    check_server(kit.server, kit.ca)
    knocks, said = 0, ""
    with interruptible_once(), suppress(KeyboardInterrupt):
        while knocks < KNOCKS and HOPELESS not in said:
            begun = time.monotonic()
            said = _run_supernode(kit, profile, on_line)
            knocks = 1 if time.monotonic() - begun > LIVED_S else knocks + 1
            time.sleep(KNOCK_EVERY_S)
        raise RunError(_verdict(said))


def check_server(server: Address, ca: Path) -> None:
    """Raises ProvisioningError when the server shows a certificate that the kit does not trust; absence is no error."""
    context = ssl.create_default_context(cafile=ca)
    try:
        with socket.create_connection((server.host, server.port), timeout=5) as raw:
            context.wrap_socket(raw, server_hostname=server.host).close()
    except ssl.SSLCertVerificationError as error:
        raise ProvisioningError(
            f"the server at {server} cannot be trusted with {ca}: {error.verify_message}. "
            "Take a site folder and a server folder of one kit, made for the name that is dialled."
        ) from None
    except OSError:
        return


def _run_supernode(kit: SiteKit, profile: Path, on_line: Callable[[str], None] | None) -> str:
    """Run a SuperNode until it ends by itself; gives its last lines."""
    with short_folder() as home:
        with Children(flower_environment(home), grace_s=DEACTIVATION_S) as children:
            node = children.start(supernode_command(kit, profile), output=subprocess.PIPE)
            log = NodeLog(node, on_line)
            log.start()
            node.wait()
        log.join(READ_OUT_S)
        return "\n".join(log.last_lines)


class NodeLog(threading.Thread):
    """Passes on the lines of a process as they come, and keeps the last ones."""

    def __init__(self, process: subprocess.Popen[bytes], on_line: Callable[[str], None] | None) -> None:
        super().__init__(name="node-log", daemon=True)
        self.process = process
        self.on_line = on_line
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)

    def run(self) -> None:
        assert self.process.stdout is not None, "started with output=PIPE"
        with self.process.stdout as lines:
            for raw in lines:
                line = raw.decode(errors="replace").rstrip()
                self.last_lines.append(line)
                if self.on_line is not None:
                    self.on_line(line)


def _verdict(said: str) -> str:
    known = [sentence for sign, sentence in VERDICTS.items() if sign in said]
    return f"the site ended by itself: {known[0] if known else 'Flower gave up.'}\n{said}"
