"""What only the site's own user may read."""

from __future__ import annotations

import csv
import stat
import warnings
from pathlib import Path

from fedlung.ct.series import LeftOut
from fedlung.hospital import private
from fedlung.hospital.private import (
    ERRORS,
    LEFT_OUT,
    OLD_ERRORS,
    discreet_readers,
    keep_error,
    keep_errors,
    write_left_out,
)
from fedlung.preprocess.case import Remark
from fedlung.preprocess.pipeline import PrepareLedger
from fedlung.preprocess.prepare import keyed_name

KEY = b"a site's own key"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_row_is_kept_in_full_beside_the_name_that_the_log_has(tmp_path: Path) -> None:
    rows = (LeftOut("/ct/DOE^JANE", "NOT_DICOM", "JANE.txt: not a DICOM file.", "Nothing to do.", 3, is_series=False),)
    remarks = (Remark("1.2.3", "LUNGS_NOT_FOUND", "0.10 litres.", "Look at it."),)
    write_left_out(tmp_path, PrepareLedger(1, 1, 1, rows, remarks, 0.0), KEY)
    with (tmp_path / LEFT_OUT).open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert first["keyed_name"] == keyed_name(KEY, "/ct/DOE^JANE")
    assert (first["outcome"], first["what"], first["num_files"]) == ("left out", "/ct/DOE^JANE", "3")
    assert (second["outcome"], second["what"], second["remedy"]) == ("kept", "1.2.3", "Look at it.")
    assert mode_of(tmp_path / LEFT_OUT) == 0o600


def test_errors_are_appended_for_the_owner_only(tmp_path: Path) -> None:
    store = tmp_path / "not there yet"
    keep_errors(store, [])
    assert not store.exists()
    for name in ("first", "second"):
        keep_error(store, ValueError(name))
    text = (store / ERRORS).read_text(encoding="utf-8")
    assert text.index("ValueError: first") < text.index("ValueError: second")
    assert mode_of(store / ERRORS) == 0o600


def test_a_full_log_of_errors_becomes_the_old_one_and_both_stay_small(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(private, "MOST_ERROR_BYTES", 200)
    for number in range(20):
        keep_errors(tmp_path, [f"error {number:02d} " + "x" * 40])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([ERRORS, OLD_ERRORS])
    assert all(path.stat().st_size <= 200 and mode_of(path) == 0o600 for path in tmp_path.iterdir())
    text = (tmp_path / OLD_ERRORS).read_text() + (tmp_path / ERRORS).read_text()
    assert text.index("error 18") < text.index("error 19")
    keep_errors(tmp_path, ["y" * 1000])
    assert (tmp_path / ERRORS).stat().st_size == 200


def test_a_librarys_warning_is_logged_without_its_words(caplog, capsys) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with discreet_readers():
            warnings.warn("DOE^JANE is no number", UserWarning, stacklevel=1)
    assert "UserWarning at test_private.py:" in caplog.text
    assert "DOE" not in caplog.text + "".join(capsys.readouterr())
