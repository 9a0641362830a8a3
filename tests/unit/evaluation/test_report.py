"""The report: complete, the same every time, and deaf to what a name might try."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import itertools
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from fedlung.errors import RunError
from fedlung.evaluation.claims import half_width
from fedlung.evaluation.judgement import Judgement
from fedlung.evaluation.report import console_table, load_judgement, render_report
from fedlung.evaluation.report.figures import Scale, forest, learning_curves, roc
from fedlung.evaluation.report.html import page
from fedlung.evaluation.report.table import csv_text, harmless
from fedlung.evaluation.runrecord import EVENTS_FILE

EVIL = "<script>alert('x')</script>"
FORMULA = '=HYPERLINK("http://example.org")'


class Reader(HTMLParser):
    """Tags with their attributes, and whether they close."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def test_a_run_folder_gives_three_files_without_training(run_folder: Path, judgement: Judgement) -> None:
    assert render_report(run_folder) == run_folder / "report.html"
    assert Judgement.model_validate_json((run_folder / "report.json").read_bytes()) == judgement
    assert load_judgement(run_folder) == judgement
    assert not list(run_folder.glob(".*"))


def test_rendering_again_gives_the_same_bytes(run_folder: Path) -> None:
    def rendered() -> list[bytes]:
        render_report(run_folder)
        return [path.read_bytes() for path in sorted(run_folder.glob("report.*"))]

    assert rendered() == rendered()


def test_a_judgement_of_another_form_is_refused_with_a_remedy(run_folder: Path) -> None:
    events = run_folder / EVENTS_FILE
    events.write_text(events.read_text().replace('"worst_site"', '"best_site"'))
    with pytest.raises(RunError, match="not in the form of this version"):
        render_report(run_folder)


def test_the_page_asks_the_network_for_nothing_and_runs_nothing(judgement: Judgement) -> None:
    reader = read(page(judgement))
    assert not {tag for tag, _ in reader.tags} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "form",
        "base",
        "image",
        "use",
    }
    for _, attributes in reader.tags:
        assert not {"src", "href", "style", "srcset"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]


def test_the_policy_allows_the_pages_own_style_and_nothing_else(judgement: Judgement) -> None:
    text = page(judgement)
    style = re.search(r"<style>(.*?)</style>", text, re.S)
    assert style is not None and text.count("<style") == 1
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policies = [
        found["content"] for tag, found in read(text).tags if found.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == [f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"]
    assert "url(" not in style[1] and "@import" not in style[1]


def test_a_sites_name_that_is_a_script_comes_out_as_text(make_judgement: Callable[..., Judgement]) -> None:
    text = page(make_judgement(sites=f"GE,{EVIL}", held_out=EVIL))
    assert "<script" not in text
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in text
    assert {tag for tag, _ in read(text).tags if "script" in tag} == set()


def test_a_quote_in_a_name_does_not_leave_its_attribute(make_judgement: Callable[..., Judgement]) -> None:
    reader = read(page(make_judgement(sites='GE,"onload="x', held_out='"onload="x')))
    assert not [found for _, found in reader.tags if any(name.startswith("on") for name in found)]


def test_a_cell_that_a_spreadsheet_would_run_is_text(make_judgement: Callable[..., Judgement]) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(make_judgement(sites=f"GE,{FORMULA}", held_out="GE")))))
    assert rows[1]["name"] == "'" + FORMULA
    assert all(harmless(start + "x").startswith("'") for start in ("=", "+", "-", "@", "\t", "\r", "\n"))
    assert harmless(-0.25) == -0.25


def test_the_csv_has_a_line_for_each_site_and_empty_cells_for_what_is_undefined(judgement: Judgement) -> None:
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(csv_text(judgement)))}
    assert list(rows)[:4] == ["GE", "Philips", "SIEMENS", "TOSHIBA"]
    assert rows["Philips"]["auc"] == "" and "auc: no negative examples" in rows["Philips"]["notes"]
    assert float(rows["GE"]["auc"]) == judgement.sites[0].auc.value
    assert float(rows["source mean minus held out"]["auc"]) == judgement.gap.auc.value
    assert rows["GE"]["synthetic"] == "True"


def test_the_page_says_synthetic_when_it_is_and_not_when_it_is_not(make_judgement: Callable[..., Judgement]) -> None:
    made_up, real = page(make_judgement()), page(make_judgement(synthetic=False))
    assert "<strong>SYNTHETIC</strong>" in made_up and "<title>SYNTHETIC" in made_up
    assert "synthetic" not in re.sub(r"<style>.*?</style>", "", real, flags=re.S).lower()


