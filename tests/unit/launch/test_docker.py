"""The container files, as far as they can be judged without an engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml

from fedlung.cli.app import app

ROOT = Path(__file__).resolve().parents[3]
DOCKER = ROOT / "docker"
IMAGES = ("site", "server")
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SITES = {"ge": "GE", "siemens": "SIEMENS", "toshiba": "TOSHIBA"}


def instructions(image: str, word: str) -> list[str]:
    text = (DOCKER / f"Dockerfile.{image}").read_text(encoding="utf-8")
    return re.findall(rf"^{word} (.+)$", text, flags=re.MULTILINE)


def parsed(words: list[str]) -> click.Context:
    """The words after ``fedlung`` as its command line reads them; raises click.UsageError where it does not."""
    command: Any = typer.main.get_command(app)
    context = click.Context(command, info_name="fedlung")
    while hasattr(command, "commands"):
        command = command.commands[words[0]]
        words = words[1:]
    return command.make_context("fedlung", list(words), parent=context)


@pytest.mark.parametrize("image", IMAGES)
def test_every_source_of_a_copy_exists_and_passes_the_dockerignore(image: str) -> None:
    ignored = (DOCKER / f"Dockerfile.{image}.dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    sources = {source for line in instructions(image, "COPY") for source in line.split()[:-1]}
    assert "*" in ignored and sources == allowed
    assert all((ROOT / source).exists() for source in sources)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_nobody_special_and_starts_what_fedlung_has(image: str) -> None:
    assert instructions(image, "USER")[-1] == "fedlung"
    assert instructions(image, "ENTRYPOINT") == ['["fedlung"]']
    (command,) = instructions(image, "CMD")
    assert parsed(yaml.safe_load(command)).command.name == "start"


def test_the_sites_image_has_none_of_the_code_that_travels() -> None:
    assert not {"sites", "server"} & {word for line in instructions("site", "COPY") for word in line.split()}


@pytest.mark.parametrize("service", COMPOSE["services"])
def test_every_command_of_the_compose_file_is_one_that_fedlung_has(service: str) -> None:
    context = parsed(COMPOSE["services"][service]["command"])
    assert context.command.name == {"kit": "kit", "phantom": "phantom"}.get(service, "start")


def test_each_site_gets_its_own_folders_and_nobody_elses() -> None:
    for service, name in SITES.items():
        sources = [volume.split(":")[0] for volume in COMPOSE["services"][service]["volumes"]]
        assert sources == [f"./federation/kit/sites/{name}", f"./federation/data/{name}"]
    kit = parsed(COMPOSE["services"]["kit"]["command"])
    assert kit.params["sites"].split(",") == list(SITES.values())
    assert kit.params["server"].split(":")[0] in COMPOSE["services"], "the name that the sites dial is the service's"


def test_no_port_is_published_and_the_network_has_no_way_out() -> None:
    assert not [name for name, service in COMPOSE["services"].items() if "ports" in service]
    assert COMPOSE["networks"]["federation"]["internal"] is True
    assert {tuple(service["networks"]) for service in COMPOSE["services"].values()} == {("federation",)}
