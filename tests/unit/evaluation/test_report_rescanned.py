"""What another scanner would cost the source sites: a section of its own, and what it does not show."""

from __future__ import annotations

import csv
import io

import pytest

from fedlung.evaluation.claims import plain_words
from fedlung.evaluation.estimates import Comparison, Estimate
from fedlung.evaluation.judgement import Counterfactual, Judgement, RescannedRow, SiteRow
from fedlung.evaluation.report.table import csv_text

COST = Estimate(value=0.123, low=0.05, high=0.2)
NONE = "the gap's interval holds 0: a share of a gap that is not shown is no number"


@pytest.fixture
def rescanned(judgement: Judgement) -> Judgement:
    """The judgement of a run whose source site GE loses .123 through slices of 5 mm, 64 % of the gap."""
    after, auc = Estimate(value=0.777, low=0.7, high=0.85), Estimate(value=0.9, low=0.85, high=0.95)

    def beside(row: SiteRow) -> SiteRow:
        return row.model_copy(update={"baselines": row.baselines | {"rescanned": after}})

    sites = tuple(beside(row) if row.name == "GE" else row for row in judgement.sites)
    found = Counterfactual(
        definition="through slices of 5 mm",
        rows=(RescannedRow(site="GE", auc=auc, rescanned=after, cost=Comparison(difference=COST, p_value=0.0123)),),
        cost=COST,
        share=Estimate(value=0.64, low=0.31, high=1.08),
    )
    return judgement.model_copy(update={"sites": sites, "rescanned": found})


def without_share(judgement: Judgement) -> Judgement:
    found = judgement.rescanned.model_copy(update={"share": Estimate(reason=NONE)})
    return judgement.model_copy(update={"rescanned": found})


def section(text: str, name: str) -> str:
    return text.partition(f'aria-labelledby="{name}"')[2].partition("</section>")[0]


def test_the_page_gives_cost_p_value_and_share_in_a_section_of_its_own(rescanned: Judgement, page_of) -> None:
    text = page_of(rescanned)
    own = section(text, "rescanned")
    assert "through slices of 5 mm" in own
    for shown in ("0.900", "0.777", "+0.123", "0.012", "0.640", "[0.310, 1.080]"):
        assert shown in own
    assert "0.777" not in section(text, "baselines")


def test_a_share_of_a_gap_that_is_not_shown_is_undefined_with_its_reason(rescanned: Judgement, page_of) -> None:
    own = section(page_of(without_share(rescanned)), "rescanned").replace("&#39;", "'")
    assert "undefined" in own and NONE in own


def test_the_claims_say_how_much_and_what_voids_it(rescanned: Judgement) -> None:
    (claim,) = [text for text in plain_words(rescanned) if "virtual scanner" in text]
    assert "+0.123 [+0.050, +0.200] of AUC on average; that is 64% [31%, 108%] of the gap" in claim
    assert "not that the scanner is what makes another site worse" in claim
    assert "cannot make thin slices of thick ones" in claim
    (claim,) = [text for text in plain_words(without_share(rescanned)) if "virtual scanner" in text]
    assert f"no share of the gap can be told ({NONE})" in claim


def test_a_run_without_it_says_nothing_of_it(judgement: Judgement, text: str) -> None:
    assert judgement.rescanned is None
    assert not section(text, "rescanned")
    assert not any("virtual scanner" in claim for claim in plain_words(judgement))


def test_the_csv_has_it_in_its_own_column(rescanned: Judgement) -> None:
    lines = {line["name"]: line["rescanned_auc"] for line in csv.DictReader(io.StringIO(csv_text(rescanned)))}
    assert lines["GE"] == "0.777" and lines["TOSHIBA"] == "" and lines["all sites"] == ""
