"""The report's figures: the numbers that they draw, the same bytes every time, and names that stay text."""

from __future__ import annotations

import base64
import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from fedlung.evaluation.judgement import CurveValue, Judgement
from fedlung.evaluation.report.calibrationplot import reliability_diagram
from fedlung.evaluation.report.figures import curves_of, forest, forest_rows, learning_curves, roc
from fedlung.evaluation.report.pictures import Picture, Pictures, pictures
from fedlung.evaluation.report.plotstyle import house_style, shown_name, size_in_pixels, svg
from fedlung.evaluation.report.style import STYLE
from fedlung.webpage import APART

HREF = "{http://www.w3.org/1999/xlink}href"
TEXT = "{http://www.w3.org/2000/svg}text"


@pytest.fixture(autouse=True)
def in_house_style() -> Iterator[None]:
    with house_style():
        yield


def file_of(picture: Picture) -> bytes:
    return base64.b64decode(picture.src.removeprefix("data:image/svg+xml;base64,"), validate=True)


def texts_in(file: bytes) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(file).iter(TEXT)]


def bars_of(axes: Axes) -> list[tuple[float, float, float]]:
    """(height, from, to) of every horizontal bar."""
    segments = [
        segment for lines in axes.collections if isinstance(lines, LineCollection) for segment in lines.get_segments()
    ]
    return [(ends[0][1], ends[0][0], ends[1][0]) for ends in segments if ends[0][1] == ends[1][1]]


def test_the_forest_plots_marks_and_bars_stand_at_the_judgements_numbers(judgement: Judgement) -> None:
    (axes,) = forest(judgement).axes
    rows = [*judgement.sites, judgement.mean_sources, judgement.pooled]
    expected = [(y, row.auc.low, row.auc.high) for y, row in enumerate(rows) if row.auc.low is not None]
    assert bars_of(axes) == expected and len(expected) == 5
    marks = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() in {"s", "D"}}
    assert marks == {(row.auc.value, y) for y, row in enumerate(rows) if row.auc.value is not None}


def test_the_diameter_alone_is_a_circle_in_its_sites_row(judgement: Judgement) -> None:
    (axes,) = forest(judgement).axes
    circles = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "o"}
    sizes = [row.baselines["size"].value for row in judgement.sites]
    assert circles == {(size, y) for y, size in enumerate(sizes) if size is not None} and len(circles) == 3


def test_every_row_of_the_forest_plot_says_its_patients_and_its_interval(judgement: Judgement) -> None:
    texts, ge = texts_in(svg(forest(judgement))), judgement.sites[0]
    assert f"60 ({ge.num_positive} / {ge.num_negative})" in texts
    assert "2 sites" in texts, "of three source sites one has no AUC, and is not in the mean"
    assert f"{ge.auc.value:.3f} [{ge.auc.low:.3f}, {ge.auc.high:.3f}]" in texts
    assert "held out" in texts and "undefined" in texts


def test_the_forest_plots_axis_reaches_down_to_the_lowest_number(judgement: Judgement) -> None:
    low = judgement.sites[0].model_copy(
        update={"auc": judgement.sites[0].auc.model_copy(update={"value": 0.4, "low": 0.25})}
    )
    (axes,) = forest(judgement.model_copy(update={"sites": (low, *judgement.sites[1:])})).axes
    assert axes.get_xlim() == (0.2, 1.0)
    assert forest(judgement).axes[0].get_xlim()[0] <= 0.5


def test_a_roc_curve_goes_through_the_sites_points_and_its_threshold(judgement: Judgement) -> None:
    site = judgement.sites[0]
    (axes,) = roc(site).axes
    diagonal, curve, point = axes.lines
    assert [tuple(corner) for corner in diagonal.get_xydata()] == [(0, 0), (1, 1)]
    assert [tuple(corner) for corner in curve.get_xydata()] == list(site.roc)
    assert tuple(point.get_xydata()[0]) == (1 - site.specificity.value, site.sensitivity.value)
    assert bars_of(axes) == [(site.sensitivity.value, 1 - site.specificity.high, 1 - site.specificity.low)]


