"""What a kind of CT is and what is expected of its reader; the families register theirs with ``@kind``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from corpus.phantom import Hu, chest_hu

Value = TypeVar("Value")
Writer = Callable[[Path], object]
FAMILIES: tuple[str, ...] = (
    "geometry",
    "stacks",
    "badgeometry",
    "identity",
    "pixels",
    "rescale",
    "tornpixels",
    "headers",
    "damage",
)
FAMILIES += ("suspicious", "contradicted", "syntaxes", "codestreams", "multiframe", "files", "metaimages", "niftis")
FAMILIES += ("frames", "joined", "voxelorder")


@dataclass(frozen=True)
class Expectation:
    """What a reader must make of a folder.

    volumes       the number of slices of each volume that comes back, in the order of series UIDs
    codes         where a series must be refused: a reason out of these, by the finder or by the reader
    beside        reason -> number of files that are left out alone while the series is judged by itself
    repair        the repair that makes a refused series readable when it is asked for
    tolerance_hu  how far a voxel may be off: half of one stored step, or what an interpolation costs
    """

    volumes: tuple[int, ...] = ()
    codes: frozenset[str] = frozenset()
    beside: Mapping[str, int] = field(default_factory=dict)
    repair: str = ""
    tolerance_hu: float = 0.5


@dataclass(frozen=True)
class Kind:
    """A folder of CT: its name, its story, what writes it, what it is truly, and what is expected.

    ``as_root`` is False where an administrator, who may read everything, would meet nothing odd.
    """

    name: str
    family: str
    story: str
    write: Writer
    hu: Hu
    expected: Expectation
    as_root: bool = True


KINDS: dict[str, Kind] = {}


def read(*volumes: int, beside: Mapping[str, int] | None = None, tolerance_hu: float = 0.5) -> Expectation:
    """Every voxel right; files beside are told by reason. One volume of 16 slices where no number is said."""
    return Expectation(volumes or (16,), beside=beside or {}, tolerance_hu=tolerance_hu)


def refused(*codes: str, beside: Mapping[str, int] | None = None, volumes: tuple[int, ...] = ()) -> Expectation:
    """No volume of this series, for one of these reasons; ``volumes`` are other, sound series in the folder."""
    return Expectation(volumes, frozenset(codes), beside or {})


def repaired(repair: str, code: str, *, tolerance_hu: float) -> Expectation:
    """Refused, unless the repair is asked for; then right to what an interpolation costs."""
    return Expectation((), frozenset({code}), {}, repair, tolerance_hu)


def nothing(**beside: int) -> Expectation:
    """No series at all, only files that are none."""
    return Expectation(beside=beside)


def kind(
    expected: Expectation, *, hu: Hu = chest_hu, as_root: bool = True
) -> Callable[[Callable[[Path], object]], Callable[[Path], object]]:
    """Register a writer: its name is the kind's, its docstring the story."""

    def register(write: Writer) -> Writer:
        story = " ".join((write.__doc__ or "").split())
        family = write.__module__.rpartition(".")[2]
        add(Kind(write.__name__.strip("_").replace("_", "-"), family, story, write, hu, expected, as_root))
        return write

    return register


def variants(
    rows: Mapping[str, tuple[str, Value]], expected: Expectation, *, hu: Hu = chest_hu
) -> Callable[[Callable[[Path, Value], object]], Callable[[Path, Value], object]]:
    """Register a writer once for each row: kind's name -> its story and what the writer is given."""

    def register(write: Callable[[Path, Value], object]) -> Callable[[Path, Value], object]:
        def bound(value: Value) -> Writer:
            return lambda folder: write(folder, value)

        family = write.__module__.rpartition(".")[2]
        for name, (story, value) in rows.items():
            add(Kind(name, family, story, bound(value), hu, expected))
        return write

    return register


def add(one: Kind) -> None:
    """Register a kind; names are unique."""
    assert one.name not in KINDS, f"two kinds are called {one.name}"
    assert one.story, f"{one.name} has no story"
    KINDS[one.name] = one


def all_kinds() -> dict[str, Kind]:
    """Every kind by its name."""
    for family in FAMILIES:
        import_module(f"corpus.{family}")
    return KINDS
