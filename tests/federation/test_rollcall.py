"""Who is in a run: by name, with a row for whoever is not."""

from __future__ import annotations

import pytest

from fedlung.errors import RunError


def rows(run) -> dict[str, str]:
    return {row["site"]: row["reason"] for row in run.report["absences"] if row["stage"] == "roll-call"}


def test_missing_sites_are_named_and_the_run_goes_on(federation) -> None:
    run = federation.run(federation.grid(nodes=[0, 3]))
    assert rows(run) == {name: "did not answer the roll call" for name in ("Beta", "Gamma")}
    assert run.site("Beta")["auc"]["value"] is None
    assert run.site("Beta")["auc"]["reason"] == "not in the run: did not answer the roll call"
    assert run.site("Alpha")["auc"]["value"] is not None


def test_flowers_default_of_two_nodes_runs_without_the_held_out_site_and_says_so(federation) -> None:
    run = federation.run(federation.grid(nodes=[0, 1]))
    assert "Omega" in rows(run)
    assert run.report["gap"]["auc"]["value"] is None
    assert "Omega (not in the run: did not answer the roll call)" in run.report["gap"]["auc"]["reason"]
    assert run.events("roll-call")[0]["missing"] == ["Gamma", "Omega"]


def test_no_source_site_is_no_run(federation) -> None:
    with pytest.raises(RunError, match=r"no source site answered .*Alpha: did not answer"):
        federation.run(federation.grid(nodes=[3]))
    assert federation.opened("run").events("failed")


def test_nobody_connected_is_no_run(federation) -> None:
    with pytest.raises(RunError, match="no source site answered"):
        federation.run(federation.grid(nodes=[]))


def test_two_nodes_with_one_name_are_both_refused_and_the_name_is_told(federation) -> None:
    grid = federation.grid()
    grid.contexts[1001].node_config["partition-id"] = 0
    run = federation.run(grid)
    assert rows(run)["Alpha"] == "2 nodes call themselves Alpha; all of them were refused"
    assert run.events("roll-call")[0]["sources"] == ["Gamma"]
    assert all(message.metadata.dst_node_id in (1002, 1003) for message in grid.sent[4:])


def test_a_site_that_was_not_expected_is_named_and_left_out(federation) -> None:
    run = federation.run(federation.grid(**{"federation.sites": "Alpha,Beta,Omega"}))
    assert rows(run) == {"Gamma": "is not in federation.sites"}
    assert [row["name"] for row in run.report["sites"]] == ["Alpha", "Beta", "Omega"]


def test_more_nodes_than_sites_leave_the_surplus_out(federation) -> None:
    run = federation.run(federation.grid(nodes=range(5)))
    surplus = "DataError: the federation has 4 sites, there is none for partition 4"
    assert rows(run) == {"a node without a name": surplus}


def test_without_names_whoever_answers_takes_part(federation) -> None:
    run = federation.run(federation.grid(**{"federation.sites": "", "federation.held-out": ""}))
    assert run.events("roll-call")[0]["sources"] == ["Alpha", "Beta", "Gamma", "Omega"]


def test_a_node_registered_under_another_name_cannot_take_a_sites_place(federation) -> None:
    grid = federation.grid()
    grid.registered = {1000: "Alpha", 1001: "Zeta", 1002: "Gamma", 1003: "Omega"}
    grid.contexts[1001].node_config["partition-id"] = 0
    run = federation.run(grid)
    assert rows(run)["Zeta"] == "calls itself Alpha, and is registered under another name"
    assert run.events("roll-call")[0]["sources"] == ["Alpha", "Gamma"]
