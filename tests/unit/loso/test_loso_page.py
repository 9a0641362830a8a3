"""The page of a leave-one-site-out run: every number that there is, none that there is not, and deaf to names."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fedlung.evaluation.estimates import Comparison, Estimate
from fedlung.loso.record import LosoResults
from fedlung.loso.report import render
from fedlung.loso.report.html import page

EVIL = "<script>alert('x')</script>"
NUMBER = re.compile(r"(?<![\d.])[+-]?\d+\.\d{3}(?!\d)")


class Reader(HTMLParser):
    """Tags with their attributes, and the text of every row of every table by section; footnote marks left out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: dict[str, list[list[str]]] = {}
        self.classes: dict[str, list[list[str]]] = {}
        self.section, self.open = "", list[str]()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.tags.append((tag, found))
        if tag not in {"meta", "br", "img"}:
            self.open.append(tag)
        if tag == "section":
            self.section = str(found["aria-labelledby"])
        if tag == "tr":
            self.rows.setdefault(self.section, []).append([])
            self.classes.setdefault(self.section, []).append([])
        if tag in {"td", "th"}:
            self.rows[self.section][-1].append("")
            self.classes[self.section][-1].append(str(found.get("class") or ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open) and "sup" not in self.open:
            row = self.rows[self.section][-1]
            row[-1] = " ".join(f"{row[-1]} {data}".split())

    def row(self, section: str, name: str) -> list[str]:
        """The cells of the row of that name, the first of its name."""
        return next(row[1:] for row in self.rows[section] if row[0] == name)


@pytest.fixture(scope="module")
def text(results: LosoResults) -> str:
    return page(results)


@pytest.fixture(scope="module")
def read(text: str) -> Reader:
    return Reader(text)


def shown(found: Estimate, *, signed: bool = False) -> str:
    """A cell of the page."""
    if found.value is None:
        return "undefined"
    sign = "+" if signed else ""
    interval = "" if found.low is None else f" [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"
    return f"{found.value:{sign}.3f}{interval}"


def compared(found: Comparison, adjusted: float | None) -> str:
    if found.difference.value is None:
        return "undefined"
    return f"{shown(found.difference, signed=True)} p {found.p_value:.3f} adjusted {adjusted:.3f}"


def numbers_of(found: Any) -> list[float]:
    """Every number anywhere in what JSON holds."""
    if isinstance(found, dict | list):
        return [
            number for part in (found.values() if isinstance(found, dict) else found) for number in numbers_of(part)
        ]
    return [float(found)] if isinstance(found, int | float) and not isinstance(found, bool) else []


def test_the_table_of_sites_has_what_loso_json_says_cell_by_cell(results: LosoResults, read: Reader) -> None:
    for row in results.tables["auc"].rows:
        sd, bare = row.unseen_mean.seeds.sd, row.kind == "without pixels"
        assert sd is not None or row.name == "pooled training"
        assert read.row("sites", row.name) == [
            *(shown(row.unseen[site].estimate) for site in results.sites),
            shown(row.unseen_mean.estimate),
            "–" if sd is None else f"{sd:.3f}",
            "–" if bare else f"{row.worst.value:.3f} {row.worst_site}",
            "–" if bare else shown(row.source_mean.estimate),
            "–" if bare else shown(row.gap, signed=True),
        ]
    heads = read.rows["sites"][0]
    assert heads[1:5] == [f"{site} 40 patients 50 / 70" for site in results.sites]


def test_no_table_has_a_number_that_loso_json_has_not(results: LosoResults, read: Reader) -> None:
    known = numbers_of(json.loads(results.model_dump_json()))
    texts = {f"{number:.3f}" for number in known} | {f"{number:+.3f}" for number in known}
    found = {number for rows in read.rows.values() for row in rows for cell in row for number in NUMBER.findall(cell)}
    assert len(found) > 200
    assert found <= texts


def test_differences_have_their_p_values_and_only_small_adjusted_ones_are_bold(
    results: LosoResults, text: str, read: Reader
) -> None:
    names = [row.name for row in results.tables["auc"].rows if row.to_reference]
    assert names == ["fedprox", "pooled training"]
    bold = set()
    for row in results.tables["auc"].rows[1:3]:
        where = [*results.sites, "mean"]
        expected = [compared(row.to_reference[site], row.adjusted_p[site]) for site in where]
        assert read.row("reference", row.name) == expected
        small = [site for site in where if (row.adjusted_p[site] or 0.0) < 0.05 and row.adjusted_p[site] is not None]
        bold |= {f"{row.to_reference[site].difference.value:+.3f}" for site in small}
    section = text[text.index('aria-labelledby="reference"') :].partition("</section>")[0]
    assert set(re.findall("<b>(.*?)</b>", section)) == bold != set()


def test_the_oracle_stands_apart_and_is_called_no_generalization(results: LosoResults, text: str, read: Reader) -> None:
    section = text[text.index('<section class="apart" aria-labelledby="oracle">') :].partition("</section>")[0]
    assert "an upper bound, no generalization" in section
    oracle = [shown(cell.estimate) for cell in results.tables["auc"].oracle.values()]
    assert read.row("oracle", "Oracle, AUC") == oracle
    assert not any(cell in oracle for row in read.rows["sites"] for cell in row)
    gaps = [shown(gap, signed=True) for gap in results.tables["auc"].rows[0].to_oracle.values()]
    assert read.row("oracle", "fedavg") == gaps


def test_the_matrix_marks_the_sites_that_a_model_has_seen_in_words_and_by_class(
    results: LosoResults, read: Reader
) -> None:
    for number, row in enumerate(results.tables["auc"].matrix, start=1):
        cells, classes = read.rows["matrix"][number][1:], read.classes["matrix"][number][1:]
        seen = [site in row.seen for site in results.sites]
        assert [cell.endswith("seen") for cell in cells] == [name == "seen" for name in classes] == seen


def test_differences_to_the_diameter_are_shown_or_said_to_be_undefined(results: LosoResults, read: Reader) -> None:
    row = results.tables["auc"].rows[0]
    told = [f"{shown(found.difference, signed=True)} p {found.p_value:.3f}" for found in row.to_size.values()]
    assert read.row("size", "fedavg") == told
    nothing = Comparison(difference=Estimate(reason="no run of the plan gives it"))
    rows = [
        row.model_copy(update={"to_size": dict.fromkeys(row.to_size, nothing)}) for row in results.tables["auc"].rows
    ]
    auc = results.tables["auc"].model_copy(update={"rows": tuple(rows)})
    without = page(results.model_copy(update={"tables": results.tables | {"auc": auc}}))
    section = without[without.index('aria-labelledby="size"') :].partition("</section>")[0]
    assert "<table" not in section and "undefined" in section and "no run of the plan gives it" in section


def test_every_seeds_value_is_shown(results: LosoResults, read: Reader) -> None:
    cell = results.tables["auc"].rows[0].unseen["GE"]
    assert read.row("seeds", "fedavg")[0] == f"{cell.values[0]:.3f} {cell.values[1]:.3f} sd {cell.seeds.sd:.3f}"


def test_folds_are_told_with_what_was_chosen_or_why_they_are_missing(read: Reader) -> None:
    assert read.row("folds", "alone.seed-0.GE") == ["failed", "no answer in time"]
    assert read.row("folds", "fedavg.seed-0.without-GE") == ["3", "0.875", "12.5", "0123456789abcdef"]


def test_provenance_says_what_a_method_has_otherwise(text: str) -> None:
    for said in (
        "fedprox has otherwise",
        "strategy.proximal-mu = 0.1",
        "fedcba9876543210",
        "00ff00ff00ff00ff",
        "torch 2.13.0",
    ):
        assert said in text, said


def test_undefined_is_a_word_with_its_reason_and_never_nan(text: str, read: Reader) -> None:
    assert read.row("sites", "pooled training")[1] == "undefined"
    assert "<li>no negative examples</li>" in text
    assert "nan" not in re.sub(r"<style>.*?</style>|<[^>]*>", " ", text, flags=re.S).lower().split()


def test_synthetic_is_said_at_the_top_at_every_heading_with_numbers_and_in_the_figure(
    make_results: Callable[..., LosoResults], text: str, read: Reader
) -> None:
    assert "<strong>SYNTHETIC</strong>" in text and "<title>SYNTHETIC" in text
    sections = {found["aria-labelledby"] for tag, found in read.tags if tag == "section"}
    assert text.count('<span class="role made-up">synthetic</span>') == len(
        sections - {"claims", "provenance", "definitions"}
    )
    figures = [found for tag, found in read.tags if tag == "img"]
    assert all("Synthetic data." in str(found["alt"]) for found in figures)
    assert all(b"SYNTHETIC" in base64.b64decode(str(found["src"]).partition(",")[2]) for found in figures)
    real = page(make_results(synthetic=False))
    assert "synthetic" not in re.sub(r"<style>.*?</style>", "", real, flags=re.S).lower()


def test_a_name_that_is_a_script_comes_out_as_text(make_results: Callable[..., LosoResults]) -> None:
    text = page(make_results(sites=("GE", EVIL, '"onload="x'), methods=("fedavg", f"fedprox+{EVIL}")))
    reader = Reader(text)
    assert "<script" not in text and "&lt;script&gt;" in text
    assert not [name for _, found in reader.tags for name in found if name.startswith("on")]
    svgs = [base64.b64decode(str(found["src"]).partition(",")[2]) for tag, found in reader.tags if tag == "img"]
    assert svgs and not any(b"<script" in svg for svg in svgs)


def test_the_page_asks_the_network_for_nothing_and_allows_its_own_style_alone(text: str, read: Reader) -> None:
    assert not {tag for tag, _ in read.tags} & {"script", "link", "iframe", "object", "form", "base"}
    for tag, found in read.tags:
        assert not {"href", "style", "srcset"} & set(found)
        assert ("src" in found) == (tag == "img")
        assert str(found.get("src", "data:image/svg+xml;base64,")).startswith("data:image/svg+xml;base64,")
    style = re.search(r"<style>(.*?)</style>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() if style else ""
    policies = [found["content"] for _, found in read.tags if found.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    ]


def test_it_can_be_read_without_seeing_it(results: LosoResults, read: Reader) -> None:
    tags = [tag for tag, _ in read.tags]
    assert tags.count("table") == tags.count("caption") > 8
    assert tags.count("figure") == tags.count("figcaption") == 1
    (figure,) = (found for tag, found in read.tags if tag == "img")
    for row in results.tables["auc"].rows:
        for site in results.sites:
            assert f"{row.name} {shown(row.unseen[site].estimate)}" in str(figure["alt"])
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1 and all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = [found["id"] for _, found in read.tags if "id" in found]
    assert len(ids) == len(set(ids))
    assert {found["aria-labelledby"] for _, found in read.tags if "aria-labelledby" in found} <= set(ids)


def test_many_sites_have_their_plot_in_more_than_one_figure(make_results: Callable[..., LosoResults]) -> None:
    sites = tuple(f"Hospital-{number}" for number in range(6))
    figures = [found for tag, found in Reader(page(make_results(sites=sites))).tags if tag == "img"]
    assert len(figures) == 2
    assert all(any(f"{site}: " in str(found["alt"]) for found in figures) for site in sites)


def test_rendering_again_gives_the_same_bytes(tmp_path: Path, results: LosoResults) -> None:
    def rendered() -> list[bytes]:
        render(tmp_path, results)
        return [path.read_bytes() for path in sorted(tmp_path.iterdir())]

    assert len(rendered()) == 2 and rendered() == rendered()
