"""Subgroups through a whole run: what the sites tell of, what is judged, and that parts pair with the whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlung.evaluation.comparison import are_paired
from fedlung.evaluation.metrics import auc
from fedlung.evaluation.standardised import SIZE_STRATA
from fedlung.evaluation.statistics import add_statistics
from fedlung.evaluation.subgroups import OWN_TEST
from fedlung.protocol import EvaluateReply, decode, encode


class Listener:
    """Remembers every answer to an evaluation."""

    def __init__(self) -> None:
        self.replies: list[EvaluateReply] = []

    def __call__(self, node_id, reply):
        if reply.metadata.message_type == "evaluate" and reply.has_content():
            self.replies.append(decode(EvaluateReply, reply.content))
        return reply

    @property
    def final(self) -> dict[str, EvaluateReply]:
        return {reply.site: reply for reply in self.replies if reply.scores["model"].num_replicates}


def judged(federation, name: str, **knobs):
    grid = federation.grid(**knobs)
    grid.between = listener = Listener()
    return federation.run(grid, name), listener


@pytest.fixture(scope="module")
def held_out(shared_federation):
    return judged(shared_federation, "held-out")


def test_subgroups_are_told_in_the_final_evaluation_only(held_out) -> None:
    _, listener = held_out
    assert all(reply.subgroups for reply in listener.final.values())
    curve = [reply for reply in listener.replies if not reply.scores["model"].num_replicates]
    assert curve and not any(reply.subgroups or reply.withheld for reply in curve)


def test_a_pooled_row_is_what_the_sites_parts_add_up_to(held_out) -> None:
    run, listener = held_out
    rows = {(row["variable"], row["level"], row["site"]): row for row in run.report["subgroups"]}
    assert {variable for variable, _, _ in rows} == {"size", "thickness", "split"}  # the archive tells no others
    told = {key for reply in listener.final.values() for key in reply.subgroups} - {OWN_TEST}
    assert len(told) >= 4
    for key in sorted(told):
        telling = [reply for reply in listener.final.values() if key in reply.subgroups]
        pooled = add_statistics([reply.subgroups[key] for reply in telling])
        row = rows[key.variable, key.level, None]
        assert row["sites"] == sorted(reply.site for reply in telling)
        assert (row["num_patients"], row["num_positive"]) == (pooled.num_patients, pooled.num_positive)
        expected = float(auc(pooled.histogram_CK))
        assert row["auc"]["value"] == (None if np.isnan(expected) else expected)


def test_the_own_test_patients_of_a_held_out_site_pair_with_its_test_as_a_source(held_out, shared_federation) -> None:
    """The same patients with the same weights, judged by two models that did not train on them."""
    run, listener = held_out
    _, as_source = judged(shared_federation, "as-source", **{"federation.held-out": "Alpha"})
    part, whole = listener.final["Omega"].subgroups[OWN_TEST], as_source.final["Omega"].scores["model"]
    assert are_paired(part, whole) and part.num_patients == whole.num_patients
    assert part.num_patients < listener.final["Omega"].scores["model"].num_patients
    assert [row["site"] for row in run.report["subgroups"] if row["variable"] == "split"] == ["Omega"]


def test_a_site_with_a_floor_says_what_it_keeps_and_the_report_says_why(federation) -> None:
    profile = federation.folder / "Beta" / "site.toml"
    profile.write_text(profile.read_text(encoding="utf-8") + "min-patients = 3\n", encoding="utf-8")
    run, listener = judged(federation, "shy")
    withheld = listener.final["Beta"].withheld
    assert withheld and not withheld.keys() & listener.final["Beta"].subgroups.keys()
    rows = {(row["variable"], row["level"]): row for row in run.report["subgroups"] if row["site"] == "Beta"}
    for key in withheld:
        assert rows[key.variable, key.level]["auc"]["reason"].startswith("kept by the site")


def test_sizes_are_standardised_over_the_strata_that_every_site_has(held_out) -> None:
    run, listener = held_out
    found = run.report["size_standardised"]
    shared = [
        key
        for key in SIZE_STRATA
        if all(
            key in reply.subgroups and reply.subgroups[key].num_positive and reply.subgroups[key].num_negative
            for reply in listener.final.values()
        )
    ]
    assert list(found["weights"]) == [key.level for key in shared]
    assert not shared or sum(found["weights"].values()) == pytest.approx(1.0)
    assert set(found["sites"]) == {"Alpha", "Beta", "Gamma", "Omega"}


def test_a_part_that_is_no_part_of_the_whole_leaves_the_site_out(federation) -> None:
    def forged(node_id, reply):
        if node_id == 1001 and reply.metadata.message_type == "evaluate" and len(reply.content["subgroups"]):
            said = decode(EvaluateReply, reply.content)
            twice = replace(said.scores["model"], histogram_CK=2 * said.scores["model"].histogram_CK)
            reply.content["subgroups"] = encode(replace(said, subgroups={SIZE_STRATA[1]: twice}))["subgroups"]
        return reply

    grid = federation.grid()
    grid.between = forged
    run = federation.run(grid)
    assert [row["site"] for row in run.report["absences"]] == ["Beta"]
    assert "size/6-8mm are no parts of its examples" in run.report["absences"][0]["reason"]
