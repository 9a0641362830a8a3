"""Which of a method's choices is judged at an unseen site: the best one on the source sites' validation patients.

A fold's round was chosen by that validation, and its value there is all that is looked at here, so that nothing of the
unseen site has a part in the choice (Gulrajani and Lopez-Paz, ICLR 2021: training-domain validation). Every unseen site
has a choice of its own, which is the same for all seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fedlung.config import Scalar, SelectionRule
from fedlung.evaluation.judgement import Selection
from fedlung.loso.folds import Folds
from fedlung.loso.methods import Method
from fedlung.loso.plan import Fold
from fedlung.loso.record import Tried
from fedlung.loso.rows import Family


@dataclass(frozen=True)
class Choice:
    """One variant of a method with one site unseen: a fold for each seed, and how the finished ones were selected."""

    settings: Mapping[str, Scalar]
    folds: tuple[Fold, ...]
    selections: Mapping[Fold, Selection]

    @property
    def is_whole(self) -> bool:
        return len(self.selections) == len(self.folds)

    @property
    def rules(self) -> set[SelectionRule]:
        return {selection.rule for selection in self.selections.values()}

    @property
    def num_validated(self) -> int:
        """Source sites that could be validated, of all seeds."""
        return sum(len(selection.sites) for selection in self.selections.values())

    @property
    def mean(self) -> float:
        """Of the validation values, over the seeds of a whole choice."""
        return math.fsum(selection.value for selection in self.selections.values()) / len(self.folds)


def choose(family: Family, folds: Folds) -> Family:
    """The family with one choice for each unseen site; as it is where it has no choices."""
    if not family.choices:
        return family
    tried = [one for site in folds.sites for one in _tried_at(family, site, folds)]
    judged = {name for one in tried if one.is_chosen for name in one.folds}
    passed_over = frozenset(fold for fold in family.folds if fold.name not in judged)
    return replace(family, tried=tuple(tried), passed_over=passed_over)


def _tried_at(family: Family, site: str, folds: Folds) -> list[Tried]:
    """What to say of each choice; the best of those that can be compared is chosen, and of equals the first."""
    choices = _choices(family, site, folds)
    rule = _rule(choices, folds.config.evaluate.select)
    reasons = _reasons(choices, rule)
    best = _best([choice for choice, reason in zip(choices, reasons, strict=True) if not reason], rule)
    return [
        Tried(
            method=family.name,
            site=site,
            settings=dict(choice.settings),
            folds=tuple(fold.name for fold in choice.folds),
            rule=rule,
            validation=choice.mean if choice.is_whole else None,
            is_chosen=choice is best,
            reason=reason,
        )
        for choice, reason in zip(choices, reasons, strict=True)
    ]


def _choices(family: Family, site: str, folds: Folds) -> list[Choice]:
    by_method: dict[Method, list[Fold]] = {}
    for fold in family.folds:
        if fold.unseen == site:
            by_method.setdefault(fold.method, []).append(fold)
    return [
        Choice(
            settings={key: value for key, value in method.overrides if key in family.choices},
            folds=tuple(own),
            selections={fold: folds.finished[fold].judgement.selection for fold in own if fold in folds.finished},
        )
        for method, own in by_method.items()
    ]


def _rule(choices: Sequence[Choice], select: SelectionRule) -> SelectionRule:
    """The run's rule; the loss where by loss alone the rounds could be chosen, too."""
    rules = {rule for choice in choices if choice.is_whole for rule in choice.rules}
    return select if select in rules or not rules else "loss"


def _reasons(choices: Sequence[Choice], rule: SelectionRule) -> list[str]:
    """Why each cannot be chosen; nothing where it can. As with rounds, one without a hard site would look better."""
    comparable = [choice for choice in choices if choice.is_whole and choice.rules == {rule}]
    most = max((choice.num_validated for choice in comparable), default=0)

    def reason(choice: Choice) -> str:
        if missing := [fold.name for fold in choice.folds if fold not in choice.selections]:
            return f"no result of {', '.join(missing)}"
        if choice.rules != {rule}:
            return f"the validation {rule} of one of its runs is undefined"
        if choice.num_validated < most:
            return "fewer source sites could be validated than with another choice"
        return ""

    return [reason(choice) for choice in choices]


def _best(choices: Sequence[Choice], rule: SelectionRule) -> Choice | None:
    """The highest validation AUC or the lowest loss; of equals the first."""
    sign = -1.0 if rule == "auc" else 1.0
    return min(choices, key=lambda choice: sign * choice.mean, default=None)