def test_the_point_at_the_threshold_is_that_of_the_confusion_matrix(judgement: Judgement) -> None:
    site = judgement.sites[0]
    ((x, y),) = roc(site).axes[0].lines[-1].get_xydata()
    assert x == pytest.approx(site.confusion.false_positive / site.num_negative)
    assert y == pytest.approx(site.confusion.true_positive / site.num_positive)


def test_an_undefined_roc_is_a_word_and_no_curve(judgement: Judgement) -> None:
    figure = roc(judgement.sites[1])
    assert len(figure.axes[0].lines) == 1
    assert "undefined" in texts_in(svg(figure))


def test_a_reliability_diagram_has_the_sites_points_bars_and_fitted_line(judgement: Judgement) -> None:
    site = judgement.sites[0]
    (axes,) = reliability_diagram(site).axes
    diagonal, line, *points = axes.lines
    assert [tuple(corner) for corner in diagonal.get_xydata()] == [(0, 0), (1, 1)]
    assert [tuple(point.get_xydata()[0]) for point in points] == [
        (point.predicted, point.observed.value) for point in site.reliability
    ]
    bars = [lines.get_segments()[0] for lines in axes.collections if isinstance(lines, LineCollection)]
    assert [(bar[0][1], bar[1][1]) for bar in bars] == [
        (point.observed.low, point.observed.high) for point in site.reliability
    ]
    x, y = line.get_xydata()[0]
    odds = site.calibration_intercept.value + site.calibration_slope.value * math.log(x / (1 - x))
    assert y == pytest.approx(1 / (1 + math.exp(-odds))) and x == pytest.approx(site.reliability[0].predicted)


def test_a_site_of_one_class_has_points_and_no_line_and_one_without_examples_a_word(judgement: Judgement) -> None:
    philips = judgement.sites[1]
    assert len(reliability_diagram(philips).axes[0].lines) == 1 + len(philips.reliability)
    nothing = reliability_diagram(philips.model_copy(update={"reliability": ()}))
    assert len(nothing.axes[0].lines) == 1 and "undefined" in texts_in(svg(nothing))


def test_the_learning_curves_pass_through_every_rounds_values(judgement: Judgement) -> None:
    for what in ("auc", "loss"):
        figure = learning_curves(judgement, what)
        lines = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
        ge = [getattr(point.validation["GE"], what) for point in judgement.curves]
        toshiba = [getattr(point.held_out["TOSHIBA"], what) for point in judgement.curves]
        assert lines["source: GE (n = 4)"] == ge and lines["held out: TOSHIBA (n = 6)"] == toshiba
        assert lines["mean of sources"] == [getattr(point, f"mean_validation_{what}") for point in judgement.curves]
        assert lines[f"selected: round {judgement.selection.server_round}"][0] == 0


def test_the_held_out_site_alone_is_dashed_and_in_its_colour(judgement: Judgement) -> None:
    lines = learning_curves(judgement, "auc").axes[0].lines
    looks = {line.get_label(): (line.get_linestyle(), to_hex(line.get_color())) for line in lines}
    assert looks.pop("held out: TOSHIBA (n = 6)") == ("--", APART)
    assert not [name for name, (style, colour) in looks.items() if style == "--" or colour == APART]


def test_a_site_has_one_colour_in_both_learning_curves(judgement: Judgement) -> None:
    auc, loss = (
        {line.get_label(): line.get_color() for line in learning_curves(judgement, what).axes[0].lines}
        for what in ("auc", "loss")
    )
    assert auc == loss and len({auc[label] for label in auc if label.startswith("source")}) == 3


def test_a_round_without_a_number_is_a_gap_in_its_line(judgement: Judgement) -> None:
    first, *rest = judgement.curves
    without = first.model_copy(update={"validation": first.validation | {"GE": CurveValue(auc=None, loss=0.5)}})
    curves = curves_of(judgement.model_copy(update={"curves": (without, *rest)}), "auc")
    assert [math.isnan(value) for value in curves[0].values[:2]] == [True, False]


