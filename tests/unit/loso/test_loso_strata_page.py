"""Strata, subgroups, whole scans and adapted models on the page and in loso.csv; where there is none, no section."""

from __future__ import annotations

import csv
import io

import pytest

from fedlung.evaluation.estimates import Comparison, Estimate
from fedlung.loso.claims import plain_words
from fedlung.loso.froc import FROC_METRICS
from fedlung.loso.record import (
    AdaptedRow,
    LosoResults,
    Part,
    SearchedScans,
    SiteScans,
    SiteStrata,
    SizeStrata,
)
from fedlung.loso.report.html import page
from fedlung.loso.report.table import csv_text

SECTIONS = ("size-strata", "parts", "froc", "adapted")
KEPT_BACK = "kept by the site: fewer patients than it tells of"


def full(results: LosoResults) -> LosoResults:
    """The results with every further table; the numbers are those of the table of AUCs."""
    auc = results.tables["auc"]
    cell = auc.rows[0].unseen["GE"]
    nothing = cell.model_copy(update={"estimate": Estimate(reason=KEPT_BACK)})
    told = SiteStrata(num_patients=31, num_positive=17, num_negative=19, auc=cell)
    withheld = SiteStrata(num_patients=0, num_positive=0, num_negative=0, auc=nothing)
    by_site = dict.fromkeys(results.sites, told) | {"TOSHIBA": withheld}

    def table(metric: str):
        return auc.model_copy(update={"metric": metric, "oracle": {}, "matrix": ()})

    return results.model_copy(
        update={
            "size_strata": SizeStrata(
                weights={"6-8mm": 0.25, "8-15mm": 0.75},
                share=0.9,
                gap_weights={"8-15mm": 1.0},
                gap_share=0.6,
                strata={level: table(f"auc_size_{level}") for level in ("6-8mm", "8-15mm")},
                standardised=table("auc_size_standardised"),
            ),
            "parts": (
                Part(variable="size", level="6-8mm", sites=by_site),
                Part(variable="size", level="8-15mm", sites=by_site),
                Part(variable="kernel", level="sharp", sites=by_site),
            ),
            "searched": SearchedScans(
                sites=dict.fromkeys(results.sites, SiteScans(num_patients=40, num_scans=43, num_nodules=57)),
                tables={metric: table(metric) for metric in FROC_METRICS},
            ),
            "adapted": (
                AdaptedRow(
                    name="fedavg, adapted to 4 unlabelled patients",
                    method="fedavg",
                    unseen=auc.rows[0].unseen,
                    unseen_mean=auc.rows[0].unseen_mean,
                    minus_unadapted=dict.fromkeys(
                        (*results.sites, "mean"),
                        Comparison(difference=Estimate(value=0.0125, low=-0.01, high=0.03), p_value=0.25),
                    ),
                ),
            ),
        }
    )


@pytest.fixture(scope="module")
def text(results: LosoResults) -> str:
    return page(full(results))


def section(text: str, name: str) -> str:
    return text[text.index(f'aria-labelledby="{name}"') :].partition("</section>")[0]


def test_each_section_is_there_where_there_is_something_for_it_and_only_then(results: LosoResults, text: str) -> None:
    without = page(results)
    for name in SECTIONS:
        assert f'<h2 id="{name}">' in text and f'id="{name}"' not in without


def test_a_stratum_has_its_examples_and_what_a_site_keeps_is_said_to_be_kept(text: str) -> None:
    strata = section(text, "size-strata")
    assert strata.count("<small>31 patients</small>") == 6 and "<small>17 / 19</small>" in strata
    assert KEPT_BACK in strata and KEPT_BACK in section(text, "parts")
    assert "6 to 8 mm: 25%" in strata and "90%" in strata and "60%" in strata


def test_the_mix_of_sizes_stands_beside_the_auc_as_it_is(results: LosoResults, text: str) -> None:
    strata = section(text, "size-strata")
    for row in results.tables["auc"].rows:
        assert strata.count(row.name) >= 2
    assert "As it is" in strata and "Gap as it is" in strata


def test_whole_scans_have_a_column_for_each_rate_and_their_number_below_each_site(text: str) -> None:
    froc = section(text, "froc")
    assert froc.count("<small>43 scans</small>") == froc.count("<small>57 nodules</small>") == 4
    assert all(f'<th scope="col">{rate}</th>' in froc for rate in ("1/8", "1/4", "1/2", "1", "2", "4", "8"))


def test_an_adapted_model_is_apart_and_in_no_other_section(text: str) -> None:
    assert 'class="apart" aria-labelledby="adapted"' in text
    assert "has seen the site" in section(text, "adapted")
    assert text.count("fedavg, adapted to 4") == section(text, "adapted").count("fedavg, adapted to 4") == 1


def test_the_csv_has_a_line_for_each_number_once(results: LosoResults) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_text(full(results)))))
    keys = [(line["metric"], line["kind"], line["row"], line["over"], line["site"]) for line in lines]
    assert len(keys) == len(set(keys))
    by_key = dict(zip(keys, lines, strict=True))
    assert by_key["auc_size_6-8mm", "method", "fedavg", "site", "GE"]["num_positive"] == "17"
    assert by_key["auc_kernel_sharp", "subgroup", "fedavg", "site", "TOSHIBA"]["reason"] == KEPT_BACK
    assert by_key["sensitivity_at_0.125", "method", "fedprox", "mean", ""]["value"]
    assert by_key["cpm", "method", "fedavg", "site", "GE"]["num_positive"] == ""
    adapted = by_key["auc", "adapted", "fedavg, adapted to 4 unlabelled patients", "mean", ""]
    assert adapted["minus_unadapted"] == "0.0125" and adapted["minus_unadapted_p"] == "0.25"


def test_plain_words_tell_of_one_mix_of_sizes_and_of_whole_scans_where_there_are_any(results: LosoResults) -> None:
    found = full(results)
    told = " ".join(plain_words(found))
    standardised = found.size_strata.standardised.rows[0].unseen_mean.estimate
    assert f"of strata that hold {found.size_strata.share:.0%} of it, fedavg has AUC {standardised.value:.3f}" in told
    cpm = found.searched.tables["cpm"].rows[0]
    assert f"fedavg has CPM {cpm.unseen_mean.estimate.value:.3f}" in told and f"lowest at {cpm.worst_site}" in told
    assert "whole scans" not in " ".join(plain_words(results)) and "mix of nodule" not in " ".join(plain_words(results))
