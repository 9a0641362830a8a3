"""What a site does wrong, or does not do, is that site's row by name; the run goes on with the others."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message

from fedlung.errors import RunError
from fedlung.protocol import decode_weights, encode_state

ALPHA, BETA, GAMMA, OMEGA = 1000, 1001, 1002, 1003
PATIENT = "DOE^JANE"


def on(node: int, kind: str, change, *, server_round: str | None = None):
    """A fault of one node in its answers to one kind of message."""

    def between(node_id: int, reply: Message) -> Message | None:
        metadata = reply.metadata
        if node_id != node or metadata.message_type != kind or server_round not in (None, metadata.group_id):
            return reply
        return change(reply)

    return between


def lost(reply: Message) -> None:
    return None


def unreachable(reply: Message) -> Message:
    reply.__dict__["_content"] = None
    reply.error = Error(5, f"Node Unavailable at /data/{PATIENT}")
    return reply


def with_weights(change):
    def changed(reply: Message) -> Message:
        reply.content["weights"] = encode_state(change(decode_weights(reply.content)))
        return reply

    return changed


def not_finite(state):
    next(iter(state.values())).flat[0] = np.nan
    return state


def one_short(state):
    return dict(list(state.items())[1:])


def one_too_many(state):
    return {**state, "backdoor": np.zeros(1, dtype=np.float32)}


def broadcast(state):
    return {name: np.ones(1, dtype=np.float32) for name in state}


def double_precision(state):
    return {name: values.astype(np.float64) for name, values in state.items()}


def with_field(key: str, value: object):
    def changed(reply: Message) -> Message:
        reply.content["message"][key] = value
        return reply

    return changed


def absences(run, stage: str) -> dict[str, str]:
    return {row["site"]: row["reason"] for row in run.report["absences"] if row["stage"] == stage}


@pytest.fixture(scope="module")
def without_beta(shared_federation):
    """A run in which Beta's training never came back."""
    grid = shared_federation.grid()
    grid.between = on(BETA, "train", lost)
    return shared_federation.run(grid, "without-beta")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_weights(not_finite), "not finite"),
        (with_weights(one_short), "missing"),
        (with_weights(one_too_many), "not the model's"),
        (with_weights(broadcast), "the model's is float32"),
        (with_weights(double_precision), "float64"),
        (with_field("num-examples", 10**12), "num-examples"),
        (with_field("num-examples", -1), "num-examples"),
        (with_field("num-examples", 10**9), "12 training examples in its ledger"),
        (with_field("num-examples", 13), "12 training examples in its ledger"),
        (with_field("num-examples", 11), "12 training examples in its ledger"),
        (with_field("loss", float("nan")), "loss"),
        (with_field("surplus", 1.0), "surplus"),
        (with_field("site", "Gamma"), "another site"),
        (with_field("server-round", 9), "another site or round"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_bad_update_is_refused_by_name_and_the_others_are_merged_as_if_it_were_absent(
    federation, without_beta, change, words
) -> None:
    grid = federation.grid()
    grid.between = on(BETA, "train", change)
    run = federation.run(grid)
    for server_round in (1, 2):
        rows = absences(run, f"round {server_round}, training")
        assert list(rows) == ["Beta"] and words in rows["Beta"]
        assert run.weights(server_round) == without_beta.weights(server_round)


def test_a_site_that_gives_no_answer_in_a_round_is_a_row_of_that_round(without_beta) -> None:
    assert absences(without_beta, "round 1, training") == {"Beta": "no answer in time"}
    shares = [row for row in without_beta.report["participation"] if row["server_round"] == 1]
    assert {row["site"]: row["weight"] for row in shares} == {"Alpha": 0.5, "Gamma": 0.5}


def test_a_site_that_cannot_be_reached_is_named_in_our_own_words(federation) -> None:
    grid = federation.grid()
    grid.between = on(BETA, "train", unreachable, server_round="2")
    run = federation.run(grid)
    assert absences(run, "round 1, training") == {}
    assert absences(run, "round 2, training") == {"Beta": "the site could not be reached"}


def test_a_round_below_the_quorum_keeps_the_weights_and_is_recorded(federation) -> None:
    grid = federation.grid(**{"federation.min-sites": 3})
    grid.between = on(BETA, "train", lost, server_round="2")
    run = federation.run(grid)
    assert [event["committed"] for event in run.events("round")] == [True, False]
    assert run.weights(2) == run.weights(1)
    assert all(row["weight"] == 0.0 for row in run.report["participation"] if row["server_round"] == 2)


def test_a_run_in_which_no_round_counts_fails_and_says_why(federation) -> None:
    grid = federation.grid(**{"federation.min-sites": 3, "federation.rounds": 5})
    grid.between = on(BETA, "train", lost)
    with pytest.raises(RunError, match=r"3 rounds in a row .* Beta: no answer in time"):
        federation.run(grid)
    run = federation.opened("run")
    assert "Beta" in run.events("failed")[0]["reason"]
    assert len(run.events("round")) == 3 and not run.events("judged")


def test_a_single_round_below_the_quorum_is_told_as_one(federation) -> None:
    grid = federation.grid(**{"federation.min-sites": 3, "federation.rounds": 1})
    grid.between = on(BETA, "train", lost)
    with pytest.raises(RunError, match=r"^1 round had fewer valid updates .* Beta: no answer in time"):
        federation.run(grid)


def test_a_quorum_that_the_sites_with_training_examples_cannot_reach_is_refused_before_training(federation) -> None:
    grid = federation.grid(**{"federation.min-sites": 3})
    grid.between = on(BETA, "query.prepare", lost)
    with pytest.raises(RunError, match=r"min-sites is 3, .* are 2 \(Alpha, Gamma\)"):
        federation.run(grid)
    assert not [message for message in grid.sent if message.metadata.message_type == "train"]


def test_a_quorum_above_the_sources_that_came_is_refused_before_they_prepare(federation) -> None:
    grid = federation.grid(nodes=[0, 1, 3], **{"federation.min-sites": 3})
    with pytest.raises(RunError, match=r"min-sites is 3, .* are 2 \(Alpha, Beta; Gamma: did not answer"):
        federation.run(grid)
    assert {message.metadata.message_type for message in grid.sent} == {"query.roll_call"}


def test_a_source_whose_only_patient_trains_is_said_to_have_no_test_patient(federation, archive) -> None:
    whole = archive()
    federation.write(whole.take((whole.site_N != "Alpha") | (whole.patient_N == "Alpha-0")))
    run = federation.run(federation.grid(**{"federation.rounds": 1}))
    assert run.report["absences"] == []
    assert run.site("Alpha")["auc"]["reason"] == "no test patient: its only patient trains or validates"


def test_a_site_without_a_final_answer_has_an_undefined_row_and_is_named(federation) -> None:
    grid, finals = federation.grid(), []

    def between(node_id: int, reply: Message) -> Message | None:
        if node_id == GAMMA and reply.metadata.message_type == "evaluate" and _is_final(grid.sent[-1]):
            finals.append(node_id)
            return None
        return reply

    grid.between = between
    run = federation.run(grid)
    assert finals == [GAMMA]
    assert absences(run, "final evaluation") == {"Gamma": "no answer in time"}
    assert run.site("Gamma")["auc"]["value"] is None
    assert run.site("Gamma")["auc"]["reason"] == "no scores from the final evaluation: no answer in time"
    assert run.site("Alpha")["auc"]["value"] is not None


def _is_final(message: Message) -> bool:
    return message.content["message"].get("num-replicates", 0) > 0


def test_statistics_with_other_replicates_than_were_asked_for_are_refused(federation) -> None:
    grid = federation.grid()

    def between(node_id: int, reply: Message) -> Message:
        if node_id == ALPHA and reply.metadata.message_type == "evaluate" and _is_final(grid.sent[-1]):
            reply.content["statistics"] = grid.kept
        elif node_id == ALPHA and reply.metadata.message_type == "evaluate":
            grid.kept = reply.content["statistics"]
        return reply

    grid.between = between
    assert "20 replicates" in absences(federation.run(grid), "final evaluation")["Alpha"]


def test_a_site_that_cannot_prepare_is_out_of_the_run_by_name(federation) -> None:
    grid = federation.grid()
    grid.between = on(BETA, "query.prepare", lost)
    run = federation.run(grid)
    assert absences(run, "prepare") == {"Beta": "no answer in time"}
    assert run.site("Beta")["auc"]["reason"] == "it prepared nothing: no answer in time"
    asked = {m.metadata.dst_node_id for m in grid.sent if m.metadata.message_type in ("train", "evaluate")}
    assert asked == {ALPHA, GAMMA, OMEGA}


def test_source_sites_of_one_class_cannot_start_a_run(federation, archive) -> None:
    benign = archive()
    federation.write(benign.take((benign.label_N == 0) | (benign.site_N == "Omega")))
    with pytest.raises(RunError, match="0 positive and"):
        federation.run(federation.grid())


def test_of_a_sites_exception_neither_path_nor_patient_reaches_the_server(federation, monkeypatch, caplog) -> None:
    secret = federation.folder / PATIENT
    secret.mkdir()
    for name in ("archive.npz", "Alpha", "Beta", "Gamma", "Omega"):
        shutil.move(federation.folder / name, secret / name)
    monkeypatch.setenv("FEDLUNG_SITES", str(secret))
    (secret / "Gamma" / "site.toml").write_text(f'name = "Gamma"\narchive = "{PATIENT}.npz"\n', encoding="utf-8")

    def raising(*args: object, site: str, **kwargs: object) -> None:
        raise (ValueError if site == "Alpha" else RuntimeError)(f"{secret}/1.2.840.dcm of {PATIENT}")

    grid = federation.grid(**{"federation.roll-call-timeout-s": 0.1})
    with monkeypatch.context() as patched, caplog.at_level(logging.DEBUG), pytest.raises(RunError):
        patched.setattr("sites.worker.train_round", raising)
        federation.run(grid)
    on_the_wire = repr([(m.content if m.has_content() else None, m.metadata) for m in grid.sent])
    on_the_wire += repr([(r.content if r.has_content() else r.error, r.metadata) for r in grid.answered])
    logs = caplog.text
    kept = b"\n".join(path.read_bytes() for path in (federation.folder / "runs").rglob("*") if path.is_file())
    for text in (on_the_wire, logs, kept.decode(errors="replace")):
        assert PATIENT not in text and str(secret) not in text and "1.2.840" not in text
    for words in ("Alpha: ValueError", "Beta: RuntimeError", "StoreError: the site's archive is missing"):
        assert words in kept.decode(errors="replace") + logs
    for site in ("Alpha", "Beta", "Gamma"):
        errors = (secret / site / "cases" / "errors.log").read_text(encoding="utf-8")
        assert PATIENT in errors and "Traceback" in errors, "the site's own user has the whole of it"


def test_the_message_of_a_site_holds_nothing_that_the_protocol_does_not_declare(federation) -> None:
    grid = federation.grid()
    federation.run(grid)
    ledger = {"left-out", "ignored-files", "unused-nodules", "remarks", "splits"}
    judged = {"statistics", "subgroups", "withheld", "detection"}
    declared = {"message", "versions", "weights", "losses"} | judged | ledger
    for reply in grid.answered:
        assert reply.content.keys() <= declared
        assert isinstance(reply.content["message"], ConfigRecord)
