"""A group of knobs: frozen, closed, with bounds, and with all mistakes told at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from fedlung.errors import ConfigError
from fedlung.names import kebab

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]

S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """A frozen group of knobs; keys are kebab-case outside and snake_case inside."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=kebab, populate_by_name=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _a_switch_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python takes True for 1 and pydantic 1 for True; whoever mixes the two has mixed up two knobs."""
        wanted = cls.model_fields[info.field_name or ""].annotation
        if wanted in (int, float) and isinstance(value, bool):
            raise ValueError("a number is expected, not true or false")
        if wanted is bool and not isinstance(value, bool):
            raise ValueError("true or false is expected")
        return value

    def fingerprint(self) -> str:
        """16 hex digits that change with any value of the section."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def validated(kind: type[S], values: Mapping[str, Any], *, what: str, mistakes: Sequence[str] = ()) -> S:
    """A section of these values. Raises ConfigError with all mistakes at once: those already known, then its own."""
    found = list(mistakes)
    try:
        section = kind.model_validate(values)
    except ValidationError as error:
        found += [_mistake(item) for item in error.errors()]
    if found:
        plural = "s" * (len(found) != 1)
        raise ConfigError("\n  ".join([f"{len(found)} mistake{plural} in {what}:", *found]))
    return section


def _mistake(item: ErrorDetails) -> str:
    where = "".join(f"{kebab(str(part))}." for part in item["loc"]).rstrip(".")
    said = item["msg"].removeprefix("Value error, ")
    found = "" if isinstance(item["input"], dict | Section) else f", found {item['input']!r}"
    return f"{where}: {said}{found}" if where else f"{said}{found}"
