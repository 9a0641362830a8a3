"""Every model on every site: where it was trained, on the site's own test patients; elsewhere on all patients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fedlung.loso.folds import Folds
from fedlung.loso.plan import Fold
from fedlung.loso.record import MatrixRow
from fedlung.loso.rows import Family, Rows, trained_on

ORACLE = "trained at all sites"


def matrix_of(rows: Rows, folds: Folds, families: Iterable[Family], oracle: Iterable[Fold]) -> tuple[MatrixRow, ...]:
    """A row for each model of the methods and baselines, in their order, and for the ``oracle`` at the end.

    Of a method with choices only what was chosen is there: no other model was to be judged.
    """
    models: dict[str, list[Fold]] = {}
    for name, fold in (*_named(families), *((ORACLE, fold) for fold in oracle)):
        models.setdefault(name, []).append(fold)
    return tuple(
        MatrixRow(name=name, seen=trained_on(of[0], folds.sites), sites=rows.everywhere(of))
        for name, of in models.items()
    )


def _named(families: Iterable[Family]) -> Iterator[tuple[str, Fold]]:
    """The folds that are judged, each by what to call its model: one name for all seeds."""
    for family in families:
        for fold in family.folds:
            if fold not in family.passed_over:
                yield f"{fold.site} alone" if fold.site else f"{family.name} without {fold.unseen}", fold
