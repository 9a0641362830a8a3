"""What was drawn for a batch: plain numbers, kept as JSON and replayed."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Drawn:
    """Arrays (B, ...) of which each entry is what was drawn for one sample of a batch."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def take(self, indices_B: npt.ArrayLike) -> Self:
        """What was drawn for some of the samples."""
        return replace(self, **{field.name: getattr(self, field.name)[indices_B] for field in fields(self)})

    def to_json(self) -> str:
        """A text from which ``from_json`` gives the same numbers to the last bit."""
        return json.dumps({field.name: getattr(self, field.name).tolist() for field in fields(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What ``to_json`` wrote."""
        return cls(**{name: np.asarray(value) for name, value in json.loads(text).items()})
