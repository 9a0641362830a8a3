"""What was chosen, and among what, stands on the page, in the table, on the terminal and among the plain words."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from fedlung.loso.claims import plain_words
from fedlung.loso.console import console_table
from fedlung.loso.record import LosoResults, Tried
from fedlung.loso.report.html import page
from fedlung.loso.report.table import csv_text
from fedlung.loso.report.words import settings_text

NAME = "fedprox+strategy.proximal-mu=0.01|0.1+augment.enabled=true|false"
SITES = ("GE", "Philips", "SIEMENS")
LOW = {"strategy.proximal-mu": 0.01, "augment.enabled": True}
HIGH = {"strategy.proximal-mu": 0.1, "augment.enabled": False}


def tried(site: str) -> tuple[Tried, Tried]:
    """Both values of a site: the first is chosen for want of a run with the second, which SIEMENS alone has."""
    at_siemens = site == "SIEMENS"
    common = {"method": NAME, "site": site, "folds": (f"some-fold.without-{site}",), "rule": "auc"}
    low = Tried(**common, settings=LOW, validation=0.625, is_chosen=not at_siemens)
    if at_siemens:
        return low, Tried(**common, settings=HIGH, validation=0.875, is_chosen=True)
    reason = f"no result of fedprox-1.without-{site}"
    return low, Tried(**common, settings=HIGH, validation=None, is_chosen=False, reason=reason)


@pytest.fixture(scope="module")
def with_choices(make_results: Callable[..., LosoResults]) -> LosoResults:
    results = make_results(sites=SITES, methods=("fedavg", NAME))
    both = tuple(one for site in SITES for one in tried(site))
    chosen = {one.site: one.settings for one in both if one.is_chosen}
    tables = {
        metric: table.model_copy(
            update={
                "rows": tuple(
                    row.model_copy(update={"chosen": chosen}) if row.name == NAME else row for row in table.rows
                )
            }
        )
        for metric, table in results.tables.items()
    }
    return results.model_copy(update={"tables": tables, "tried": both})


def test_loso_json_gives_back_what_was_tried_with_its_types(with_choices: LosoResults) -> None:
    again = LosoResults.model_validate_json(with_choices.model_dump_json())
    assert again == with_choices and again.format_version == 2
    row = next(row for row in again.tables["auc"].rows if row.name == NAME)
    assert row.chosen["SIEMENS"]["augment.enabled"] is False and row.chosen["GE"]["strategy.proximal-mu"] == 0.01


def words(cell: str) -> str:
    """What stands in a cell, without the marks of notes."""
    return " ".join(re.sub("<sup>.*?</sup>|<[^>]*>", " ", cell).split())


def test_the_page_has_every_choice_at_every_site_and_marks_the_chosen_one(with_choices: LosoResults) -> None:
    text = page(with_choices)
    section = text[text.index('aria-labelledby="chosen"') :].partition("</section>")[0]
    cells = [
        [words(cell) for cell in re.findall("<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)]
        for row in section.split("<tr>")[1:]
    ]
    assert cells == [
        ["Method", *SITES],
        [NAME],
        ["strategy.proximal-mu=0.01, augment.enabled=true", "0.625 chosen", "0.625 chosen", "0.625"],
        ["strategy.proximal-mu=0.1, augment.enabled=false", "undefined", "undefined", "0.875 chosen"],
    ]
    assert "<li>no result of fedprox-1.without-GE</li>" in section


def test_a_page_without_choices_has_no_such_section(results: LosoResults) -> None:
    assert "Chosen on source validation" not in page(results)
    assert not any("Settings were chosen" in claim for claim in plain_words(results))


def test_the_table_has_what_was_chosen_beside_a_sites_number(with_choices: LosoResults) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_text(with_choices))))
    told = {(line["row"], line["site"]): line["chosen_settings"] for line in lines if line["metric"] == "auc"}
    assert {site: told[NAME, site] for site in SITES} == {
        "GE": settings_text(LOW), "Philips": settings_text(LOW), "SIEMENS": settings_text(HIGH),
    }  # fmt: skip
    assert not any(text for (row, site), text in told.items() if row != NAME or not site)


def test_the_terminal_says_it_in_one_line_and_the_plain_words_how_many_there_were(with_choices: LosoResults) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(console_table(with_choices))
    text = " ".join(console.export_text().split())
    assert (
        f"{NAME}: chosen on source validation: strategy.proximal-mu=0.01, augment.enabled=true (GE, Philips); "
        "strategy.proximal-mu=0.1, augment.enabled=false (SIEMENS)."
    ) in text
    (claim,) = (claim for claim in plain_words(with_choices) if "Settings were chosen" in claim)
    assert f"{NAME} (of 2)" in claim and "fedavg (of" not in claim


def test_settings_are_written_as_one_would_type_them() -> None:
    assert settings_text({"model.norm": "batch", "augment.enabled": True, "model.width": 8}) == (
        "model.norm=batch, augment.enabled=true, model.width=8"
    )
