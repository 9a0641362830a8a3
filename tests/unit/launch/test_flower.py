"""What Flower is told, checked with Flower's own parsers."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest
from flwr.common.config import parse_config_args

from fedlung.errors import ConfigError, RunError
from fedlung.launch.flower import SuperLink, end_of, executable, flower_environment, free_port, node_config
from fedlung.launch.processes import Children
from fedlung.launch.simulate import simulation_resources
from fedlung.provisioning import Address


def test_nothing_is_sent_out_or_installed_and_state_stays_in_its_folder(tmp_path: Path) -> None:
    environment = flower_environment(tmp_path, threads=1)
    expected = {
        "FLWR_HOME": str(tmp_path),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }
    assert expected.items() <= environment.items()
    assert environment["PATH"].split(":")[0] == str(Path(executable("flwr")).parent)


def test_a_proxy_is_not_asked_for_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet.example.org")
    assert flower_environment(tmp_path)["NO_PROXY"].split(",") == [
        "intranet.example.org",
        "localhost",
        "127.0.0.1",
        "::1",
    ]


@pytest.mark.parametrize("path", ["/data/site.toml", "/a b/c=d/site.toml", '/with "quotes"/x.toml', "/o'clock/x.toml"])
def test_a_path_survives_flowers_node_config(path: str) -> None:
    assert parse_config_args([node_config({"profile": path})]) == {"profile": path}


def test_a_path_that_node_config_cannot_carry_is_refused() -> None:
    with pytest.raises(ConfigError, match="Rename the folder"):
        node_config({"profile": "/both'and\"/x.toml"})


@pytest.mark.parametrize("num_gpus", [1, 2, 4, 8])
@pytest.mark.parametrize("at_once", range(1, 17))
def test_flower_finds_room_for_as_many_sites_as_are_meant_to_run_at_once(num_gpus: int, at_once: int) -> None:
    resources = simulation_resources(at_once, num_cores=16, num_gpus=num_gpus)
    share = float(np.float32(resources["client-resources-num-gpus"]))  # as it travels
    assert int(num_gpus / share) >= min(at_once, resources["init-args-num-cpus"])
    assert share <= 1.0


def test_on_two_cores_two_of_four_sites_run_at_once_with_one_core_each() -> None:
    assert simulation_resources(4, num_cores=2, num_gpus=0) == {
        "num-supernodes": 4,
        "client-resources-num-cpus": 1,
        "init-args-num-cpus": 2,
    }


def test_a_superlink_that_cannot_start_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Children(flower_environment(tmp_path / "home")) as children:
            superlink = SuperLink(children, tmp_path / "home", tmp_path / "flower.log", Address("127.0.0.1", port))
            with pytest.raises(RunError, match="did not start") as raised:
                superlink.start(simulation=True)
    assert "address already in use" in str(raised.value)


def test_the_end_of_a_log_is_short_and_without_colours(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("\n".join(f"\x1b[92mline {i}\x1b[0m" for i in range(100)))
    assert end_of(tmp_path / "log").splitlines()[-2:] == ["  line 99", f"All of it is in {tmp_path / 'log'}."]
    assert len(end_of(tmp_path / "log").splitlines()) == 16


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server:
        assert server.getsockname()[1] == port
