"""The terminal's tables of a leave-one-site-out run: readable in 80 columns."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from fedlung.evaluation.estimates import Estimate
from fedlung.loso.console import NBSP, bare, console_table, short
from fedlung.loso.record import LosoResults


def printed(results: LosoResults, width: int) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(console_table(results))
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_a_row_is_one_line_with_every_sites_auc_and_interval(results: LosoResults, width: int) -> None:
    lines = printed(results, width)
    assert max(map(len, lines)) <= width
    row = results.tables["auc"].rows[0]
    first, second = (line.split() for line in lines if line.split()[:1] == ["fedavg"])
    cells = [text for site in results.sites for text in short(row.unseen[site].estimate).split()]
    assert first[1:] == cells
    mean, gap = short(row.unseen_mean.estimate).split(), short(row.gap, sign="+").split()
    sd, sources = bare(row.unseen_mean.seeds.sd), bare(row.source_mean.estimate.value)
    assert second[1:] == [*mean, sd, str(row.worst_site), bare(row.worst.value), sources, *gap]


def test_it_says_synthetic_why_a_number_is_missing_and_what_the_oracle_is(results: LosoResults) -> None:
    text = " ".join(" ".join(printed(results, 80)).split())
    assert text.startswith("SYNTHETIC DATA")
    assert "Philips: pooled: no negative examples." in text
    assert "no generalization" in text and "1 of 2 folds. alone.seed-0.GE: no answer in time." in text


def test_rows_that_lack_the_same_sites_for_the_same_reason_share_a_line(results: LosoResults) -> None:
    auc = results.tables["auc"]
    nothing = auc.rows[0].unseen["GE"].model_copy(update={"estimate": Estimate(reason="no run of the plan gives it")})
    rows = tuple(
        row.model_copy(update={"unseen": row.unseen | {"GE": nothing, "SIEMENS": nothing}}) for row in auc.rows[:2]
    )
    tables = results.tables | {"auc": auc.model_copy(update={"rows": (*rows, *auc.rows[2:])})}
    lines = [line.strip() for line in printed(results.model_copy(update={"tables": tables}), 120)]
    assert "GE, SIEMENS: fedavg, fedprox: no run of the plan gives it." in lines
    assert "Philips: pooled: no negative examples." in lines


def test_one_seed_has_a_dash_for_a_spread(make_results: Callable[..., LosoResults]) -> None:
    _, second = (line for line in printed(make_results(seeds=(0,)), 120) if line.split()[:1] == ["fedavg"])
    assert second.split()[3] == "-"


def test_a_name_cannot_style_the_terminal(make_results: Callable[..., LosoResults]) -> None:
    lines = printed(make_results(sites=("GE", "[red]x[/]"), methods=("fedavg", "[b]y[/]")), 120)
    assert "[red]x[/]" in "\n".join(lines) and "[b]y[/]" in "\n".join(lines)


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [(0.9254, "", ".925"), (1.0, "", "1.00"), (0.99996, "", "1.00"), (0.0, "", ".000"), (0.021, "+", "+.021"),
     (-0.5, "+", "-.500"), (None, "", "undefined"), (12.3456, "", "12.35")],
)  # fmt: skip
def test_a_number_has_three_digits_and_no_zero_before_the_point(value: float | None, sign: str, text: str) -> None:
    assert bare(value, sign=sign) == text


def test_an_interval_has_two_digits_and_is_never_broken_into_lines() -> None:
    assert short(Estimate(value=0.925, low=0.891, high=1.0)) == ".925 [.89-1.0]"
    assert short(Estimate(value=0.02, low=-0.031, high=0.07), sign="+") == f"+.020 [-.03{NBSP}+.07]"
    assert short(Estimate(value=0.5, reason="few")) == ".500"
    assert short(Estimate(reason="one class")) == "undefined"
