"""What sites do alone against unlike scanners, through whole runs: MixStyle, virtual scanners, adapted statistics."""

from __future__ import annotations

import pytest

BATCH_NORM = {"model.norm": "batch"}


@pytest.mark.parametrize("knob", ["model.mixstyle-probability", "scanner.probability"])
def test_a_run_with_it_repeats_and_is_another_run_than_one_without(federation, knob: str) -> None:
    plain = federation.run(federation.grid(), "plain")
    first, second = (federation.run(federation.grid(**{knob: 0.5}), name) for name in ("first", "second"))
    assert first.weights(2) == second.weights(2)
    assert first.numbers == second.numbers
    assert first.weights(2) != plain.weights(2)


def test_adapted_scores_stand_beside_the_held_out_sites_own_and_change_nothing_else(federation) -> None:
    plain = federation.run(federation.grid(**BATCH_NORM), "plain")
    adapting = federation.run(federation.grid(**BATCH_NORM, **{"evaluate.adapt-patients": 2}), "adapting")
    assert adapting.weights(2) == plain.weights(2)
    rows, before = ({row["name"]: row for row in run.report["sites"]} for run in (adapting, plain))
    held_out = [name for name, row in rows.items() if row["role"] == "held-out"]
    assert [name for name, row in rows.items() if "adapted" in row["baselines"]] == held_out != []
    assert all(rows[name]["auc"] == before[name]["auc"] for name in rows)
    assert "adapted" not in adapting.report["pooled"]["baselines"]
    assert any("unlabelled images of 2 of the site's own test patients" in claim for claim in adapting.report["claims"])
