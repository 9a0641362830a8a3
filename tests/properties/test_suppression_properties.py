"""Who knows the totals, the rules and every other published number still cannot tell a cell of 1 to 10.

The reader of the counts is played by brute force: all tables that would be published in the same way are made, and what
a withheld cell is in each is gathered. Small cells are 1 to 3 here instead of 1 to 10, for there are fewer such tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from fedlung.preflight.estimate import Estimate
from fedlung.preflight.findings import SeriesCheck, SiteCheck
from fedlung.preflight.machine import Machine
from fedlung.preflight.public import PublicReport, public_report
from fedlung.preflight.suppression import published, published_table
from fedlung.preflight.verdict import site_findings

LEAST = 4
Cells = tuple[int, ...]
counts = st.lists(st.integers(0, 7), min_size=1, max_size=4).map(tuple)
exhaustive = settings(derandomize=True, deadline=None, max_examples=80)


@cache
def tables(total: int, num_cells: int) -> tuple[Cells, ...]:
    """All tables of so many cells with that total."""
    if num_cells == 1:
        return ((total,),)
    return tuple((first, *rest) for first in range(total + 1) for rest in tables(total - first, num_cells - 1))


@cache
def publication(cells: Cells) -> tuple[int | None, ...] | None:
    table = published_table({str(index): cell for index, cell in enumerate(cells)}, least=LEAST)
    return None if table is None else tuple(table.values())


def is_secret(cell: int) -> bool:
    return 0 < cell < LEAST


@exhaustive
@given(counts)
def test_no_small_cell_of_a_table_with_a_known_total_can_be_told(cells: Cells) -> None:
    seen = publication(cells)
    if seen is None:
        return
    worlds = [world for world in tables(sum(cells), len(cells)) if publication(world) == seen]
    assert cells in worlds
    for index, cell in enumerate(cells):
        if is_secret(cell):
            assert len({world[index] for world in worlds}) > 1


@exhaustive
@given(counts, st.booleans())
def test_nor_in_a_table_that_lists_only_what_occurs(cells: Cells, with_many: bool) -> None:
    occurring = tuple(cell for cell in cells if cell)[: 2 if with_many else 4] + (1, 1) * with_many
    seen = publication(occurring) if occurring else None
    if seen is None:
        return
    worlds = [world for world in tables(sum(occurring), len(occurring)) if min(world) and publication(world) == seen]
    for index, cell in enumerate(occurring):
        if is_secret(cell):
            assert len({world[index] for world in worlds}) > 1


# --- a site: readable series = pass + warn; warn by its codes; readable series by thickness ------


def site_publication(levels: Cells, codes: Cells, thicknesses: Cells) -> tuple[object, ...]:
    """As the public report has it."""
    seen = publication(levels)
    warned = seen is not None and seen[1] is not None
    return (
        published(sum(levels), least=LEAST),
        seen,
        publication(codes) if warned else None,
        publication(thicknesses),
    )


def sites(total: int, num_codes: int, num_bins: int) -> Iterator[tuple[Cells, Cells, Cells]]:
    for levels, thicknesses in product(tables(total, 2), tables(total, num_bins)):
        for codes in tables(levels[1], num_codes):
            yield levels, codes, thicknesses


@st.composite
def small_sites(draw: st.DrawFn) -> tuple[Cells, Cells, Cells]:
    codes = draw(st.lists(st.integers(0, 6), min_size=2, max_size=2).map(tuple))
    levels = draw(st.integers(0, 6)), sum(codes)
    first = draw(st.integers(0, sum(levels)))
    second = draw(st.integers(0, sum(levels) - first))
    return levels, codes, (first, second, sum(levels) - first - second)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(small_sites())
def test_no_small_cell_can_be_told_across_tables_that_share_their_totals(site: tuple[Cells, Cells, Cells]) -> None:
    seen, total = site_publication(*site), sum(site[0])
    totals = [total] if seen[0] is not None else range(1, LEAST)
    worlds = [world for one in totals for world in sites(one, 2, 3) if site_publication(*world) == seen]
    assert site in worlds
    if is_secret(total):
        assert len({sum(world[0]) for world in worlds}) > 1
    for table in range(3):
        for index, cell in enumerate(site[table]):
            if is_secret(cell):
                assert len({world[table][index] for world in worlds}) > 1


def report_of(num_series: int, num_patients: int, disk_free_bytes: int) -> PublicReport:
    """Of a site whose series all pass, dealt out to its patients in turn."""
    rows = tuple(SeriesCheck(n, f"1.{n}", (), patient=f"P{n % num_patients}") for n in range(num_series))
    machine, estimate = Machine(1, 1, disk_free_bytes, "cpu"), Estimate(1, num_series, 1.0, 1e9, 1.0, 1, "net")
    return public_report(SiteCheck(rows, (), site_findings(rows, estimate, machine, has_annotations=True), machine))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(11, 20), st.integers(1, 10), st.integers(1, 10), st.integers(0, 30))
def test_the_verdict_does_not_tell_a_withheld_number_of_patients(num: int, one: int, other: int, free_gb: int) -> None:
    assert report_of(num, one, free_gb * 10**9) == report_of(num, other, free_gb * 10**9)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(1, 10), st.integers(1, 10), st.integers(0, 30))
def test_the_verdict_does_not_tell_a_withheld_number_of_series(one: int, other: int, free_gb: int) -> None:
    assert report_of(one, one, free_gb * 10**9) == report_of(other, other, free_gb * 10**9)


def test_a_verdict_is_told_where_its_counts_are() -> None:
    assert (report_of(11, 11, 10**12).can_join, report_of(11, 11, 10**12).reasons) == (True, ())
    assert (report_of(11, 11, 0).can_join, report_of(11, 11, 0).reasons) == (False, ("DISK_TOO_SMALL",))
    assert (report_of(11, 2, 10**12).can_join, report_of(11, 2, 10**12).reasons) == (None, ())


def test_the_reader_of_these_tests_can_tell_a_cell_that_is_badly_hidden() -> None:
    """The same brute force on the first rule alone: 4 withheld beside a published 6 of 8 is told."""
    worlds = [world for world in tables(8, 2) if world[1] == 6]
    assert {world[0] for world in worlds} == {2}
