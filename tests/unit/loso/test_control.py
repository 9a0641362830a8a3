"""A control says yes only where its gap lies as it must."""

from __future__ import annotations

import pytest

from fedlung.evaluation.estimates import Estimate
from fedlung.loso.control import verdict
from fedlung.loso.record import LosoResults, Row, Table


def results(gap: Estimate, odd: Estimate) -> LosoResults:
    row = Row.model_construct(
        name="fedavg", gap=gap, gaps={"TOSHIBA": odd, "GE": Estimate(value=-0.5, low=-0.6, high=-0.4)}
    )
    other = Row.model_construct(name="fedprox", gap=Estimate(value=0.5, low=0.4, high=0.6), gaps={})
    return LosoResults.model_construct(
        reference="fedavg", tables={"auc": Table.model_construct(rows=(other, row), metric="auc")}
    )


ZERO = Estimate(value=0.01, low=-0.02, high=0.04)
ABOVE = Estimate(value=0.2, low=0.1, high=0.3)
BELOW = Estimate(value=-0.2, low=-0.3, high=-0.1)
NONE = Estimate(value=0.2, reason="too few patients for an interval (3)")


@pytest.mark.parametrize(
    ("control", "gap", "odd", "is_right"),
    [
        ("null", ZERO, ABOVE, True),
        ("null", ABOVE, ZERO, False),
        ("null", BELOW, ZERO, False),
        ("null", NONE, ZERO, False),
        ("positive", ZERO, ABOVE, True),
        ("positive", ABOVE, ZERO, False),
        ("positive", ABOVE, BELOW, False),
        ("positive", ABOVE, NONE, False),
    ],
)
def test_a_control_is_right_only_where_its_own_gap_is(control, gap: Estimate, odd: Estimate, is_right: bool) -> None:
    found = verdict(results(gap, odd), control, "TOSHIBA")
    assert found.is_right == is_right
    assert ("yes" in found.text) == is_right


def test_a_control_without_an_interval_says_why() -> None:
    assert "too few patients" in verdict(results(NONE, NONE), "null", "TOSHIBA").text
