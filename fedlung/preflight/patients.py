"""Who may be one patient under two IDs: such a one could be in training and in test at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fedlung.preflight.findings import WARN, Finding

_REMEDY = "Find out whether it is one person; then give both the same patient ID before anything is prepared."


@dataclass(frozen=True)
class Identity:
    """What tells patients apart. ``person`` and ``pixels`` are digests, "" where unknown."""

    number: int
    patient: str
    study: str
    person: str
    pixels: str


def patient_findings(identities: Sequence[Identity]) -> Mapping[int, tuple[Finding, ...]]:
    """By the number of the series: the findings on each that shares something with another patient's."""
    found: dict[int, list[Finding]] = defaultdict(list)
    for code, what, trait in _TRAITS:
        for together in _shared(identities, trait):
            for one in together:
                others = ", ".join(f"#{other.number}" for other in together if other.patient != one.patient)
                found[one.number].append(Finding(WARN, code, f"{what} as {others}, under another patient ID.", _REMEDY))
    return {number: tuple(findings) for number, findings in found.items()}


_TRAITS: tuple[tuple[str, str, Callable[[Identity], str]], ...] = (
    ("SAME_STUDY_TWO_PATIENTS", "The same study", lambda one: one.study),
    ("SAME_PERSON_TWO_IDS", "The same name and birth date", lambda one: one.person),
    ("SAME_PIXELS_TWO_PATIENTS", "The same pixels", lambda one: one.pixels),
)


def _shared(identities: Sequence[Identity], trait: Callable[[Identity], str]) -> list[list[Identity]]:
    """Series of several patients with the same trait."""
    groups: dict[str, list[Identity]] = defaultdict(list)
    for one in identities:
        if trait(one):
            groups[trait(one)].append(one)
    return [together for together in groups.values() if len({one.patient for one in together}) > 1]
