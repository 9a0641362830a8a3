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
from fedlung.evaluation.claims import plain_words
from fedlung.evaluation.judgement import Judgement
from fedlung.evaluation.power import detectable_difference
from fedlung.evaluation.report import console_table, load_judgement, render_report
from fedlung.evaluation.report.html import page
from fedlung.evaluation.report.table import csv_text, harmless
from fedlung.evaluation.report.words import REASONS
from fedlung.evaluation.runrecord import EVENTS_FILE

EVIL = "<script>alert('x')</script>"
QUOTE = '"onload="x'
LONG = "The-Hospital-of-a-Very-Long-Name"
FORMULA = '=HYPERLINK("http://example.org")'


class Reader(HTMLParser):
    """Tags with their attributes, and whether they close."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in {"meta", "br", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def hostile(make_judgement: Callable[..., Judgement]) -> str:
    """The page of a federation whose held-out sites bear names that try something, or are long."""
    names = f"{EVIL},{QUOTE},{LONG}"
    return page(make_judgement(sites=f"GE,{names}", held_out=names))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, finish_run: Callable[[Path], Path]) -> Path:
    """The folder of a finished run with its report."""
    folder = finish_run(tmp_path_factory.mktemp("run"))
    render_report(folder)
    return folder


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def test_a_run_folder_gives_three_files_without_training(rendered: Path, judgement: Judgement) -> None:
    assert sorted(path.name for path in rendered.glob("report.*")) == ["report.csv", "report.html", "report.json"]
    assert Judgement.model_validate_json((rendered / "report.json").read_bytes()) == judgement
    assert load_judgement(rendered) == judgement
    assert not list(rendered.glob(".*"))


def test_rendering_again_gives_the_same_bytes(rendered: Path) -> None:
    before = [path.read_bytes() for path in sorted(rendered.glob("report.*"))]
    assert render_report(rendered) == rendered / "report.html"
    assert [path.read_bytes() for path in sorted(rendered.glob("report.*"))] == before


def test_report_json_is_json_as_the_standard_has_it(rendered: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((rendered / "report.json").read_text(), parse_constant=refuse)


def test_a_judgement_of_another_form_is_refused_with_a_remedy(run_folder: Path) -> None:
    events = run_folder / EVENTS_FILE
    events.write_text(events.read_text().replace('"worst_site"', '"best_site"'))
    with pytest.raises(RunError, match="not in the form of this version"):
        render_report(run_folder)


def test_the_page_asks_the_network_for_nothing_and_runs_nothing(text: str) -> None:
    reader = read(text)
    assert not {tag for tag, _ in reader.tags} & {
        "script",
        "link",
        "iframe",
        "object",
        "form",
        "base",
        "image",
        "use",
    }
    for tag, attributes in reader.tags:
        assert not {"href", "style", "srcset"} & set(attributes)
        assert ("src" in attributes) == (tag == "img")
        assert (attributes.get("src") or "data:image/svg+xml;base64,").startswith("data:image/svg+xml;base64,")
        assert not [name for name in attributes if name.startswith("on")]


def test_the_policy_allows_the_pages_own_style_and_nothing_else(text: str) -> None:
    style = re.search(r"<style>(.*?)</style>", text, re.S)
    assert style is not None and text.count("<style") == 1
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policies = [
        found["content"] for tag, found in read(text).tags if found.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == [
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    ]
    assert "url(" not in style[1] and "@import" not in style[1]


def test_a_sites_name_that_is_a_script_comes_out_as_text(hostile: str) -> None:
    assert "<script" not in hostile
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in hostile
    assert {tag for tag, _ in read(hostile).tags if "script" in tag} == set()


def test_a_quote_in_a_name_does_not_leave_its_attribute(hostile: str) -> None:
    assert "&#34;onload=&#34;x" in hostile
    assert not [found for _, found in read(hostile).tags if any(name.startswith("on") for name in found)]


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


def test_the_csv_has_a_line_for_each_subgroup_and_for_what_was_found(judgement: Judgement) -> None:
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(csv_text(judgement)))}
    small = next(row for row in judgement.subgroups if (row.level, row.site) == ("<6mm", "GE"))
    assert float(rows["GE: size <6mm"]["auc"]) == small.auc.value
    assert (
        rows["Philips: thickness thin"]["auc"] == "" and "kept by the site" in rows["Philips: thickness thin"]["notes"]
    )
    assert judgement.detection is not None
    pooled = judgement.detection.rows[-1]
    assert float(rows["all sites: whole scans"]["cpm"]) == pooled.cpm.value
    assert int(rows["all sites: whole scans"]["num_nodules"]) == pooled.num_nodules


def test_the_csv_has_operating_points_calibration_and_what_was_carried_over(judgement: Judgement) -> None:
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(csv_text(judgement)))}
    ge, site = rows["GE"], judgement.sites[0]
    for name in ("sensitivity_at_spec90", "specificity_at_sens90", "ece", "calibration_slope", "auprc_adjusted"):
        found = getattr(site, name)
        assert [float(ge[name + end]) for end in ("", "_low", "_high")] == [found.value, found.low, found.high]
    assert float(ge["ece_floor"]) == site.ece_floor
    assert rows["Philips"]["calibration_slope"] == ""
    assert "calibration_slope: no negative examples" in rows["Philips"]["notes"]


def test_the_page_has_a_row_for_every_site_in_each_table_of_metrics(judgement: Judgement, text: str) -> None:
    for section in ("sites", "operating", "prevalence", "calibration"):
        part = text[text.index(f'aria-labelledby="{section}"') :].partition("</section>")[0]
        heads = re.findall(r'<th scope="row">(.*?)(?:<|$)', part, re.M)
        assert heads[:4] == [row.name for row in judgement.sites], section
        columns = {len(re.findall("<td", row)) for row in re.findall(r"<tr.*?</tr>", part, re.S) if "<td" in row}
        assert len(columns) == 1, section


def test_the_operating_points_are_named_by_their_frozen_thresholds(judgement: Judgement, text: str) -> None:
    for point in (judgement.operating_points.spec90, judgement.operating_points.sens90):
        assert f"threshold {point.probability:.3f}" in text
    assert f"{judgement.reference_prevalence:.0%} are positive" in text


def test_a_judgement_of_the_first_form_is_refused_with_a_remedy(run_folder: Path) -> None:
    events = run_folder / EVENTS_FILE
    events.write_text(re.sub(r'"operating_points": ?\{.*?\}\}, ?', "", events.read_text()))
    assert "operating_points" not in events.read_text()
    with pytest.raises(RunError, match="not in the form of this version"):
        render_report(run_folder)


def test_what_was_left_out_is_told_by_kind_in_the_csv(judgement: Judgement) -> None:
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(csv_text(judgement)))}
    found = rows["GE"]
    assert int(found["series_declared"]) - int(found["series_prepared"]) == 3
    assert found["left_out"] == "DUPLICATE_POSITION: 1; missing-slices: 2"
    assert found["ignored_files"] == "NOT_DICOM: 4"
    assert found["unused_nodules"] == "readers-below-k: 17"
    assert found["remarks"] == "LUNGS_NOT_FOUND: 5"
    assert rows["Philips"]["remarks"] == rows["all sites"]["left_out"] == ""


def test_what_was_left_out_is_told_by_kind_and_site_on_the_page(judgement: Judgement, text: str, page_of) -> None:
    table = text[text.index('<table class="reasons">') :].partition("</table>")[0]
    bodies = [re.sub(r"<[^>]+>", " ", body).split() for body in table.split("<tbody>")[1:]]
    assert [" ".join(body) for body in bodies] == [
        "Series left out DUPLICATE_POSITION 1 1 1 1 missing-slices 2 2 2 2",
        "Files that are no slices NOT_DICOM 4 4 4 4",
        "Nodules that the task does not use readers-below-k 17 17 17 17",
        "Cases used, with a remark LUNGS_NOT_FOUND 5 0 0 0",
    ]
    clean = judgement.model_copy(
        update={"ledgers": tuple(row.model_copy(update={kind: {} for kind in REASONS}) for row in judgement.ledgers)}
    )
    without = page_of(clean)
    assert "No series was left out." in without
    assert '<table class="reasons">' not in without


def test_the_page_says_synthetic_when_it_is_and_not_when_it_is_not(text: str, make_judgement) -> None:
    assert "<strong>SYNTHETIC</strong>" in text and "<title>SYNTHETIC" in text
    real = page(make_judgement(synthetic=False))
    assert "synthetic" not in re.sub(r"<style>.*?</style>", "", real, flags=re.S).lower()


def test_undefined_is_a_word_with_a_reason(text: str) -> None:
    assert "undefined" in text and "<li>no negative examples</li>" in text
    assert "nan" not in re.sub(r"<style>.*?</style>|<[^>]*>", " ", text, flags=re.S).lower().split()


def test_tables_and_figures_have_captions_and_pictures_say_what_they_show(judgement: Judgement, text: str) -> None:
    found = read(text).tags
    tags = [tag for tag, _ in found]
    assert tags.count("table") == tags.count("caption")
    assert tags.count("figure") == tags.count("figcaption") == tags.count("img") == 3 * len(judgement.sites) + 4
    assert all(attributes["alt"] and attributes["width"] for tag, attributes in found if tag == "img")


def test_the_cards_say_of_how_many_patients_and_which_site_a_mean_is_without(judgement: Judgement, text: str) -> None:
    cards = " ".join(re.search(r'<dl class="cards">(.*?)</dl>', text, re.S)[1].split())
    toshiba = judgement.sites[3]
    assert f"18 patients, {toshiba.num_positive} pos. / {toshiba.num_negative} neg." in cards
    assert "sites: 2, patients: 85; mean without Philips (no negative examples)" in cards


def test_subgroups_stand_by_level_and_site_with_what_is_kept_and_why(judgement: Judgement, text: str) -> None:
    part = text[text.index('<section aria-labelledby="subgroups"') :].partition("</section>")[0]
    rows = re.findall(r'<tr><th scope="row" class="reason">(.*?)</th>(.*?)</tr>', part, re.S)
    assert [level for level, _ in rows] == ["below 6 mm", "8 to 15 mm", "at most 1.25 mm"]
    assert {cells.count("<td>") for _, cells in rows} == {len(judgement.sites) + 1}
    assert "kept by the site: fewer patients than it tells of" in part
    pooled = next(row for row in judgement.subgroups if (row.level, row.site) == ("thin", None))
    assert pooled.sites == ("GE", "SIEMENS", "TOSHIBA")
    assert f"{pooled.auc.value:.3f}" in rows[2][1]


def test_sizes_are_standardised_beside_the_plain_auc_and_the_claims_say_what_they_account_for(
    judgement: Judgement,
) -> None:
    found = judgement.size_standardised
    assert found is not None and found.weights == {}  # Philips has positives only, so no stratum is every site's
    assert found.gap.value is None and "no stratum has both classes" in (found.gap.reason or "")
    assert "one mix of nodule sizes" not in " ".join(judgement.claims)


def test_the_froc_has_a_row_and_a_curve_for_each_site_and_one_pooled(judgement: Judgement, text: str) -> None:
    part = text[text.index('<section aria-labelledby="detection"') :].partition("</section>")[0]
    assert re.findall(r'<th scope="row">(.*?)<', part.replace("\n", "")) == [
        *(row.name for row in judgement.sites),
        "All pooled",
    ]
    assert part.count("<img") == len(judgement.sites) + 1
    assert "Philips: undefined, kept by the site" in part
    detection = judgement.detection
    assert detection is not None
    pooled = detection.rows[-1]
    assert pooled.num_scans == sum(row.num_scans for row in detection.rows[:-1])
    assert f"CPM {pooled.cpm.value:.3f} [{pooled.cpm.low:.3f}, {pooled.cpm.high:.3f}]" in part
    assert any(said.startswith("Searching whole scans") and "TOSHIBA: CPM" in said for said in judgement.claims)


def test_without_subgroups_and_detections_the_page_has_no_section_of_them(judgement: Judgement) -> None:
    plain = page(judgement.model_copy(update={"subgroups": (), "size_standardised": None, "detection": None}))
    assert 'id="subgroups"' not in plain and 'id="detection"' not in plain
    read(plain)


def test_headings_go_down_one_step_at_a_time(text: str) -> None:
    levels = [int(tag[1]) for tag, _ in read(text).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_what_a_section_is_labelled_by_is_in_the_page_once(text: str) -> None:
    tags = read(text).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["aria-labelledby"] for _, attributes in tags if "aria-labelledby" in attributes} <= set(ids)


def test_the_page_tells_every_part_of_the_story(text: str) -> None:
    for said in ("never used for", "missing-slices", "no answer in time", "Confusion", "frozen", "0123456789abcdef"):
        assert said in text, said


def test_the_terminals_table_has_the_numbers_and_the_word_synthetic(judgement: Judgement) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(console_table(judgement))
    text = console.export_text()
    assert "SYNTHETIC" in text and "undefined" in text and "no negative examples" in text
    row = judgement.sites[0].auc
    assert f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" in text


def test_the_terminal_puts_prevalence_and_a_constant_answer_beside_the_model(judgement: Judgement) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(console_table(judgement))
    text, row = console.export_text(), judgement.sites[0]
    assert f"Prevalence: {row.name} {row.prevalence:.3f}" in text
    assert f"{row.name} {row.accuracy.value:.3f} ({row.constant.accuracy:.3f})" in text
    assert f"{row.name} {row.f1.value:.3f} ({row.constant.f1_of_always_positive:.3f})" in text


def test_a_long_name_is_whole_on_a_narrow_terminal(make_judgement: Callable[..., Judgement]) -> None:
    name = "St.-Elsewhere-of-the-very-long-name-1"
    console = Console(width=80, record=True, file=io.StringIO())
    table = console_table(make_judgement(sites=f"GE,{name}", held_out=name))
    table.title = table.caption = None
    console.print(table)
    assert name in "".join(line.split()[0] for line in console.export_text().splitlines() if line.strip())


def test_a_name_cannot_style_the_terminal(make_judgement: Callable[..., Judgement]) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(console_table(make_judgement(sites="GE,[red]x[/red]", held_out="[red]x[/red]")))
    assert "[red]x[/red]" in console.export_text()


def test_what_can_be_claimed_is_said_in_words(judgement: Judgement, make_judgement) -> None:
    claims = " ".join(judgement.claims)
    assert (
        "synthetic" in claims
        and "18 test patients" in claims
        and "Fewer than 20 test patients at Philips (14)" in claims
    )
    assert "synthetic" not in " ".join(make_judgement(synthetic=False).claims)


def test_a_held_out_site_says_what_it_could_show_and_whether_its_probabilities_hold(judgement: Judgement) -> None:
    claims, site = " ".join(judgement.claims), judgement.sites[3]
    detectable = detectable_difference(0.9, site.num_positive, site.num_negative)
    assert f"would have to differ by {detectable:.3f} to be told apart with 80 % power" in claims
    slope = site.calibration_slope
    assert slope.low > 1 and f"not extreme enough: calibration slope {slope.value:.3f}" in claims
    fine = slope.model_copy(update={"low": 0.9, "high": 1.2})
    calm = (*judgement.sites[:3], site.model_copy(update={"calibration_slope": fine}))
    assert "calibration slope" not in " ".join(plain_words(judgement.model_copy(update={"sites": calm})))


def test_a_run_of_one_round_has_a_page(judgement: Judgement) -> None:
    one = judgement.model_copy(update={"curves": judgement.curves[:1]})
    read(page(one))


def test_a_long_name_is_whole_in_tables(hostile: str) -> None:
    assert f'<th scope="row">{LONG}' in hostile


def test_every_site_has_delongs_interval_of_the_same_auc(judgement: Judgement, text: str) -> None:
    assert 'aria-labelledby="delong"' in text
    for row in judgement.sites:
        assert row.auc_delong.value == (None if row.auc.value is None else pytest.approx(row.auc.value, abs=1e-12))


def test_scores_that_hold_the_measured_diameter_are_said_to(judgement: Judgement) -> None:
    config = judgement.provenance.config | {"model.size-weight": 0.3}
    told = judgement.model_copy(update={"provenance": judgement.provenance.model_copy(update={"config": config})})
    assert not any("as the readers measured it" in claim for claim in plain_words(judgement))
    assert any("as the readers measured it" in claim for claim in plain_words(told))
