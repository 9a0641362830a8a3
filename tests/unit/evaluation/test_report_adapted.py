"""An adapted model's scores stand apart, under a name that says what they are."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest

from fedlung.evaluation.claims import plain_words
from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.judgement import Judgement, SiteRow
from fedlung.evaluation.report.table import csv_text

LABEL = "adapted (test-time adaptation on 3 unlabelled patients)"


@pytest.fixture(scope="module")
def adapted(judgement: Judgement) -> Judgement:
    """The judgement of a run that adapted its model to its held-out site, to an AUC of .987."""
    found, better = Estimate(value=0.987, low=0.9, high=1.0), Estimate(value=-0.1, low=-0.2, high=-0.05)

    def beside(row: SiteRow) -> SiteRow:
        scores = {"baselines": row.baselines | {"adapted": found}, "advantages": row.advantages | {"adapted": better}}
        return row.model_copy(update=scores)

    sites = tuple(beside(row) if row.role == "held-out" else row for row in judgement.sites)
    config = judgement.provenance.config | {"evaluate.adapt-patients": 3}
    provenance = judgement.provenance.model_copy(update={"config": config})
    return judgement.model_copy(update={"sites": sites, "provenance": provenance})


@pytest.fixture(scope="module")
def adapted_page(adapted: Judgement, page_of: Callable[[Judgement], str]) -> str:
    return page_of(adapted)


def section(text: str, name: str) -> str:
    return text.partition(f'aria-labelledby="{name}"')[2].partition("</section>")[0]


def test_the_page_gives_it_a_section_of_its_own_with_its_full_name(adapted_page: str) -> None:
    own = section(adapted_page, "adapted")
    assert f"AUC, {LABEL}" in own
    assert "0.987" in own and "-0.100" in own and "TOSHIBA" in own and "SIEMENS" not in own


def test_it_is_never_among_what_needs_no_network_nor_a_row_of_the_main_table(adapted_page: str) -> None:
    assert "0.987" not in section(adapted_page, "sites") and "0.987" not in section(adapted_page, "baselines")


def test_a_run_without_adaptation_says_nothing_of_it(judgement: Judgement, text: str) -> None:
    assert "adaptation" not in text.partition("<details>")[0]
    assert not any("adapted" in claim for claim in plain_words(judgement))


def test_the_claims_say_whose_images_were_used(adapted: Judgement) -> None:
    (claim,) = [claim for claim in plain_words(adapted) if "adapted" in claim]
    assert "unlabelled images of 3 of the site's own test patients" in claim
    assert "0.987 [0.900, 1.000]" in claim and "not the model's own figure" in claim


def test_the_csv_has_it_in_its_own_column(adapted: Judgement) -> None:
    lines = {line["name"]: line["adapted_auc"] for line in csv.DictReader(io.StringIO(csv_text(adapted)))}
    assert lines["TOSHIBA"] == "0.987" and lines["GE"] == "" and lines["all sites"] == ""
