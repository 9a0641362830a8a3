"""A whole federation on real DICOM in which a patient's name stands wherever a hospital may have it.

What would void the promise: a header value, path or file name that finds its way into a reply, the server's log, the
run's folder or the site's own case store.
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterable
from pathlib import Path

import pytest
from flwr.app import ArrayRecord, Message

from fedlung.errors import RunError
from fedlung.hospital.private import ERRORS, LEFT_OUT
from sites import worker

SITES = ("GE", "SIEMENS")
KNOBS = {
    "task.name": "nodule",
    "task.readers": 1,
    "patches.size": 16,
    "federation.sites": ",".join(SITES),
    "federation.held-out": "SIEMENS",
    "federation.rounds": 1,
    "federation.local-epochs": 1,
    "federation.roll-call-timeout-s": 5.0,
    "federation.prepare-timeout-s": 60.0,
    "federation.round-timeout-s": 60.0,
}


def everything_in(messages: Iterable[Message]) -> bytes:
    """All that crosses the wire, metadata included."""
    parts = []
    for message in messages:
        parts.append(repr(message.metadata).encode())
        if not message.has_content():
            parts.append(repr(message.error).encode())
            continue
        for name, record in message.content.items():
            parts.append(repr((name, record)).encode())
            if isinstance(record, ArrayRecord):
                parts += [key.encode() + array.data for key, array in record.items()]
    return b"\n".join(parts)


@pytest.fixture
def hospital(federation, planted, monkeypatch: pytest.MonkeyPatch):
    """The sites whose patients' names must stay."""
    hospital = planted(federation.folder, SITES)
    monkeypatch.setenv("FEDLUNG_SITES", str(hospital.folder))
    return hospital


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_planted_patient_is_in_no_reply_no_log_no_report_and_no_case(federation, hospital, caplog) -> None:
    grid = federation.grid(nodes=range(len(SITES)), **KNOBS)
    with caplog.at_level(logging.INFO):
        run = federation.run(grid)
    assert run.site("SIEMENS")["num_patients"] == 4, "the planted patient took part"
    places = {
        "wire": everything_in([*grid.sent, *grid.answered]),
        "log": caplog.text.encode(),
        "run folder": b"\n".join(path.read_bytes() for path in run.path.rglob("*") if path.is_file()),
        "case stores": b"\n".join(
            str(path.relative_to(hospital.folder)).encode() + path.read_bytes()
            for site in SITES
            for path in (hospital.folder / site / "cases").rglob("*")
            if path.is_file() and path.name != LEFT_OUT
        ),
    }
    for place, content in places.items():
        assert len(content) > 0
        for secret in hospital.secrets:
            assert secret.encode() not in content, f"{secret} in {place}"


def test_the_rows_with_the_name_are_in_a_file_for_the_sites_own_user(federation, hospital, caplog) -> None:
    grid = federation.grid(nodes=range(len(SITES)), **KNOBS)
    federation.run(grid)
    for site in SITES:
        rows = hospital.folder / site / "cases" / LEFT_OUT
        assert mode_of(rows) == 0o600
        text = rows.read_text(encoding="utf-8")
        assert all(secret in text for secret in (hospital.note, "NOT_DICOM", "Nothing to do"))
    assert f"are in {LEFT_OUT} in the site's store folder" in caplog.text


def test_a_traceback_is_kept_for_the_sites_own_user_and_logged_by_its_kind(
    federation, hospital, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError(hospital.note)

    monkeypatch.setattr(worker, "prepare_data", fail)
    with pytest.raises(RunError):
        federation.run(federation.grid(nodes=range(len(SITES)), **KNOBS))
    for site in SITES:
        kept = hospital.folder / site / "cases" / ERRORS
        assert mode_of(kept) == 0o600
        assert "Traceback" in kept.read_text(encoding="utf-8") and hospital.note in kept.read_text(encoding="utf-8")
    assert "prepare failed" in caplog.text and "ZeroDivisionError" in caplog.text
    assert not any(secret in caplog.text for secret in hospital.secrets)
