"""A method of the comparison: a strategy, and what it changes of the run's configuration.

fedavg                                              the strategy with everything else as configured
fedavg+model.norm=batch                             the same with BatchNorm
scaffold                                            needs plain SGD, and gets it
fedprox+strategy.proximal-mu=0.001|0.01|0.1         one row: the value is chosen on the source sites' validation
fedavg+optimizer.learning-rate=0.001|0.003+model.width=8|16     of several keys, every combination is tried

A method with choices is run with each of them, as if each were a method of its own; ``choosing`` chooses.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from itertools import product
from typing import get_args

from fedlung.config import LosoConfig, Scalar, StrategyName
from fedlung.errors import ConfigError

FIXED = ("name", "folder", "seed", "protocol", "task.", "prepare.", "split.", "federation.", "evaluate.", "loso.")
CHOICE = "|"
MOST_VARIANTS = 24  # of one method, each of which is run for every unseen site and seed


@dataclass(frozen=True)
class Method:
    """``overrides``: knobs of the run's configuration, flat, that the method has otherwise."""

    name: str
    strategy: str
    overrides: tuple[tuple[str, Scalar], ...] = ()

    @property
    def slug(self) -> str:
        """The name as part of a folder's: the strategy, and a digest of what else it changes."""
        if not (changes := self.name.partition("+")[2]):
            return self.strategy
        return f"{self.strategy}-{hashlib.sha256(changes.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class ListedMethod:
    """A method as ``loso.methods`` has it: one row. ``variants``: itself, or what its choices make, in their order.

    ``choices``: the keys that are chosen; none where there is nothing to choose.
    """

    name: str
    variants: tuple[Method, ...]
    choices: tuple[str, ...] = ()


def listed_methods(loso: LosoConfig) -> tuple[ListedMethod, ...]:
    """The methods of ``loso.methods`` in their order. What is the same in two of them is one variant, and run once.

    Raises ConfigError as ``method_of`` does, and for choices that are empty, named twice or too many.
    """
    known: dict[tuple[str, frozenset[tuple[str, Scalar]]], Method] = {}
    listed = []
    for name in loso.method_names:
        names, choices = _spelled_out(name)
        variants = [method_of(variant, loso) for variant in names]
        shared = tuple(known.setdefault((one.strategy, frozenset(one.overrides)), one) for one in variants)
        listed.append(ListedMethod(name, shared, choices))
    return tuple(listed)


def method_of(name: str, loso: LosoConfig) -> Method:
    """The method of that name. Raises ConfigError for an unknown strategy, or for a change of what all must share."""
    strategy, *changes = (part.strip() for part in name.split("+"))
    if strategy not in get_args(StrategyName):
        raise ConfigError(f"loso.methods: no strategy {strategy!r}; there are {', '.join(get_args(StrategyName))}")
    overrides = _required(strategy, loso) | dict(_change(name, change) for change in changes)
    return Method(name, strategy, tuple(overrides.items()))


def _spelled_out(name: str) -> tuple[list[str], tuple[str, ...]]:
    """The names of a method's variants, the last key's values changing first; and the keys that are chosen."""
    if CHOICE not in name:
        return [name], ()
    strategy, *changes = (part.strip() for part in name.split("+"))
    values = {}
    for change in changes:
        key, _, text = (part.strip() for part in change.partition("="))
        if key in values:
            raise ConfigError(f"loso.methods: {name!r}: {key} is there twice; name it once, with all of its values")
        values[key] = _values(name, key, text)
    if (num_variants := math.prod(map(len, values.values()))) > MOST_VARIANTS:
        raise ConfigError(
            f"loso.methods: {name!r}: {num_variants} combinations, each of them a run for every unseen site and seed; "
            f"at most {MOST_VARIANTS} are tried: leave out values, or give a key one value"
        )
    combinations = product(*([f"{key}={value}" for value in own] for key, own in values.items()))
    names = ["+".join((strategy, *combination)) for combination in combinations]
    return names, tuple(key for key, own in values.items() if len(own) > 1)


def _values(method: str, key: str, text: str) -> list[str]:
    """The values of a key as they are written. Raises ConfigError for an empty one among several, and for one twice."""
    values = [value.strip() for value in text.split(CHOICE)]
    if len(values) > 1 and "" in values:
        raise ConfigError(f"loso.methods: {method!r}: {key} has an empty choice; expected key=value{CHOICE}value")
    if len({_change(method, f"{key}={value}") for value in values}) < len(values):
        raise ConfigError(f"loso.methods: {method!r}: {key} has the same value twice; leave one of them out")
    return values


def _required(strategy: str, loso: LosoConfig) -> dict[str, Scalar]:
    """What a strategy cannot do without; the results say so beside its rows."""
    if strategy == "scaffold":
        plain: dict[str, Scalar] = {"optimizer.name": "sgd", "optimizer.momentum": 0.0}
        return plain | {"optimizer.learning-rate": loso.sgd_learning_rate}
    return {"model.norm": "batch"} if strategy == "fedbn" else {}


def _change(method: str, text: str) -> tuple[str, Scalar]:
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not value:
        raise ConfigError(f"loso.methods: {method!r}: expected strategy+key=value, found {text!r}")
    if key.startswith(FIXED):
        raise ConfigError(f"loso.methods: {method!r}: {key} must be the same for all methods, or they do not compare")
    try:
        parsed = json.loads(value)
    except ValueError:
        return key, value
    return key, parsed if isinstance(parsed, bool | int | float) else value