def test_undefined_is_a_word_with_a_reason(judgement: Judgement) -> None:
    text = page(judgement)
    assert "undefined" in text and "<li>no negative examples</li>" in text
    assert "nan" not in re.sub(r"<style>.*?</style>|<[^>]*>", " ", text, flags=re.S).lower().split()


def test_tables_have_captions_and_figures_have_labels(judgement: Judgement) -> None:
    tags = [tag for tag, _ in read(page(judgement)).tags]
    assert tags.count("table") == tags.count("caption")
    assert all(found.get("aria-label") for tag, found in read(page(judgement)).tags if tag == "svg")


def test_the_page_tells_every_part_of_the_story(judgement: Judgement) -> None:
    text = page(judgement)
    for said in ("never used for", "missing-slices", "no answer in time", "Confusion", "frozen", "0123456789abcdef"):
        assert said in text, said


def test_a_position_in_the_forest_plot_is_its_value() -> None:
    assert Scale(0.5, 1.0, 100.0, 200.0)(0.75) == 150.0


def test_an_undefined_auc_has_no_mark_and_no_curve(judgement: Judgement) -> None:
    philips = forest(judgement).rows[1]
    assert (philips.x, philips.low, philips.text) == (None, None, "undefined")
    assert roc(judgement.sites[1]).path == "" and roc(judgement.sites[1]).point is None


def test_the_held_out_site_is_apart_in_the_learning_curves(judgement: Judgement) -> None:
    auc, loss = learning_curves(judgement)
    assert {line.name: line.kind for line in auc.lines}["TOSHIBA"] == "held-out"
    assert {line.name: line.colour for line in auc.lines}["SIEMENS"] == {line.name: line.colour for line in loss.lines}[
        "SIEMENS"
    ]
    heights = sorted(line.end[1] for line in auc.lines)
    assert min(b - a for a, b in itertools.pairwise(heights)) >= 13.0


def test_the_terminals_table_has_the_numbers_and_the_word_synthetic(judgement: Judgement) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(console_table(judgement))
    text = console.export_text()
    assert "SYNTHETIC" in text and "undefined" in text and "no negative examples" in text
    row = judgement.sites[0].auc
    assert f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" in text


def test_a_name_cannot_style_the_terminal(make_judgement: Callable[..., Judgement]) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(console_table(make_judgement(sites="GE,[red]x[/red]", held_out="[red]x[/red]")))
    assert "[red]x[/red]" in console.export_text()


def test_what_can_be_claimed_is_said_in_words(make_judgement: Callable[..., Judgement]) -> None:
    claims = " ".join(make_judgement().claims)
    assert (
        "synthetic" in claims
        and "18 test patients" in claims
        and "Fewer than 20 test patients at Philips (14)" in claims
    )
    assert "synthetic" not in " ".join(make_judgement(synthetic=False).claims)


def test_the_planned_half_width_is_hanley_and_mcneils() -> None:
    # AUC .9 with 9 against 9: Q1 = .9 / 1.1, Q2 = 1.62 / 1.9; SE = .0784 by hand.
    variance = (0.09 + 8 * (0.9 / 1.1 - 0.81) + 8 * (1.62 / 1.9 - 0.81)) / 81
    assert half_width(0.9, 9, 9) == pytest.approx(1.96 * variance**0.5)
    assert half_width(0.9, 9, 9) == pytest.approx(0.153, abs=5e-4)


def test_report_json_is_json_as_the_standard_has_it(run_folder: Path) -> None:
    render_report(run_folder)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((run_folder / "report.json").read_text(), parse_constant=refuse)


def test_a_run_of_one_round_has_a_page(judgement: Judgement) -> None:
    one = judgement.model_copy(update={"curves": judgement.curves[:1]})
    assert [len(curves.x_ticks) for curves in learning_curves(one)] == [1, 1]
    read(page(one))


def test_a_long_name_is_cut_in_figures_and_whole_in_tables(make_judgement: Callable[..., Judgement]) -> None:
    name = "The-Hospital-of-a-Very-Long-Name"
    found = make_judgement(sites=f"GE,{name}", held_out=name)
    assert forest(found).rows[1].name == "The-Hospital-of-a…"
    assert name in page(found)
