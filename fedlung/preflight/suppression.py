"""Counts that may leave a site: no cell of 1 to 10 can be told from what is published.

A table parts a total that is known. Three rules (1 and 2 after the cell suppression of official statistics, e.g.
Willenborg and de Waal, Elements of Statistical Disclosure Control, 2001, ch. 4):

1. A cell of 1 to 10 is withheld.
2. Then the smallest cell of 11 or more is withheld as well, with all that are as large; where there is none, all zeros.
3. A table is published only if its total is.

Withheld cells look alike. Why none of them can be told, even by who knows the rules: let two of them differ. The rules
give the same publication when the withheld numbers change places, so each may be any of these. Let all be the same v:
then nothing else was there to withhold (rule 2), there are several of them (a single one would be the total, which is
then below 11 and withheld itself), and v - 1, v + 1 in the place of two of them give the same publication. Except for
v = 1 in a table that lists only what occurs: no cell of such a table is named.

This holds for each table by itself, and for many that part totals of each other in a tree. It does not hold for a cell
that appears in two tables, or that another table bounds: such tables must not be published together.
"""

from __future__ import annotations

from collections.abc import Mapping

LEAST = 11


def published(count: int, *, least: int = LEAST) -> int | None:
    """A count by itself: None where it is withheld."""
    return None if 0 < count < least else count


def published_table(counts: Mapping[str, int], *, least: int = LEAST) -> dict[str, int | None] | None:
    """The cells of a table by the rules above; None for the whole table where its total is withheld."""
    if published(sum(counts.values()), least=least) is None or set(counts.values()) == {1}:
        return None
    if all(published(count, least=least) is not None for count in counts.values()):
        return dict(counts)
    second = min((count for count in counts.values() if count >= least), default=0)
    return {
        name: None if published(count, least=least) is None or count == second else count
        for name, count in counts.items()
    }
