"""A method of the comparison: a strategy, and what it changes of the run's configuration.

fedavg                            the strategy with everything else as configured
fedavg+model.norm=batch           the same with BatchNorm
scaffold                          needs plain SGD, and gets it
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import get_args

from fedlung.config import LosoConfig, Scalar, StrategyName
from fedlung.errors import ConfigError

FIXED = ("name", "folder", "seed", "protocol", "task.", "prepare.", "split.", "federation.", "evaluate.", "loso.")


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


def method_of(name: str, loso: LosoConfig) -> Method:
    """The method of that name. Raises ConfigError for an unknown strategy, or for a change of what all must share."""
    strategy, *changes = (part.strip() for part in name.split("+"))
    if strategy not in get_args(StrategyName):
        raise ConfigError(f"loso.methods: no strategy {strategy!r}; there are {', '.join(get_args(StrategyName))}")
    overrides = _required(strategy, loso) | dict(_change(name, change) for change in changes)
    return Method(name, strategy, tuple(overrides.items()))


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
