"""What may be said: every word, number and key that crosses the wire has its type and its bounds here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, InstanceOf

from fedlung.evaluation.standardised import SubgroupKey
from fedlung.evaluation.subgroups import SUBGROUPS

MOST = 10**9  # examples, series or steps that one site can truly have

Word = Annotated[str, Field(strict=True, pattern=r"^[\w .:()+/-]{1,80}$")]
Code = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Split = Annotated[str, Field(strict=True, pattern=r"^(train|validation|test)$")]
Hex = Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{8,64}$")]
Count = Annotated[int, Field(strict=True, ge=0, le=MOST)]
Round = Annotated[int, Field(strict=True, ge=0, le=100_000)]
Flag = Annotated[bool, Field(strict=True)]
NotNegative = Annotated[float, Field(strict=True, ge=0.0, allow_inf_nan=False)]

_SUBGROUP_BY_NAME = {str(key): key for key in SUBGROUPS}
Subgroup = Annotated[InstanceOf[SubgroupKey], BeforeValidator(lambda said: _SUBGROUP_BY_NAME.get(str(said)))]

DETECTION = "scans"
DetectionName = Annotated[str, Field(strict=True, pattern=f"^{DETECTION}$")]
Undetected = Literal["", "no-scans", "few-patients", "scores-not-finite", "search-failed"]