def test_a_run_of_one_round_has_curves_and_one_without_rounds_has_none(judgement: Judgement) -> None:
    one = learning_curves(judgement.model_copy(update={"curves": judgement.curves[:1]}), "auc")
    assert list(one.axes[0].lines[0].get_xdata()) == [1]
    assert learning_curves(judgement.model_copy(update={"curves": ()}), "auc") is None


def test_the_same_judgement_gives_the_same_bytes_whatever_a_user_has_set(judgement: Judgement, drawn: Pictures) -> None:
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": None, "axes.grid": True, "lines.linewidth": 9}):
        assert pictures(judgement) == drawn


def test_a_picture_loads_nothing_and_does_not_say_who_made_it_when(drawn: Pictures) -> None:
    for picture in (drawn.forest, *drawn.roc.values(), *drawn.reliability.values(), *drawn.curves.values()):
        file = file_of(picture)
        elements = list(ElementTree.fromstring(file).iter())
        assert not {element.tag.rpartition("}")[2] for element in elements} & {"script", "image", "foreignObject"}
        assert all(element.get(HREF, "#").startswith("#") for element in elements)
        assert b"matplotlib.org" not in file and b"<dc:date>" not in file


def test_a_name_with_dollars_or_markup_is_drawn_as_it_is(make_judgement: Callable[..., Judgement]) -> None:
    names = ["$x^2$ & $y$", r"\alpha_{1}", "_<b>&amp;", "]]>--"]
    found = make_judgement(sites=",".join(["GE", *names]), held_out=names[0])
    drawn = pictures(found)
    assert set(names) <= set(texts_in(file_of(drawn.forest)))
    legend = " ".join(texts_in(file_of(drawn.curves["AUC"])))
    assert all(f": {name} (n =" in legend for name in names)


def test_a_name_in_another_script_is_left_to_the_readers_fonts(make_judgement: Callable[..., Judgement]) -> None:
    assert "协和医院" in texts_in(file_of(pictures(make_judgement(sites="GE,协和医院", held_out="协和医院")).forest))


def test_what_xml_forbids_is_replaced_in_a_name() -> None:
    assert shown_name("a\x00b\x1b\ud800") == "a\N{REPLACEMENT CHARACTER}b" + 2 * "\N{REPLACEMENT CHARACTER}"


def test_a_long_name_is_cut_in_figures() -> None:
    assert shown_name("The-Hospital-of-a-Very-Long-Name") == "The-Hospital-of-a…"
    assert shown_name("x" * 18) == "x" * 18


def test_a_picture_says_in_words_what_it_shows(judgement: Judgement, drawn: Pictures) -> None:
    site = judgement.sites[0]
    assert f"GE {site.auc.value:.3f} [{site.auc.low:.3f}, {site.auc.high:.3f}]" in drawn.forest.alt
    assert f"sensitivity {site.sensitivity.value:.3f}" in drawn.roc["GE"].alt
    assert "undefined" in drawn.roc["Philips"].alt
    slope, first = site.calibration_slope, site.reliability[0]
    assert f"calibration slope {slope.value:.3f} [{slope.low:.3f}, {slope.high:.3f}]" in drawn.reliability["GE"].alt
    assert f"predicted {first.predicted:.3f}, seen {first.observed.value:.3f}" in drawn.reliability["GE"].alt
    assert "never used for selection" in drawn.curves["Loss"].alt


def test_a_picture_is_as_large_as_its_figure(judgement: Judgement, drawn: Pictures) -> None:
    figure, picture = forest(judgement), drawn.forest
    assert size_in_pixels(figure) == (picture.width, picture.height) == (770, 32 * len(forest_rows(judgement)) + 66)
    # An SVG's points are three quarters of a style sheet's pixels.
    assert ElementTree.fromstring(file_of(picture)).get("width") == f"{770 * 0.75}pt"


def test_the_held_out_colour_is_the_style_sheets() -> None:
    assert f"--apart: {APART};" in STYLE


def test_the_terminals_table_needs_neither_matplotlib_nor_torch(run_folder: Path) -> None:
    program = (
        "import sys, pathlib; from fedlung.evaluation.report import console_table, load_judgement; "
        "console_table(load_judgement(pathlib.Path(sys.argv[1]))); "
        "assert not {'matplotlib', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, str(run_folder)], check=True)
