"""loso.csv: a line for each row, metric and site, with the numbers of loso.json."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest

from fedlung.evaluation.estimates import Estimate
from fedlung.loso.record import LosoResults
from fedlung.loso.report.table import csv_text

Line = dict[str, str]


def lines_of(results: LosoResults) -> list[Line]:
    return list(csv.DictReader(io.StringIO(csv_text(results))))


def found(line: Line, name: str) -> list[float | None]:
    return [float(line[name + end]) if line[name + end] else None for end in ("", "_low", "_high")]


def numbers(estimate: Estimate) -> list[float | None]:
    return [estimate.value, estimate.low, estimate.high]


@pytest.fixture(scope="module")
def lines(results: LosoResults) -> list[Line]:
    return lines_of(results)


def test_there_is_a_line_for_each_row_metric_and_site_and_one_for_the_mean(
    results: LosoResults, lines: list[Line]
) -> None:
    keys = [(line["metric"], line["kind"], line["row"], line["over"], line["site"]) for line in lines]
    expected = {
        (metric, row.kind, row.name, "site" if site else "mean", site)
        for metric, table in results.tables.items()
        for row in table.rows
        for site in (*results.sites, "")
    }
    for metric, table in results.tables.items():
        expected |= {(metric, "oracle", "trained at all sites", "site", site) for site in results.sites}
        expected |= {(metric, "matrix", row.name, "site", site) for row in table.matrix for site in results.sites}
    assert len(keys) == len(set(keys)) and set(keys) == expected


def test_a_model_at_a_site_is_said_to_have_seen_it_or_not(results: LosoResults, lines: list[Line]) -> None:
    matrix = {
        (line["row"], line["site"]): line for line in lines if (line["kind"], line["metric"]) == ("matrix", "auc")
    }
    for row in results.tables["auc"].matrix:
        for site, cell in row.sites.items():
            line = matrix[row.name, site]
            assert line["seen"] == str(site in row.seen) and found(line, "value") == numbers(cell.estimate)


def test_the_numbers_are_those_of_loso_json_to_the_last_digit(results: LosoResults, lines: list[Line]) -> None:
    row = results.tables["auc"].rows[1]
    by_site = {line["site"]: line for line in lines if line["row"] == "fedprox" and line["metric"] == "auc"}
    for site in results.sites:
        line, reference, size = by_site[site], row.to_reference[site], row.to_size[site]
        assert found(line, "value") == numbers(row.unseen[site].estimate)
        assert found(line, "gap") == numbers(row.gaps[site])
        assert found(line, "oracle_minus_this") == numbers(row.to_oracle[site])
        assert found(line, "minus_reference") == numbers(reference.difference)
        assert float(line["minus_reference_p"]) == reference.p_value
        assert float(line["minus_reference_p_holm"]) == row.adjusted_p[site]
        assert found(line, "minus_diameter_alone") == numbers(size.difference)
        assert [float(line[f"value_seed_{seed}"]) for seed in results.seeds] == list(row.unseen[site].values)
        assert (line["num_patients"], line["num_positive"], line["num_negative"]) == ("40", "50", "70")
        assert line["synthetic"] == "True"
    mean = by_site[""]
    assert found(mean, "value") == numbers(row.unseen_mean.estimate)
    assert found(mean, "gap") == numbers(row.gap)
    assert found(mean, "source_mean") == numbers(row.source_mean.estimate)
    assert float(mean["minus_reference_p_holm"]) == row.adjusted_p["mean"]
    assert float(mean["seed_sd"]) == row.unseen_mean.seeds.sd


def test_what_is_undefined_is_an_empty_cell_with_its_reason(lines: list[Line]) -> None:
    (line,) = (
        line for line in lines if (line["metric"], line["row"], line["site"]) == ("auc", "pooled training", "Philips")
    )
    assert found(line, "value") == [None, None, None]
    assert line["reason"] == "no negative examples"


def test_a_name_that_a_spreadsheet_would_run_is_text(make_results: Callable[..., LosoResults]) -> None:
    formula = '=HYPERLINK("http://example.org")'
    assert {line["site"] for line in lines_of(make_results(sites=("GE", formula)))} == {"GE", "'" + formula, ""}
