"""Detection through a whole run: scans searched at the sites, counts over the wire, FROC in the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlung.config import RunConfig
from fedlung.ct.phantom import PhantomConfig, write_phantom
from fedlung.evaluation.detection import FALSE_POSITIVES_PER_SCAN, add_detections, froc_estimate
from fedlung.evaluation.kept import load_tests
from fedlung.protocol import DETECTION, EvaluateReply, decode, encode

SITES = ("GE", "Philips")
KNOBS = {
    "task.name": "nodule",
    "task.readers": 1,
    "federation.sites": ",".join(SITES),
    "federation.held-out": "Philips",
    "federation.rounds": 1,
    "detection.max-candidates": 20,
    **{f"federation.{step}-timeout-s": 60.0 for step in ("roll-call", "prepare", "round")},
}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, PhantomConfig(patients_per_site=4, matrix=96, coverage_mm=50.0), sites=SITES, workers=1)
    return folder


def judged(federation, phantom, between=lambda node_id, reply: reply, **knobs):
    federation.monkeypatch.setenv("FEDLUNG_SITES", str(phantom))
    grid = federation.grid(nodes=range(len(SITES)), **KNOBS, **knobs)
    final: dict[str, EvaluateReply] = {}

    def hear(node_id, reply):
        reply = between(node_id, reply)
        if reply.metadata.message_type == "evaluate" and reply.has_content():
            said = decode(EvaluateReply, reply.content)
            final[said.site] = said
        return reply

    grid.between = hear
    return federation.run(grid), final


def test_the_reports_cpm_is_that_of_the_counts_which_the_sites_sent(federation, phantom) -> None:
    run, final = judged(federation, phantom)
    rows = {row["site"]: row for row in run.report["detection"]["rows"]}
    assert set(rows) == {"GE", "Philips", None}
    assert rows["Philips"]["num_scans"] == 4 and rows["GE"]["num_scans"] == final["GE"].detection[DETECTION].num_scans
    pooled = add_detections([final[site].detection[DETECTION] for site in SITES])
    confidence = RunConfig().evaluate.confidence
    assert rows[None]["cpm"] == froc_estimate("cpm", pooled, None, confidence=confidence).model_dump()
    assert rows[None]["num_nodules"] == pooled.num_nodules > 0
    assert list(rows[None]["sensitivities"]) == [f"{rate:g}" for rate in FALSE_POSITIVES_PER_SCAN]
    assert "LUNA16" in run.report["detection"]["definition"]
    kept = load_tests(run.path).sites["GE"].detection
    assert kept is not None and kept.num_replicates > 0
    assert np.array_equal(kept.replicates_RCK, final["GE"].detection[DETECTION].replicates_RCK)


def test_a_site_whose_scores_are_no_numbers_has_a_row_with_the_reason(federation, phantom) -> None:
    def failed(node_id, reply):
        if node_id == 1001 and reply.metadata.message_type == "evaluate":
            said = decode(EvaluateReply, reply.content)
            if said.detection:
                reply.content = encode(replace(said, detection={}, undetected="scores-not-finite"))
        return reply

    run, _ = judged(federation, phantom, failed)
    rows = {row["site"]: row for row in run.report["detection"]["rows"]}
    assert "diverged" in rows["Philips"]["reason"] and rows["Philips"]["cpm"]["value"] is None
    assert rows[None]["sites"] == ["GE"]


def test_switched_off_nobody_is_asked(federation, phantom) -> None:
    run, final = judged(federation, phantom, **{"detection.enabled": False})
    assert run.report["detection"] is None
    assert not any(reply.detection for reply in final.values())


def test_an_answer_about_scans_that_nobody_asked_for_leaves_the_site_out(federation) -> None:
    def forged(node_id, reply):
        if node_id == 1001 and reply.metadata.message_type == "evaluate":
            said = decode(EvaluateReply, reply.content)
            reply.content = encode(replace(said, undetected="no-scans"))
        return reply

    grid = federation.grid()
    grid.between = forged
    run = federation.run(grid)
    assert {row["site"] for row in run.report["absences"]} == {"Beta"}
    assert run.report["detection"] is None
