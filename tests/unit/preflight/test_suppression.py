"""Counts that may leave a site, by hand."""

from __future__ import annotations

from fedlung.preflight.suppression import published, published_table


def test_one_to_ten_are_withheld_and_nothing_else() -> None:
    assert [published(count) for count in (0, 1, 10, 11, 500)] == [0, None, None, 11, 500]


def test_a_withheld_cell_takes_the_smallest_large_one_with_it() -> None:
    assert published_table({"a": 3, "b": 40, "c": 20, "d": 0}) == {"a": None, "b": 40, "c": None, "d": 0}


def test_all_that_are_as_large_as_the_smallest_large_one_go_with_it() -> None:
    assert published_table({"a": 3, "b": 20, "c": 20, "d": 30}) == {"a": None, "b": None, "c": None, "d": 30}


def test_without_a_large_cell_no_zero_shows() -> None:
    assert published_table({"a": 9, "b": 8, "c": 0}) == {"a": None, "b": None, "c": None}


def test_a_table_without_a_small_cell_is_published_as_it_is() -> None:
    assert published_table({"a": 11, "b": 0, "c": 12}) == {"a": 11, "b": 0, "c": 12}
    assert published_table({}) == {}


def test_a_table_of_less_than_eleven_is_withheld_whole() -> None:
    assert published_table({"a": 4, "b": 6}) is None


def test_a_table_of_ones_is_withheld_whole_for_its_total_would_tell_each() -> None:
    assert published_table({f"code-{number}": 1 for number in range(12)}) is None
